//! From a task's creation to its end.

use std::collections::{HashMap, HashSet};

use oncetask::store::Renewed;
use oncetask::task::transition::{Change, Phase, Verdict};

use super::{Breach, writes};
use crate::simulation::history::{History, Op, What, Write};
use crate::simulation::plan::Plan;

pub(super) fn no_acknowledged_task_is_lost(history: &History, _: &Plan) -> Option<Breach> {
    let left: HashSet<_> = history
        .events
        .iter()
        .filter_map(|event| match &event.what {
            What::Left { task } => Some(task.id()),
            _ => None,
        })
        .collect();
    let deleted: HashSet<_> = writes(history)
        .filter(|(.., write)| matches!(write.op, Op::Delete(Change::Applied)))
        .map(|(.., write)| &write.id)
        .collect();
    history
        .events
        .iter()
        .enumerate()
        .find_map(|(place, event)| match &event.what {
            What::Acknowledged { id } if !left.contains(id) && !deleted.contains(id) => Some(Breach::of(
                place,
                id,
                format!("`{id}` was acknowledged, never deleted, and is not stored"),
            )),
            _ => None,
        })
}

pub(super) fn what_is_answered_is_stored(history: &History, _: &Plan) -> Option<Breach> {
    writes(history)
        .find(|(.., write)| !is_stored(write))
        .map(|(place, _, write)| {
            Breach::of(
                place,
                &write.id,
                format!("the answer was `{}`; it is not what is stored", write.op),
            )
        })
}

fn is_stored(write: &Write) -> bool {
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
        // What was refused changes nothing.
        Op::Renew { .. } | Op::Finish { .. } | Op::Cancel(_) | Op::Reset(_) | Op::Delete(_) => {
            write.before.as_deref() == after
        }
    }
}

pub(super) fn each_id_is_created_once(history: &History, _: &Plan) -> Option<Breach> {
    let mut there = HashSet::new();
    writes(history).find_map(|(place, _, write)| match write.op {
        Op::Delete(Change::Applied) => {
            there.remove(&write.id);
            None
        }
        Op::Create { new: true } if !there.insert(&write.id) => Some(Breach::of(
            place,
            &write.id,
            format!("`{}` was created a second time", write.id),
        )),
        _ => None,
    })
}

pub(super) fn one_completion_for_each_reset(history: &History, _: &Plan) -> Option<Breach> {
    let mut completed = HashMap::<_, Vec<Phase>>::new();
    writes(history).find_map(|(place, _, write)| match &write.op {
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
                let what = format!("a second completion of `{}` was accepted", write.id);
                return Some(Breach::of(place, &write.id, what));
            }
            phases.push(phase);
            None
        }
        _ => None,
    })
}

/// Liveness: nothing is left that could go on, long after the last fault.
pub(super) fn every_task_ends(history: &History, _: &Plan) -> Option<Breach> {
    history
        .events
        .iter()
        .enumerate()
        .find_map(|(place, event)| match &event.what {
            What::Left { task } if !task.is_done() => {
                let what = format!("`{}` has not ended although nothing stands in its way", task.id());
                Some(Breach::of(place, task.id(), what))
            }
            _ => None,
        })
}
