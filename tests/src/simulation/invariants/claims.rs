//! Claims and leases.

use std::collections::{HashMap, HashSet};

use oncetask::store::Renewed;
use oncetask::{Task, TaskId};

use super::{Breach, writes};
use crate::simulation::history::{History, Op};
use crate::simulation::plan::Plan;

/// By the clock of the worker that claims: a task that waits, and one whose lease has not ended.
pub(super) fn nothing_is_claimed_early(history: &History, _: &Plan) -> Option<Breach> {
    writes(history).find_map(|(place, _, write)| {
        let Op::Claim { .. } = write.op else { return None };
        let due = write.before.as_ref().and_then(|task| task.state.due());
        if due.is_some_and(|due| due <= write.now) {
            return None;
        }
        let what = format!(
            "`{}` was claimed although it was not due, or another claim held it",
            write.id
        );
        Some(Breach::of(place, &write.id, what))
    })
}

pub(super) fn claims_of_a_key_do_not_overlap(history: &History, _: &Plan) -> Option<Breach> {
    // The tasks as they are, and the request that claimed each last: a group is one claim.
    let mut tasks = HashMap::<&TaskId, (&Task, u64)>::new();
    for (place, _, write) in writes(history) {
        if let (Op::Claim { .. }, Some(claimed)) = (&write.op, &write.after) {
            let other = tasks.values().find(|(task, request)| {
                task.id() != &write.id
                    && same_key(task, claimed)
                    && !(*request == write.request && held_alike(task, claimed))
                    && task
                        .state
                        .lease
                        .as_ref()
                        .is_some_and(|lease| lease.until > write.now)
            });
            if let Some((other, _)) = other {
                let what = format!(
                    "`{}` was claimed while `{}` of its key was held",
                    write.id,
                    other.id()
                );
                return Some(Breach::of(place, &write.id, what).with(other.id()));
            }
        }
        match &write.after {
            Some(after) => {
                let claimed = matches!(write.op, Op::Claim { .. });
                let before = tasks.get(&write.id).map_or(0, |(_, request)| *request);
                let request = if claimed { write.request } else { before };
                tasks.insert(&write.id, (after, request));
            }
            None => {
                tasks.remove(&write.id);
            }
        }
    }
    None
}

fn same_key(one: &Task, other: &Task) -> bool {
    one.kind() == other.kind()
        && one.spec.held_key().is_some()
        && one.spec.held_key() == other.spec.held_key()
}

/// Whether two tasks that one request claimed may be one claim: only groups are.
fn held_alike(one: &Task, other: &Task) -> bool {
    one.kind() == "grouped" && one.state.cancelled_at.is_none() && other.state.cancelled_at.is_none()
}

pub(super) fn writes_show_the_token(history: &History, _: &Plan) -> Option<Breach> {
    writes(history).find_map(|(place, _, write)| {
        let (Op::Finish {
            token,
            accepted: true,
            ..
        }
        | Op::Renew {
            token,
            answer: Renewed::Held | Renewed::Cancelled,
            ..
        }) = &write.op
        else {
            return None;
        };
        let lease = write.before.as_ref().and_then(|task| task.state.lease.as_ref());
        if lease.is_some_and(|lease| lease.token == *token) {
            return None;
        }
        let what = format!(
            "`{}` was accepted although another claim, or none, held `{}`",
            write.op, write.id
        );
        Some(Breach::of(place, &write.id, what))
    })
}

pub(super) fn a_claim_ends_once(history: &History, _: &Plan) -> Option<Breach> {
    let mut ended = HashSet::new();
    writes(history).find_map(|(place, _, write)| match write.op {
        Op::Finish {
            token,
            accepted: true,
            ..
        } if !ended.insert(token) => Some(Breach::of(
            place,
            &write.id,
            format!("the claim {token:?} ended a second time"),
        )),
        _ => None,
    })
}

pub(super) fn an_ended_lease_is_not_extended(history: &History, _: &Plan) -> Option<Breach> {
    writes(history).find_map(|(place, _, write)| {
        let Op::Renew {
            answer: Renewed::Held | Renewed::Cancelled,
            ..
        } = write.op
        else {
            return None;
        };
        let lease = write.before.as_ref()?.state.lease.as_ref()?;
        (lease.until <= write.now).then(|| {
            Breach::of(
                place,
                &write.id,
                "a lease was extended by a worker for whom it had ended",
            )
        })
    })
}

/// A worker believes the longest lease that it was granted.
pub(super) fn a_lease_is_not_set_back(history: &History, _: &Plan) -> Option<Breach> {
    writes(history).find_map(|(place, _, write)| {
        let Op::Renew { .. } = write.op else { return None };
        let before = write.before.as_ref()?.state.lease.as_ref()?;
        let after = write.after.as_ref()?.state.lease.as_ref()?;
        (after.token == before.token && after.until < before.until)
            .then(|| Breach::of(place, &write.id, "a lease ends earlier than its worker was told"))
    })
}
