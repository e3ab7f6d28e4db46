//! What handlers do, seen from outside.

use std::collections::{HashMap, HashSet};

use oncetask::TaskId;
use oncetask::store::Renewed;
use oncetask::task::LeaseToken;
use oncetask::task::transition::{Change, Phase, Verdict};

use super::{Breach, writes};
use crate::simulation::clock::signed;
use crate::simulation::history::{Event, History, Op, What, Who, Write};
use crate::simulation::plan::Plan;
use crate::simulation::tasks::Kind;

/// The claims of the workers' lives, as the store granted them.
#[derive(Default)]
struct Claims<'a> {
    /// The token under which a worker holds a task, and when that lease ends by its own clock, in true time.
    held: HashMap<(Who, &'a TaskId), (LeaseToken, i64)>,
}

impl<'a> Claims<'a> {
    fn see(&mut self, event: &Event, write: &'a Write) {
        let ends = |until: chrono::DateTime<chrono::Utc>| {
            signed(write.called) + (until - write.now).num_milliseconds()
        };
        match write.op {
            Op::Claim { token, until } => {
                self.held.insert((event.who, &write.id), (token, ends(until)));
            }
            Op::Renew {
                token,
                until: Some(until),
                answer: Renewed::Held | Renewed::Cancelled,
            } => {
                let held = self.held.get_mut(&(event.who, &write.id));
                if let Some((_, end)) = held.filter(|(held, _)| *held == token) {
                    *end = (*end).max(ends(until));
                }
            }
            _ => {}
        }
    }
}

/// A call of a handler.
struct Call<'a> {
    who: Who,
    ids: &'a [TaskId],
    phase: Phase,
    tokens: Vec<Option<LeaseToken>>,
    /// The call that began while this one had not ended, if there was one.
    beside: Option<u64>,
    returned: Option<&'static str>,
    over: bool,
}

/// Goes through a history with the calls that are known by then.
fn follow<'a>(
    history: &'a History,
    mut see: impl FnMut(usize, &'a Event, &mut Claims<'a>, &mut HashMap<u64, Call<'a>>) -> Option<Breach>,
) -> Option<Breach> {
    let (mut claims, mut calls) = (Claims::default(), HashMap::new());
    for (place, event) in history.events.iter().enumerate() {
        if let What::Write(write) = &event.what {
            claims.see(event, write);
        }
        if let What::Began { call, ids, phase } = &event.what {
            let token = |id| claims.held.get(&(event.who, id)).map(|(token, _)| *token);
            let began = Call {
                who: event.who,
                ids,
                phase: *phase,
                tokens: ids.iter().map(token).collect(),
                beside: None,
                returned: None,
                over: false,
            };
            calls.insert(*call, began);
        }
        let breach = see(place, event, &mut claims, &mut calls);
        if breach.is_some() {
            return breach;
        }
        match event.what {
            What::Returned { call, how } => {
                if let Some(call) = calls.get_mut(&call) {
                    (call.returned, call.over) = (Some(how), true);
                }
            }
            What::Dropped { call } => {
                if let Some(call) = calls.get_mut(&call) {
                    call.over = true;
                }
            }
            _ => {}
        }
    }
    None
}

/// By the clock of its own worker. A task that was deleted has no lease: its handler may say last words.
pub(super) fn no_handler_outlives_its_lease(history: &History, _: &Plan) -> Option<Breach> {
    let mut deleted = HashSet::new();
    follow(history, |place, event, claims, calls| {
        if let What::Write(write) = &event.what
            && matches!(write.op, Op::Delete(Change::Applied))
        {
            deleted.insert(&write.id);
        }
        let What::Acted { call } = event.what else {
            return None;
        };
        let call = calls.get(&call)?;
        call.ids.iter().filter(|id| !deleted.contains(id)).find_map(|id| {
            let (_, ends) = claims.held.get(&(call.who, id))?;
            let late = signed(event.at) - ends;
            (late > 0).then(|| {
                Breach::of(
                    place,
                    id,
                    format!("the handler of `{id}` acts {late} ms after its lease"),
                )
            })
        })
    })
}

/// Once another call of its task, or of its key, has begun, a handler does nothing any more.
pub(super) fn no_handler_runs_beside_another(history: &History, _: &Plan) -> Option<Breach> {
    let mut keys = HashMap::<&TaskId, (String, String)>::new();
    let mut deleted = HashSet::<TaskId>::new();
    follow(history, |place, event, _, calls| {
        match &event.what {
            What::Write(write) => {
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
            What::Began { call, ids, .. } => {
                let (number, key) = (*call, ids.first().and_then(|id| keys.get(id)));
                // A task that was deleted holds nothing; its handler may be told only when it has begun.
                if ids.iter().all(|id| deleted.contains(id)) {
                    return None;
                }
                for (_, other) in calls.iter_mut().filter(|(other, _)| **other != number) {
                    let same_key = key.is_some() && other.ids.first().and_then(|id| keys.get(id)) == key;
                    let gone = other.ids.iter().all(|id| deleted.contains(id));
                    if (same_key || other.ids.iter().any(|id| ids.contains(id))) && !gone {
                        other.beside.get_or_insert(number);
                    }
                }
                None
            }
            What::Acted { call } => {
                let acting = calls.get(call)?;
                let other = acting.beside.and_then(|beside| calls.get(&beside))?;
                let (id, beside) = (&acting.ids[0], &other.ids[0]);
                let what = if other.phase == Phase::Cleanup && acting.phase == Phase::Run && id == beside {
                    format!("the handler of `{id}` acts while its cleanup runs")
                } else {
                    format!("the handler of `{id}` acts although that of `{beside}` has begun")
                };
                Some(Breach::of(place, id, what).with(beside))
            }
            _ => None,
        }
    })
}

pub(super) fn a_completion_was_returned(history: &History, _: &Plan) -> Option<Breach> {
    follow(history, |place, event, _, calls| {
        let What::Write(write) = &event.what else {
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
        let nothing_to_call = phase == Phase::Cleanup && !Kind::cleans_up(task.kind());
        let returned = calls.values().any(|call| {
            let place = call.ids.iter().position(|id| *id == write.id);
            let under = place.is_some_and(|place| call.tokens[place] == Some(*token));
            under && call.phase == phase && matches!(call.returned, Some("ok" | "an outcome for each"))
        });
        (!nothing_to_call && !returned).then(|| {
            let what = format!(
                "`{}` is complete, and no handler has said so under this claim",
                write.id
            );
            Breach::of(place, &write.id, what)
        })
    })
}

/// No call without a claim of the same worker, and one call for each.
pub(super) fn every_handler_has_a_claim(history: &History, _: &Plan) -> Option<Breach> {
    let mut called = HashSet::new();
    let granted: HashSet<_> = writes(history)
        .filter_map(|(_, event, write)| match write.op {
            Op::Claim { token, .. } => Some((event.who, &write.id, token)),
            _ => None,
        })
        .collect();
    follow(history, |place, event, _, calls| {
        let What::Began { call, ids, .. } = &event.what else {
            return None;
        };
        let call = calls.get(call)?;
        ids.iter().zip(&call.tokens).find_map(|(id, token)| {
            let sound = token
                .is_some_and(|token| granted.contains(&(event.who, id, token)) && called.insert((id, token)));
            (!sound).then(|| {
                Breach::of(
                    place,
                    id,
                    format!("a handler of `{id}` was called without a claim of its own"),
                )
            })
        })
    })
}
