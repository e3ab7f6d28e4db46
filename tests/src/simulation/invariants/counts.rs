//! The invariant that a task's attempts, errors and completions add up.

use std::collections::HashMap;
use std::sync::Arc;

use oncetask::Task;
use oncetask::task::transition::{Change, Phase, Verdict};

use super::{Finding, writes};
use crate::simulation::history::{History, Op, Write};
use crate::simulation::plan::Plan;

/// The counts of one phase since the task was created or reset.
#[derive(Clone, Copy, Default)]
struct Counts {
    attempts: u32,
    completions: u32,
}

pub(super) fn attempts_and_errors_add_up(history: &History, _: &Plan) -> Option<Finding> {
    let mut tasks = HashMap::<_, [Counts; 2]>::new();
    writes(history).find_map(|(index, _, write)| {
        let task = write
            .after
            .as_deref()
            .filter(|task| task.spec.recurrence.is_none());
        let Some(task) = task else {
            tasks.remove(&write.id);
            return None;
        };
        let counts = tasks.entry(&write.id).or_default();
        count(counts, write);
        let difference = [Phase::Run, Phase::Cleanup]
            .into_iter()
            .find_map(|phase| difference(task, phase, counts[phase_index(phase)]));
        difference.map(|text| Finding::new(index, &write.id, format!("`{}`: {text}", write.id)))
    })
}

fn count(counts: &mut [Counts; 2], write: &Write) {
    let leased_phase =
        |task: &Option<Arc<Task>>| Some(phase_index(task.as_ref()?.state.lease.as_ref()?.phase));
    match &write.op {
        Op::Reset(Change::Applied) | Op::Create { new: true } => *counts = Default::default(),
        Op::Claim { .. } => {
            if let Some(phase) = leased_phase(&write.after) {
                counts[phase].attempts += 1;
            }
        }
        Op::Finish {
            verdict,
            accepted: true,
            ..
        } => {
            let Some(phase) = leased_phase(&write.before) else {
                return;
            };
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

/// Checks that every attempt completed, left an error, or is under way. Returns a description if the numbers differ.
fn difference(task: &Task, phase: Phase, counts: Counts) -> Option<String> {
    let state = &task.state;
    let attempts = match phase {
        Phase::Run => state.attempts,
        Phase::Cleanup => state.cleanup_attempts,
        _ => unreachable!("unknown phase {phase:?}"),
    };
    if attempts != counts.attempts {
        return Some(format!(
            "the task has {attempts} attempts ({phase:?}), and {} claims count",
            counts.attempts
        ));
    }
    let errors = state
        .errors
        .iter()
        .filter(|error| error.cleanup == (phase == Phase::Cleanup))
        .count();
    let leased = u32::from(state.lease.as_ref().is_some_and(|lease| lease.phase == phase));
    let sum = u32::try_from(errors).expect("a small number of errors") + counts.completions + leased;
    (attempts != sum).then(|| {
        let completions = counts.completions;
        format!(
            "{attempts} attempts ({phase:?}) are not {errors} errors, {completions} completions and {leased} under way"
        )
    })
}

fn phase_index(phase: Phase) -> usize {
    usize::from(phase == Phase::Cleanup)
}
