//! The checker: compares the promises with the effects of the handlers and with the stored tasks.
//!
//! | name | promise |
//! | --- | --- |
//! | `lost` | a task whose creation was acknowledged is stored |
//! | `never acknowledged` | every call of a client succeeds once the faults stop |
//! | `permanent error` | errors during the faults are marked as transient |
//! | `never ends` | every task ends once the faults stop |
//! | `changed` | a task that has ended does not change: at most one completion is accepted |
//! | `unproven` | a completed task has the result of a call that succeeded, in the attempt that the task shows |
//! | `overlap` | no two handlers of one task or one resource key run at the same time, its cleanup included |
//! | `zombie` | no handler runs after its task has ended, or longer than a heartbeat after it was deleted |
//! | `early` | no handler runs before its task is due |
//! | `attempts` | attempts and errors add up, and every attempt that began was counted |
//! | `ending` | the ending of a task follows from its handler and its cancellation |
//! | `cleanup` | an accepted cancellation leads to a successful cleanup, and the handler does not run again |
//! | `occurrences` | a generator's occurrences follow its rule and its policy for missed occurrences |
//! | `deleted` | a deleted task is not stored |

mod generators;
mod handlers;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use oncetask::task::transition::Change;
use oncetask::{Ending, OnceTask as _, Task, TaskId};

use super::effects::{Effects, Phase, Receipt, RecordedCall};
use super::producer::Known;
use super::records::Records;
use super::work::{Cancelled, DOOMED_ATTEMPTS, Doomed, Ticker};

/// The resolution of stored instants. The times of effects are finer.
const MILLISECOND: Duration = Duration::from_millis(1);

/// The facts about an episode.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) known: HashMap<TaskId, Known>,
    /// The errors of client calls that are not marked as transient.
    pub(crate) permanent_errors: Vec<String>,
    /// The number of client calls that were not acknowledged.
    pub(crate) unacknowledged: usize,
    pub(crate) effects: Effects,
    pub(crate) records: Records,
    /// The id of each killed process, and the time of the kill in nanoseconds since the Unix epoch.
    pub(crate) kills: Vec<(u32, u128)>,
    pub(crate) heartbeat: Duration,
}

/// Returns the text of a violation of the promise with this name.
pub(super) fn violation(promise: &str, description: impl AsRef<str>) -> String {
    format!("{promise}: {}", description.as_ref())
}

impl History {
    /// Returns the broken promises.
    pub(crate) fn check(&self) -> Vec<String> {
        let errors = self.permanent_errors.iter();
        let mut violations: Vec<_> = errors.map(|error| violation("permanent error", error)).collect();
        if self.unacknowledged > 0 {
            let description = format!("{} calls of clients", self.unacknowledged);
            violations.push(violation("never acknowledged", description));
        }
        let by_task = self.effects.by_task();
        let calls = |id: &TaskId| by_task.get(id).map_or(&[][..], Vec::as_slice);
        for (id, known) in &self.known {
            violations.extend(self.check_known(id, known, calls(id)));
        }
        for id in &self.effects.children {
            match self.records.tasks.get(id) {
                None => violations.push(violation("lost", format!("{id}, which a handler created"))),
                Some(task) => violations.extend(check_task(task, 0, calls(id))),
            }
        }
        for occurrence in self.records.occurrences.values().flatten() {
            violations.extend(check_task(occurrence, 0, calls(occurrence.id())));
            violations.extend(handlers::starts_before(
                occurrence.id(),
                occurrence.spec.occurrence.as_ref().map(|of| of.at),
                calls(occurrence.id()),
            ));
        }
        violations.extend(handlers::overlaps(&self.effects.calls));
        violations
    }

