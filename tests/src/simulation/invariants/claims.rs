//! Invariants of claims and leases.

use std::collections::{HashMap, HashSet};

use oncetask::store::Renewed;
use oncetask::{Task, TaskId};

use super::{Finding, writes};
use crate::simulation::history::{History, Op};
use crate::simulation::plan::Plan;

/// Checks that each claimed task is due by the clock of the worker that claims it. A task with an active lease is not
/// due.
pub(super) fn no_task_is_claimed_before_it_is_due(history: &History, _: &Plan) -> Option<Finding> {
    writes(history).find_map(|(index, _, write)| {
        let Op::Claim { .. } = write.op else { return None };
        let due = write.before.as_ref().and_then(|task| task.state.due());
        if due.is_some_and(|due| due <= write.now) {
            return None;
        }
        let description = format!("`{}` was claimed while it waited or was leased", write.id);
        Some(Finding::new(index, &write.id, description))
    })
}

pub(super) fn claims_of_a_key_do_not_overlap(history: &History, _: &Plan) -> Option<Finding> {
    // Each task as it is stored, and the last request that claimed it: a group is claimed by one request.
    let mut tasks = HashMap::<&TaskId, (&Task, u64)>::new();
    for (index, _, write) in writes(history) {
        if let (Op::Claim { .. }, Some(claimed)) = (&write.op, &write.after) {
            let other = tasks.values().find(|(task, request)| {
                task.id() != &write.id
                    && same_key(task, claimed)
                    && !(*request == write.request && may_be_one_group(task, claimed))
                    && task
                        .state
                        .lease
                        .as_ref()
                        .is_some_and(|lease| lease.until > write.now)
            });
            if let Some((other, _)) = other {
                let description = format!(
                    "`{}` was claimed while `{}` of the same key was leased",
                    write.id,
                    other.id()
                );
                return Some(Finding::new(index, &write.id, description).with(other.id()));
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

/// Returns whether two tasks that one request claimed may be one claim. Cancelled tasks are never grouped.
fn may_be_one_group(one: &Task, other: &Task) -> bool {
    one.kind() == "grouped" && one.state.cancelled_at.is_none() && other.state.cancelled_at.is_none()
}

pub(super) fn only_the_active_claim_writes(history: &History, _: &Plan) -> Option<Finding> {
    writes(history).find_map(|(index, _, write)| {
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
        let description = format!(
            "`{}` was accepted although the claim of `{}` was not active",
            write.op, write.id
        );
        Some(Finding::new(index, &write.id, description))
    })
}

pub(super) fn a_claim_ends_once(history: &History, _: &Plan) -> Option<Finding> {
    let mut ended = HashSet::new();
    writes(history).find_map(|(index, _, write)| match write.op {
        Op::Finish {
            token,
            accepted: true,
            ..
        } if !ended.insert(token) => Some(Finding::new(
            index,
            &write.id,
            format!("the claim {token:?} ended a second time"),
        )),
        _ => None,
    })
}

pub(super) fn an_expired_lease_is_not_extended(history: &History, _: &Plan) -> Option<Finding> {
    writes(history).find_map(|(index, _, write)| {
        let Op::Renew {
            answer: Renewed::Held | Renewed::Cancelled,
            ..
        } = write.op
        else {
            return None;
        };
        let lease = write.before.as_ref()?.state.lease.as_ref()?;
        (lease.until <= write.now).then(|| {
            let description = format!(
                "the lease of `{}` was extended after it had expired on the worker's clock",
                write.id
            );
            Finding::new(index, &write.id, description)
        })
    })
}

/// Checks that no renewal shortens a lease. A worker relies on the latest end of its lease that was acknowledged.
pub(super) fn a_lease_is_not_shortened(history: &History, _: &Plan) -> Option<Finding> {
    writes(history).find_map(|(index, _, write)| {
        let Op::Renew { .. } = write.op else { return None };
        let before = write.before.as_ref()?.state.lease.as_ref()?;
        let after = write.after.as_ref()?.state.lease.as_ref()?;
        (after.token == before.token && after.until < before.until).then(|| {
            let description = format!("a renewal shortened the lease of `{}`", write.id);
            Finding::new(index, &write.id, description)
        })
    })
}
