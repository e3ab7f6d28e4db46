//! Invariants of a task from its creation to its end.

use std::collections::{HashMap, HashSet};

use oncetask::store::Renewed;
use oncetask::task::transition::{Change, Phase, Verdict};

use super::{Finding, writes};
use crate::simulation::history::{EventKind, History, Op, Write};
use crate::simulation::plan::Plan;

pub(super) fn no_acknowledged_task_is_lost(history: &History, _: &Plan) -> Option<Finding> {
    let stored: HashSet<_> = history
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Final { task } => Some(task.id()),
            _ => None,
        })
        .collect();
    let deleted: HashSet<_> = writes(history)
        .filter(|(.., write)| matches!(write.op, Op::Delete(Change::Applied)))
        .map(|(.., write)| &write.id)
        .collect();
    let mut events = history.events.iter().enumerate();
    events.find_map(|(index, event)| match &event.kind {
        EventKind::Acknowledged { id } if !stored.contains(id) && !deleted.contains(id) => {
            let description = format!("`{id}` was acknowledged, never deleted, and is not stored");
            Some(Finding::new(index, id, description))
        }
        _ => None,
    })
}

pub(super) fn every_response_matches_the_stored_task(history: &History, _: &Plan) -> Option<Finding> {
    let (index, _, write) = writes(history).find(|(.., write)| !matches_the_stored_task(write))?;
    let description = format!(
        "the response `{}` does not match the stored task `{}`",
        write.op, write.id
    );
    Some(Finding::new(index, &write.id, description))
}

/// Returns whether an accepted write had its effect, or a refused one changed nothing.
fn matches_the_stored_task(write: &Write) -> bool {
    let after = write.after.as_deref();
    let lease = after.and_then(|task| task.state.lease.as_ref());
    match &write.op {
        Op::Create { .. } | Op::Spawn => true,
        Op::Claim { token, .. } => lease.is_some_and(|lease| lease.token == *token),
        Op::Renew {
            until,
            answer: Renewed::Held | Renewed::Cancelled,
            ..
        } => lease.is_some_and(|lease| until.is_none_or(|until| lease.until >= until)),
        Op::Finish {
            token,
            accepted: true,
            ..
        } => after.is_some() && lease.is_none_or(|lease| lease.token != *token),
        Op::Cancel(Change::Applied) => after.is_some_and(|task| task.state.cancelled_at.is_some()),
        Op::Reset(Change::Applied) => after.is_some_and(|task| !task.is_done() && lease.is_none()),
        Op::Delete(Change::Applied) => after.is_none(),
        Op::Renew { .. } | Op::Finish { .. } | Op::Cancel(_) | Op::Reset(_) | Op::Delete(_) => {
            write.before.as_deref() == after
        }
    }
}

pub(super) fn each_id_is_created_once(history: &History, _: &Plan) -> Option<Finding> {
    let mut stored = HashSet::new();
    writes(history).find_map(|(index, _, write)| match write.op {
        Op::Delete(Change::Applied) => {
            stored.remove(&write.id);
            None
        }
        Op::Create { new: true } if !stored.insert(&write.id) => Some(Finding::new(
            index,
            &write.id,
            format!("`{}` was created a second time", write.id),
        )),
        _ => None,
    })
}

/// Checks that the handler and the cleanup handler each complete at most once until the task is reset.
pub(super) fn at_most_one_completion_per_reset(history: &History, _: &Plan) -> Option<Finding> {
    let mut completed = HashMap::<_, Vec<Phase>>::new();
    writes(history).find_map(|(index, _, write)| match &write.op {
        Op::Reset(Change::Applied) | Op::Delete(Change::Applied) => {
            completed.remove(&write.id);
            None
        }
        Op::Finish {
            verdict: Verdict::Complete(_),
            accepted: true,
            ..
        } => {
            let phase = write.before.as_ref()?.state.lease.as_ref()?.phase;
            let phases = completed.entry(&write.id).or_default();
            if phases.contains(&phase) {
                let description = format!("a second completion of `{}` was accepted", write.id);
                return Some(Finding::new(index, &write.id, description));
            }
            phases.push(phase);
            None
        }
        _ => None,
    })
}

/// Checks liveness: long after the last fault no task is unfinished.
pub(super) fn every_task_ends(history: &History, _: &Plan) -> Option<Finding> {
    let mut events = history.events.iter().enumerate();
    events.find_map(|(index, event)| match &event.kind {
        EventKind::Final { task } if !task.is_done() => {
            let description = format!("`{}` has not ended although the faults have stopped", task.id());
            Some(Finding::new(index, task.id(), description))
        }
        _ => None,
    })
}
