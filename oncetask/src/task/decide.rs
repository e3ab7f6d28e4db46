//! The decisions of a worker about a claimed task, as pure functions.
//!
//! [`transition`](super::transition) decides what a verdict does to a task. The functions here decide the
//! verdict: their inputs are the task, the answer of its retry policy, and facts about its handler.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::transition::{Phase, Verdict, deferral};
use super::{Json, Task};

/// The last instant that every store can write: the end of the year 9999, in seconds since the epoch.
const LAST_INSTANT: i64 = 253_402_300_799;

/// The next step of a worker that has claimed a task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NextStep {
    /// Create the occurrences of a generator and advance it.
    Advance,
    /// Call the handler of the claim's phase.
    Call,
    /// End the claim with this verdict, without a call.
    End(Verdict),
}

/// Returns the next step for a claimed task. `has_handler` tells whether its type has a handler for the
/// claim's [phase].
///
/// A cancelled task whose type has no cleanup handler needs no cleanup. Its claim completes, and so the task
/// ends as cancelled.
pub(crate) fn next_step(task: &Task, has_handler: bool) -> NextStep {
    if task.spec.recurrence.is_some() {
        NextStep::Advance
    } else if has_handler {
        NextStep::Call
    } else {
        NextStep::End(Verdict::Complete(None))
    }
}

/// Returns the verdict on a claimed task whose previous attempts used up its retry policy, or `None` if another
/// attempt may begin.
///
/// Only an orphaned attempt is checked here, because the worker that reported any other attempt applied the
/// policy to it. `allows_another` asks the policy, given the number of the orphaned attempt and its error.
/// Attempts of the handler do not count for the cleanup handler: if no cleanup attempt began before this claim,
/// the orphaned attempt was one of the handler.
pub(crate) fn exhausted(
    task: &Task,
    orphaned: bool,
    allows_another: impl FnOnce(u32, &str) -> bool,
) -> Option<Verdict> {
    let previous = task.state.attempts_in(phase(task)).saturating_sub(1);
    if !orphaned || previous == 0 {
        return None;
    }
    let error = task.errors().last().map_or("", |error| &error.error);
    (!allows_another(previous, error)).then_some(Verdict::Exhausted)
}

/// Returns the verdict on a failed attempt. `delay` is the answer of the retry policy: the delay before the
/// next attempt, or `None` if no attempt is left.
pub(crate) fn failed(error: String, delay: Option<Duration>, now: DateTime<Utc>) -> Verdict {
    match delay {
        Some(delay) => Verdict::Retry {
            at: later(now, delay),
            error,
        },
        None => Verdict::Fail { error },
    }
}

/// Returns the error of an attempt whose result is larger than a store can hold, or `None` if it is not.
pub(crate) fn too_large(result: &Json) -> Option<String> {
    let bytes = result.as_str().len();
    (bytes > Json::MAX_BYTES).then(|| {
        let limit = Json::MAX_BYTES;
        format!(
            "the result has {bytes} bytes, and {limit} is the limit; store the data elsewhere and return its address"
        )
    })
}

/// Returns the verdict on an attempt that the handler snoozed for this long.
pub(crate) fn snoozed(delay: Duration, now: DateTime<Utc>) -> Verdict {
    Verdict::Snooze {
        at: later(now, delay),
    }
}

/// Returns the verdict on a task whose payload this worker cannot decode.
pub(crate) fn deferred(task: &Task, now: DateTime<Utc>) -> Verdict {
    Verdict::Defer {
        at: later(now, deferral(task.state.deferrals)),
    }
}

/// Returns the phase of a task's claim.
pub(crate) fn phase(task: &Task) -> Phase {
    task.state.lease.as_ref().map_or(Phase::Run, |lease| lease.phase)
}