    /// Checks a task that the producer created.
    fn check_known(&self, id: &TaskId, known: &Known, calls: &[&RecordedCall]) -> Vec<String> {
        let stored = self.records.tasks.get(id);
        if let Some(deleted) = known.deleted {
            let mut violations = handlers::effects_after("deleted", id, deleted, self.heartbeat, calls);
            violations.extend(
                stored.map(|task| violation("deleted", format!("the task is still stored: {task:?}"))),
            );
            return violations;
        }
        let Some(task) = stored else {
            return vec![violation("lost", format!("{id} of the kind {}", known.kind))];
        };
        let mut violations = check_task(task, known.resets, calls);
        if let Some(ended_as) = known.ended_as.as_ref().filter(|ended_as| *ended_as != task) {
            violations.push(violation("changed", format!("from {ended_as:?} to {task:?}")));
        }
        violations.extend(handlers::starts_before(id, known.not_before, calls));
        violations.extend(self.check_cancellation(task, known, calls));
        if known.kind == Ticker::KIND {
            let occurrences = self.records.occurrences.get(id);
            let occurrences = occurrences.map_or(&[][..], Vec::as_slice);
            violations.extend(generators::check(task, known, occurrences));
        }
        violations
    }

    /// Checks the consequences of an acknowledged cancellation.
    fn check_cancellation(&self, task: &Task, known: &Known, calls: &[&RecordedCall]) -> Vec<String> {
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
            violations.push(violation("lost", format!("{} when it was cancelled", task.id())));
        }
        if how != Some(expected) {
            let description = format!("{how:?} after a cancellation with the result {change:?}: {task:?}");
            violations.push(violation("ending", description));
        }
        if task.kind() == Cancelled::KIND && how == Some(Ending::Cancelled) {
            // A claim may be under way when the cancellation is accepted.
            let limit = instant(acknowledged) + self.heartbeat.as_nanos();
            violations.extend(check_cleanup(task, limit, calls));
        }
        violations
    }

    /// Returns the time that each task of a killed worker waited until its handler ran again.
    pub(crate) fn recoveries(&self) -> Vec<Duration> {
        let by_task = self.effects.by_task();
        let mut recoveries = Vec::new();
        for (process, killed) in &self.kills {
            let was_interrupted = |call: &&RecordedCall| {
                call.process == *process && call.is_interrupted() && call.last <= *killed
            };
            for call in self.effects.calls.iter().filter(was_interrupted) {
                for task in &call.tasks {
                    let next = by_task[&task.id].iter().find(|next| next.first > *killed);
                    recoveries.extend(next.map(|next| from_nanos(next.first - killed)));
                }
            }
        }
        recoveries
    }
}

/// Checks that a cancelled task was cleaned up, and that its handler did not start again after the limit.
fn check_cleanup(task: &Task, limit: u128, calls: &[&RecordedCall]) -> Vec<String> {
    let mut violations = Vec::new();
    let cleaned_up = calls
        .iter()
        .filter(|call| call.phase == Phase::Cleanup)
        .filter_map(|call| call.attempt_of(task.id()))
        .any(|attempt| attempt.ended && attempt.attempt == task.state.cleanup_attempts);
    if !cleaned_up {
        let description = format!("no cleanup succeeded: {task:?}; its calls: {calls:?}");
        violations.push(violation("cleanup", description));
    }
    let mut runs = calls.iter().filter(|call| call.phase == Phase::Run);
    if let Some(run) = runs.find(|run| run.first > limit) {
        let description = format!("the handler ran again: {run:?} of {task:?}");
        violations.push(violation("cleanup", description));
    }
    violations
}

/// Checks the promises that apply to every task.
fn check_task(task: &Task, resets: u32, calls: &[&RecordedCall]) -> Vec<String> {
    let Some(done) = task.state.done else {
        let description = format!("{task:?}; its calls: {calls:?}");
        return vec![violation("never ends", description)];
    };
    if task.spec.recurrence.is_some() {
        return Vec::new();
    }
    let mut violations = handlers::effects_after("zombie", task.id(), done.at, MILLISECOND, calls);
    violations.extend(check_attempts(task, resets, calls));
    violations.extend(check_ending(task, done.how, calls));
    violations
}

