//! Invariants of handler calls and their effects.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use oncetask::TaskId;
use oncetask::store::Renewed;
use oncetask::task::LeaseToken;
use oncetask::task::transition::{Change, Phase, Verdict};

use super::{Finding, writes};
use crate::simulation::clock::signed;
use crate::simulation::history::{Event, EventKind, History, NodeId, Op, Write};
use crate::simulation::plan::Plan;
use crate::simulation::tasks::Kind;

/// The claims that the store granted.
#[derive(Default)]
struct Claims<'a> {
    /// The token of each claim, and the end of its lease on the node's own clock, as a true time in milliseconds.
    granted: HashMap<(NodeId, &'a TaskId), (LeaseToken, i64)>,
}

impl<'a> Claims<'a> {
    fn apply(&mut self, event: &Event, write: &'a Write) {
        let true_end = |until: DateTime<Utc>| signed(write.sent_at) + (until - write.now).num_milliseconds();
        match write.op {
            Op::Claim { token, until } => {
                self.granted
                    .insert((event.node, &write.id), (token, true_end(until)));
            }
            Op::Renew {
                token,
                until: Some(until),
                answer: Renewed::Held | Renewed::Cancelled,
            } => {
                let granted = self.granted.get_mut(&(event.node, &write.id));
                if let Some((_, end)) = granted.filter(|(granted, _)| *granted == token) {
                    *end = (*end).max(true_end(until));
                }
            }
            _ => {}
        }
    }
}

/// A call of a handler.
struct Call<'a> {
    node: NodeId,
    ids: &'a [TaskId],
    phase: Phase,
    tokens: Vec<Option<LeaseToken>>,
    /// A call of the same task or key that started after this one.
    successor: Option<u64>,
    returned: Option<&'static str>,
}

/// Calls `check` for each event with the claims and calls so far. Stops at the first finding.
fn replay<'a>(
    history: &'a History,
    mut check: impl FnMut(usize, &'a Event, &mut Claims<'a>, &mut HashMap<u64, Call<'a>>) -> Option<Finding>,
) -> Option<Finding> {
    let (mut claims, mut calls) = (Claims::default(), HashMap::new());
    for (index, event) in history.events.iter().enumerate() {
        if let EventKind::Write(write) = &event.kind {
            claims.apply(event, write);
        }
        if let EventKind::CallStarted { call, ids, phase } = &event.kind {
            let token = |id| claims.granted.get(&(event.node, id)).map(|(token, _)| *token);
            let started = Call {
                node: event.node,
                ids,
                phase: *phase,
                tokens: ids.iter().map(token).collect(),
                successor: None,
                returned: None,
            };
            calls.insert(*call, started);
        }
        let finding = check(index, event, &mut claims, &mut calls);
        if finding.is_some() {
            return finding;
        }
        if let EventKind::CallReturned { call, how } = event.kind
            && let Some(call) = calls.get_mut(&call)
        {
            call.returned = Some(how);
        }
    }
    None
}

/// Checks that no handler has an effect after its lease, which ends by the clock of the handler's own node. A deleted
/// task has no lease, and its handler may have effects until it is stopped.
pub(super) fn no_handler_outlives_its_lease(history: &History, _: &Plan) -> Option<Finding> {
    let mut deleted = HashSet::new();
    replay(history, |index, event, claims, calls| {
        if let EventKind::Write(write) = &event.kind
            && matches!(write.op, Op::Delete(Change::Applied))
        {
            deleted.insert(&write.id);
        }
        let EventKind::Effect { call } = event.kind else {
            return None;
        };
        let call = calls.get(&call)?;
        call.ids.iter().filter(|id| !deleted.contains(id)).find_map(|id| {
            let (_, end) = claims.granted.get(&(call.node, id))?;
            let late = signed(event.at) - end;
            (late > 0).then(|| {
                let description = format!("the handler of `{id}` has an effect {late} ms after its lease");
                Finding::new(index, id, description)
            })
        })
    })
}