/// Returns the instant that lies this long after `now`, or the last instant that every store can write.
fn later(now: DateTime<Utc>, delay: Duration) -> DateTime<Utc> {
    let last = DateTime::from_timestamp(LAST_INSTANT, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let delay = chrono::TimeDelta::from_std(delay).ok();
    delay
        .and_then(|delay| now.checked_add_signed(delay))
        .map_or(last, |at| at.min(last))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::schedule::Recurrence;
    use crate::task::{AttemptError, Json, Lease, LeaseToken, TaskId, TaskSpec, transition};

    const SECOND: Duration = Duration::from_secs(1);

    fn now() -> DateTime<Utc> {
        "2026-01-05T09:00:00Z".parse().unwrap()
    }

    /// Returns a task that was claimed this many times for this phase.
    fn claimed(phase: Phase, claims: u32) -> Task {
        let spec = TaskSpec::new(TaskId::new("a"), "A", Json::of(&()).unwrap(), now());
        let mut task = Task::new(spec, now());
        for _ in 0..claims {
            let until = now() + TimeDelta::minutes(1);
            let lease = Lease::new(LeaseToken::random(), until, "worker", phase);
            transition::claim(&mut task, lease, now());
        }
        task
    }

    #[test]
    fn a_task_is_called_if_there_is_a_handler_for_its_phase() {
        assert_eq!(next_step(&claimed(Phase::Run, 1), true), NextStep::Call);
        assert_eq!(next_step(&claimed(Phase::Cleanup, 1), true), NextStep::Call);
    }

    #[test]
    fn a_cancelled_task_without_a_cleanup_handler_ends_as_cancelled() {
        let mut task = claimed(Phase::Run, 0);
        transition::cancel(&mut task, now());
        let lease = Lease::new(LeaseToken::random(), now(), "worker", Phase::Cleanup);
        let token = lease.token;
        transition::claim(&mut task, lease, now());
        let NextStep::End(verdict) = next_step(&task, false) else {
            panic!("the claim does not end");
        };
        transition::finish(&mut task.state, token, verdict, false, now()).unwrap();
        let how = task.state.done.map(|done| done.how);
        assert_eq!(how, Some(crate::task::Ending::Cancelled));
    }

    #[test]
    fn a_generator_advances() {
        let mut task = claimed(Phase::Run, 0);
        task.spec.recurrence = Some(Recurrence::new("FREQ=DAILY").unwrap());
        assert_eq!(next_step(&task, true), NextStep::Advance);
        assert_eq!(next_step(&task, false), NextStep::Advance);
    }

    #[test]
    fn an_orphaned_attempt_that_was_the_last_exhausts_the_task() {
        let mut task = claimed(Phase::Run, 3);
        task.state.errors = vec![AttemptError::new(now(), 2, "lease expired")];
        let mut asked = Vec::new();
        let mut decide = |orphaned, allows| {
            exhausted(&task, orphaned, |attempt, error| {
                asked.push((attempt, error.to_owned()));
                allows
            })
        };
        assert_eq!(decide(true, false), Some(Verdict::Exhausted));
        assert_eq!(decide(true, true), None);
        assert_eq!(decide(false, false), None);
        let question = (2, "lease expired".to_owned());
        assert_eq!(asked, [question.clone(), question]);
    }

    #[test]
    fn an_orphaned_handler_does_not_exhaust_the_cleanup_handler() {
        assert_eq!(exhausted(&claimed(Phase::Cleanup, 1), true, |_, _| false), None);
        let second = claimed(Phase::Cleanup, 2);
        assert_eq!(exhausted(&second, true, |_, _| false), Some(Verdict::Exhausted));
    }

    #[test]
    fn a_failed_attempt_is_retried_after_the_delay_of_its_policy_or_fails_the_task() {
        let error = || "no answer".to_owned();
        let at = now() + TimeDelta::seconds(1);
        assert_eq!(
            failed(error(), Some(SECOND), now()),
            Verdict::Retry { at, error: error() }
        );
        assert_eq!(failed(error(), None, now()), Verdict::Fail { error: error() });
    }

    #[test]
    fn an_unreadable_payload_is_deferred_for_longer_each_time() {
        let mut task = claimed(Phase::Run, 1);
        let mut minutes = |deferrals| {
            task.state.deferrals = deferrals;
            let Verdict::Defer { at } = deferred(&task, now()) else {
                panic!("the task is not deferred");
            };
            (at - now()).num_minutes()
        };
        assert_eq!([minutes(0), minutes(1), minutes(2), minutes(50)], [1, 2, 4, 60]);
    }

    #[test]
    fn a_delay_beyond_the_year_9999_ends_at_the_last_instant_that_a_store_can_write() {
        let at = DateTime::from_timestamp(LAST_INSTANT, 0).unwrap();
        assert_eq!(snoozed(Duration::MAX, now()), Verdict::Snooze { at });
        assert_eq!(snoozed(SECOND * u32::MAX * 1000, now()), Verdict::Snooze { at });
    }
}