fn from_nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Converts an instant to the time of effects: nanoseconds since the Unix epoch.
fn instant(at: DateTime<Utc>) -> u128 {
    let nanos = at.timestamp_nanos_opt().unwrap_or_default();
    u128::try_from(nanos).unwrap_or_default()
}

/// Checks that every attempt that began was counted, and that every counted attempt except the one that completed
/// the task left an error.
fn check_attempts(task: &Task, resets: u32, calls: &[&RecordedCall]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut report = |description: &str| {
        violations.push(violation("attempts", format!("{description}: {task:?}")));
    };
    let errors = |cleanup| {
        let errors = task.errors().iter().filter(|error| error.cleanup == cleanup);
        u32::try_from(errors.count()).unwrap_or(u32::MAX)
    };
    let (counted, failed) = (task.attempts(), errors(false));
    let adds_up = match task.state.done.map(|done| done.how) {
        Some(Ending::Completed) => failed + 1 == counted,
        // The handler of a cancelled task may have succeeded.
        Some(Ending::Cancelled) => failed == counted || failed + 1 == counted,
        _ => failed == counted,
    };
    if !adds_up {
        report(&format!("{failed} errors in {counted} attempts"));
    }
    let (counted, failed) = (task.state.cleanup_attempts, errors(true));
    if counted > 0 && failed + 1 != counted {
        report(&format!("{failed} errors in {counted} attempts of the cleanup"));
    }
    let last = calls
        .iter()
        .filter(|call| call.phase == Phase::Run)
        .filter_map(|call| call.attempt_of(task.id()))
        .map(|attempt| attempt.attempt)
        .max();
    let may_be_uncounted = resets > 0 || task.state.cancelled_at.is_some();
    if last.is_some_and(|last| last > task.attempts()) && !may_be_uncounted {
        report(&format!("attempt {last:?} began"));
    }
    violations
}

/// Checks that the ending follows from the handler's calls, and that the result names the call that completed it.
fn check_ending(task: &Task, how: Ending, calls: &[&RecordedCall]) -> Vec<String> {
    let mut violations = Vec::new();
    if how == Ending::Completed {
        let receipt = task.result::<Receipt>().ok().flatten();
        if !receipt.is_some_and(|receipt| is_proof(receipt, task, calls)) {
            let description = format!("{receipt:?} of {task:?}; its calls: {calls:?}");
            violations.push(violation("unproven", description));
        }
    }
    let is_doomed = task.kind() == Doomed::KIND;
    let is_right = match how {
        Ending::Completed => !is_doomed,
        // A claim that ran nothing because no attempt was left counts too if its worker was killed.
        Ending::Failed => is_doomed && task.attempts() >= DOOMED_ATTEMPTS,
        Ending::Cancelled => task.state.cancelled_at.is_some(),
        other => unreachable!("unknown ending: {other:?}"),
    };
    if !is_right {
        violations.push(violation("ending", format!("{how:?}: {task:?}")));
    }
    let attempts = calls.iter().filter_map(|call| call.attempt_of(task.id()));
    if is_doomed && attempts.map(|attempt| attempt.attempt).max() > Some(DOOMED_ATTEMPTS) {
        let description =
            format!("its handler ran more than {DOOMED_ATTEMPTS} times: {task:?}; its calls: {calls:?}");
        violations.push(violation("attempts", description));
    }
    violations
}

/// Returns whether the receipt names a call of the task's last attempt that succeeded.
fn is_proof(receipt: Receipt, task: &Task, calls: &[&RecordedCall]) -> bool {
    receipt.attempt == task.attempts()
        && calls
            .iter()
            .filter(|call| call.number == receipt.call && call.phase == Phase::Run)
            .filter_map(|call| call.attempt_of(task.id()))
            .any(|attempt| attempt.ended && attempt.attempt == receipt.attempt)
}
