//! The promises, compared with what handlers did and with what the store says.
//!
//! | name | what is promised |
//! | --- | --- |
//! | `lost` | a task whose creation was acknowledged is there |
//! | `never acknowledged` | every call of a client succeeds once nothing goes wrong any more |
//! | `hopeless` | trouble that passes is called trouble that may pass |
//! | `never ends` | every task ends once nothing goes wrong any more |
//! | `changed` | a task that has ended does not change: at most one completion is accepted |
//! | `unproven` | a completed task has the result of a call that came to its end, in the attempt that it says |
//! | `beside` | no two handlers of one task or one resource key run at the same time, its cleanup included |
//! | `zombie` | no handler runs after its task has ended, or longer than a heartbeat after it was deleted |
//! | `early` | no handler runs before its task is due |
//! | `attempts` | attempts and errors add up, and every attempt that began was counted |
//! | `ending` | a task ends as its handler and its cancellation say |
//! | `cleanup` | an accepted cancellation leads to a cleanup that comes to its end, and the handler runs no more |
//! | `occurrences` | a generator's occurrences are those of its rule, as its policy for missed ones says |
//! | `deleted` | a deleted task is gone |

mod generators;
mod handlers;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use oncetask::task::transition::Change;
use oncetask::{Ending, OnceTask as _, Task, TaskId};

use super::effects::{Effects, Phase, Ran, Receipt};
use super::producer::Known;
use super::records::Records;
use super::work::{Cancelled, DOOMED_ATTEMPTS, Doomed, Ticker};

/// Instants of the store have whole milliseconds, those of effects are finer.
const MILLISECOND: Duration = Duration::from_millis(1);

/// All that is known of an episode when it is over.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) known: HashMap<TaskId, Known>,
    /// What clients were told that does not say that it may pass.
    pub(crate) errors: Vec<String>,
    /// How many calls of clients were not acknowledged.
    pub(crate) unacknowledged: usize,
    pub(crate) effects: Effects,
    pub(crate) records: Records,
    /// The processes that were killed, and when.
    pub(crate) kills: Vec<(u32, u128)>,
    pub(crate) heartbeat: Duration,
}

/// A promise that was not kept.
pub(super) fn broken(name: &str, what: impl AsRef<str>) -> String {
    format!("{name}: {}", what.as_ref())
}

impl History {
    /// What was promised and not kept.
    pub(crate) fn check(&self) -> Vec<String> {
        let mut violations: Vec<_> = self
            .errors
            .iter()
            .map(|error| broken("hopeless", error))
            .collect();
        if self.unacknowledged > 0 {
            let what = format!("{} calls of clients", self.unacknowledged);
            violations.push(broken("never acknowledged", what));
        }
        let by_task = self.effects.by_task();
        let calls = |id: &TaskId| by_task.get(id).map_or(&[][..], Vec::as_slice);
        for (id, known) in &self.known {
            violations.extend(self.of_known(id, known, calls(id)));
        }
        for id in &self.effects.children {
            match self.records.tasks.get(id) {
                None => violations.push(broken("lost", format!("{id}, which a handler created"))),
                Some(task) => violations.extend(of_task(task, 0, calls(id))),
            }
        }
        for occurrence in self.records.occurrences.values().flatten() {
            violations.extend(of_task(occurrence, 0, calls(occurrence.id())));
            violations.extend(handlers::not_before(
                occurrence.id(),
                occurrence.spec.occurrence.as_ref().map(|of| of.at),
                calls(occurrence.id()),
            ));
        }
        violations.extend(handlers::beside(&self.effects.calls));
        violations
    }

    fn of_known(&self, id: &TaskId, known: &Known, calls: &[&Ran]) -> Vec<String> {
        let stored = self.records.tasks.get(id);
        if let Some(deleted) = known.deleted {
            let mut violations = handlers::none_after("deleted", id, deleted, self.heartbeat, calls);
            violations.extend(stored.map(|task| broken("deleted", format!("it is still there: {task:?}"))));
            return violations;
        }
        let Some(task) = stored else {
            return vec![broken("lost", format!("{id} of the kind {}", known.kind))];
        };
        let mut violations = of_task(task, known.resets, calls);
        if let Some(seen) = known.seen.as_ref().filter(|seen| *seen != task) {
            violations.push(broken("changed", format!("from {seen:?} to {task:?}")));
        }
        violations.extend(handlers::not_before(id, known.not_before, calls));
        violations.extend(self.cancellation(task, known, calls));
        if known.kind == Ticker::KIND {
            let none = Vec::new();
            let occurrences = self.records.occurrences.get(id).unwrap_or(&none);
            violations.extend(generators::check(task, known, occurrences));
        }
        violations
    }

    /// How long each task of a killed worker waited until it ran again.
    pub(crate) fn recoveries(&self) -> Vec<Duration> {
        let by_task = self.effects.by_task();
        let mut recoveries = Vec::new();
        for (process, killed) in &self.kills {
            let was_cut_off =
                |call: &&Ran| call.process == *process && call.is_cut_off() && call.last <= *killed;
            for call in self.effects.calls.iter().filter(was_cut_off) {
                for task in &call.tasks {
                    let next = by_task[&task.id].iter().find(|next| next.begun > *killed);
                    recoveries.extend(next.map(|next| nanos(next.begun - killed)));
                }
            }
        }
        recoveries
    }
}

