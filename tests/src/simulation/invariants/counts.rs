//! What a task says of its attempts.

use std::collections::HashMap;

use oncetask::Task;
use oncetask::task::transition::{Change, Phase, Verdict};

use super::{Breach, writes};
use crate::simulation::history::{History, Op, Write};
use crate::simulation::plan::Plan;

/// What was counted since the task's beginning: of its handler, and of its cleanup handler.
#[derive(Clone, Copy, Default)]
struct Counted {
    attempts: u32,
    completions: u32,
}

pub(super) fn attempts_and_errors_add_up(history: &History, _: &Plan) -> Option<Breach> {
    let mut counted = HashMap::<_, [Counted; 2]>::new();
    writes(history).find_map(|(place, _, write)| {
        let task = write
            .after
            .as_deref()
            .filter(|task| task.spec.recurrence.is_none());
        let Some(task) = task else {
            counted.remove(&write.id);
            return None;
        };
        let counts = counted.entry(&write.id).or_default();
        count(counts, write);
        let wrong = [Phase::Run, Phase::Cleanup]
            .into_iter()
            .find_map(|phase| wrong(task, phase, counts[place_of(phase)]));
        wrong.map(|what| Breach::of(place, &write.id, format!("`{}`: {what}", write.id)))
    })
}

fn count(counts: &mut [Counted; 2], write: &Write) {
    let phase =
        |task: &Option<std::sync::Arc<Task>>| Some(place_of(task.as_ref()?.state.lease.as_ref()?.phase));
    match &write.op {
        Op::Reset(Change::Applied) | Op::Create { new: true } => *counts = Default::default(),
        Op::Claim { .. } => {
            if let Some(phase) = phase(&write.after) {
                counts[phase].attempts += 1;
            }
        }
        Op::Finish {
            verdict,
            accepted: true,
            ..
        } => {
            let Some(phase) = phase(&write.before) else { return };
            match verdict {
                Verdict::Complete(_) => counts[phase].completions += 1,
                Verdict::Exhausted | Verdict::Snooze { .. } | Verdict::Release | Verdict::Defer { .. } => {
                    counts[phase].attempts = counts[phase].attempts.saturating_sub(1);
                }
                Verdict::Retry { .. }
                | Verdict::Fail { .. }
                | Verdict::Cancel { .. }
                | Verdict::Advance { .. } => {}
                other => unreachable!("unknown verdict: {other:?}"),
            }
        }
        _ => {}
    }
}

/// Each attempt completed, left an error, or goes on.
fn wrong(task: &Task, phase: Phase, counted: Counted) -> Option<String> {
    let state = &task.state;
    let attempts = match phase {
        Phase::Run => state.attempts,
        Phase::Cleanup => state.cleanup_attempts,
    };
    if attempts != counted.attempts {
        return Some(format!(
            "it says {attempts} attempts ({phase:?}), and {} were claimed",
            counted.attempts
        ));
    }
    let errors = state
        .errors
        .iter()
        .filter(|error| error.cleanup == (phase == Phase::Cleanup))
        .count();
    let held = u32::from(state.lease.as_ref().is_some_and(|lease| lease.phase == phase));
    let sum = u32::try_from(errors).expect("errors are few") + counted.completions + held;
    (attempts != sum).then(|| {
        let completions = counted.completions;
        format!("{attempts} attempts ({phase:?}) are not {errors} errors, {completions} completions and {held} held")
    })
}

fn place_of(phase: Phase) -> usize {
    usize::from(phase == Phase::Cleanup)
}