/// Checks that a handler has no effect after another call of its task or key has started.
pub(super) fn handlers_do_not_overlap(history: &History, _: &Plan) -> Option<Finding> {
    let mut keys = HashMap::<&TaskId, (String, String)>::new();
    let mut deleted = HashSet::<TaskId>::new();
    replay(history, |index, event, _, calls| {
        match &event.kind {
            EventKind::Write(write) => {
                if let Some(task) = &write.after
                    && let Some(key) = task.spec.held_key()
                {
                    keys.entry(&write.id)
                        .or_insert_with(|| (task.kind().to_owned(), key.to_string()));
                }
                if matches!(write.op, Op::Delete(Change::Applied)) {
                    deleted.insert(write.id.clone());
                }
                None
            }
            EventKind::CallStarted { call, ids, .. } => {
                let (number, key) = (*call, ids.first().and_then(|id| keys.get(id)));
                // A deleted task does not own its key. Its handler may be stopped only after it has started.
                if ids.iter().all(|id| deleted.contains(id)) {
                    return None;
                }
                for (_, other) in calls.iter_mut().filter(|(other, _)| **other != number) {
                    let same_key = key.is_some() && other.ids.first().and_then(|id| keys.get(id)) == key;
                    let is_deleted = other.ids.iter().all(|id| deleted.contains(id));
                    if (same_key || other.ids.iter().any(|id| ids.contains(id))) && !is_deleted {
                        other.successor.get_or_insert(number);
                    }
                }
                None
            }
            EventKind::Effect { call } => {
                let call = calls.get(call)?;
                let successor = call.successor.and_then(|successor| calls.get(&successor))?;
                Some(overlap(index, call, successor))
            }
            _ => None,
        }
    })
}

fn overlap(index: usize, call: &Call<'_>, successor: &Call<'_>) -> Finding {
    let (id, other) = (&call.ids[0], &successor.ids[0]);
    let description = if successor.phase == Phase::Cleanup && call.phase == Phase::Run && id == other {
        format!("the handler of `{id}` has an effect while its cleanup runs")
    } else {
        format!("the handler of `{id}` has an effect after the handler of `{other}` has started")
    };
    Finding::new(index, id, description).with(other)
}

pub(super) fn every_completion_was_returned(history: &History, _: &Plan) -> Option<Finding> {
    replay(history, |index, event, _, calls| {
        let EventKind::Write(write) = &event.kind else {
            return None;
        };
        let Op::Finish {
            token,
            verdict: Verdict::Complete(_),
            accepted: true,
        } = &write.op
        else {
            return None;
        };
        let task = write.before.as_ref()?;
        let phase = task.state.lease.as_ref()?.phase;
        let has_no_handler = phase == Phase::Cleanup && !Kind::cleans_up(task.kind());
        let was_returned = calls.values().any(|call| {
            let task = call.ids.iter().position(|id| *id == write.id);
            let same_claim = task.is_some_and(|task| call.tokens[task] == Some(*token));
            same_claim && call.phase == phase && matches!(call.returned, Some("ok" | "an outcome for each"))
        });
        (!has_no_handler && !was_returned).then(|| {
            let description = format!(
                "`{}` completed, and no handler under this claim succeeded",
                write.id
            );
            Finding::new(index, &write.id, description)
        })
    })
}

/// Checks that every call belongs to a claim of its own node, and that every claim has at most one call.
pub(super) fn every_handler_has_a_claim(history: &History, _: &Plan) -> Option<Finding> {
    let mut called = HashSet::new();
    let granted: HashSet<_> = writes(history)
        .filter_map(|(_, event, write)| match write.op {
            Op::Claim { token, .. } => Some((event.node, &write.id, token)),
            _ => None,
        })
        .collect();
    replay(history, |index, event, _, calls| {
        let EventKind::CallStarted { call, ids, .. } = &event.kind else {
            return None;
        };
        let call = calls.get(call)?;
        ids.iter().zip(&call.tokens).find_map(|(id, token)| {
            let has_own_claim = token.is_some_and(|token| {
                granted.contains(&(event.node, id, token)) && called.insert((id, token))
            });
            (!has_own_claim).then(|| {
                let description = format!("a handler of `{id}` was called without a claim of its own");
                Finding::new(index, id, description)
            })
        })
    })
}