/// What holds of every task.
fn of_task(task: &Task, resets: u32, calls: &[&Ran]) -> Vec<String> {
    let Some(done) = task.state.done else {
        return vec![broken("never ends", format!("{task:?}; its calls: {calls:?}"))];
    };
    if task.spec.recurrence.is_some() {
        return Vec::new();
    }
    let mut violations = handlers::none_after("zombie", task.id(), done.at, MILLISECOND, calls);
    violations.extend(attempts(task, resets, calls));
    violations.extend(ending(task, done.how, calls));
    violations
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The instant as effects have it.
fn instant(at: DateTime<Utc>) -> u128 {
    let nanos = at.timestamp_nanos_opt().unwrap_or_default();
    u128::try_from(nanos).unwrap_or_default()
}

/// Attempts and errors add up: each attempt that began was counted, and each but the one that completed the
/// task left an error.
fn attempts(task: &Task, resets: u32, calls: &[&Ran]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut wrong = |what: &str| violations.push(broken("attempts", format!("{what}: {task:?}")));
    let errors = |cleanup| {
        let count = task
            .errors()
            .iter()
            .filter(|error| error.cleanup == cleanup)
            .count();
        u32::try_from(count).unwrap_or(u32::MAX)
    };
    let (counted, failed) = (task.attempts(), errors(false));
    let adds_up = match task.state.done.map(|done| done.how) {
        // What completed it left no error.
        Some(Ending::Completed) => failed + 1 == counted,
        // One that was cancelled while it ran may have completed its work.
        Some(Ending::Cancelled) => failed == counted || failed + 1 == counted,
        _ => failed == counted,
    };
    if !adds_up {
        wrong(&format!("{failed} errors in {counted} attempts"));
    }
    let (counted, failed) = (task.state.cleanup_attempts, errors(true));
    if counted > 0 && failed + 1 != counted {
        wrong(&format!("{failed} errors in {counted} attempts to clean up"));
    }
    let begun = calls
        .iter()
        .filter(|call| call.phase == Phase::Run)
        .filter_map(|call| call.of(task.id()))
        .map(|attempt| attempt.attempt)
        .max();
    let may_be_uncounted = resets > 0 || task.state.cancelled_at.is_some();
    if begun.is_some_and(|begun| begun > task.attempts()) && !may_be_uncounted {
        wrong(&format!("attempt {begun:?} began"));
    }
    violations
}

/// A task ends as its handler says, and says which call it was that ended it.
fn ending(task: &Task, how: Ending, calls: &[&Ran]) -> Vec<String> {
    let mut violations = Vec::new();
    if how == Ending::Completed {
        let proof = task.result::<Receipt>().ok().flatten();
        let proven = proof.is_some_and(|receipt| {
            receipt.attempt == task.attempts()
                && calls
                    .iter()
                    .filter(|call| call.number == receipt.call && call.phase == Phase::Run)
                    .filter_map(|call| call.of(task.id()))
                    .any(|attempt| attempt.ended && attempt.attempt == receipt.attempt)
        });
        if !proven {
            let what = format!("{proof:?} of {task:?}; its calls: {calls:?}");
            violations.push(broken("unproven", what));
        }
    }
    let is_doomed = task.kind() == Doomed::KIND;
    let is_right = match how {
        Ending::Completed => !is_doomed,
        // A claim that found the attempts used up, and fell silent in turn, was counted too. It ran nothing.
        Ending::Failed => is_doomed && task.attempts() >= DOOMED_ATTEMPTS,
        Ending::Cancelled => task.state.cancelled_at.is_some(),
        other => unreachable!("unknown ending: {other:?}"),
    };
    if !is_right {
        violations.push(broken("ending", format!("{how:?}: {task:?}")));
    }
    let begun = calls.iter().filter_map(|call| call.of(task.id()));
    if is_doomed && begun.map(|attempt| attempt.attempt).max() > Some(DOOMED_ATTEMPTS) {
        let what =
            format!("its handler ran more than {DOOMED_ATTEMPTS} times: {task:?}; its calls: {calls:?}");
        violations.push(broken("attempts", what));
    }
    violations
}

impl History {
    /// What follows from a cancellation that was acknowledged.
    fn cancellation(&self, task: &Task, known: &Known, calls: &[&Ran]) -> Vec<String> {
        let Some((acknowledged, change)) = known.cancelled else {
            return Vec::new();
        };
        let how = task.state.done.map(|done| done.how);
        let expected = match change {
            Change::Applied | Change::AlreadyCancelled => Ending::Cancelled,
            _ => Ending::Completed,
        };
        let mut violations = Vec::new();
        if change == Change::NotFound {
            violations.push(broken("lost", format!("{} when it was cancelled", task.id())));
        }
        if how != Some(expected) {
            let what = format!("{how:?} after a cancellation that was {change:?}: {task:?}");
            violations.push(broken("ending", what));
        }
        if task.kind() == Cancelled::KIND && how == Some(Ending::Cancelled) {
            let cleaned_up = calls
                .iter()
                .filter(|call| call.phase == Phase::Cleanup)
                .filter_map(|call| call.of(task.id()))
                .any(|attempt| attempt.ended && attempt.attempt == task.state.cleanup_attempts);
            if !cleaned_up {
                violations.push(broken(
                    "cleanup",
                    format!("none ended: {task:?}; its calls: {calls:?}"),
                ));
            }
            let runs: Vec<_> = calls
                .iter()
                .filter(|call| call.phase == Phase::Run)
                .copied()
                .collect();
            // A claim may be on its way when the cancellation is accepted.
            let late = instant(acknowledged) + self.heartbeat.as_nanos();
            if let Some(run) = runs.iter().find(|run| run.begun > late) {
                violations.push(broken(
                    "cleanup",
                    format!("the handler ran again: {run:?} of {task:?}"),
                ));
            }
        }
        violations
    }
}
