//! Every change of a task's state, as a pure function of the state, the event and an instant.
//!
//! These functions do no I/O and read no clock. The stores call them inside their atomic writes, and the tests
//! call them directly.
//!
//! ```text
//!             claim                    finish: Complete, Fail, Cancel
//!  waiting ─────────▶ leased(token) ─────────────────────────────────▶ done
//!     ▲                 │      │                                         │
//!     │   Retry, Snooze,│      │ the lease expires: claim, which records │ reset
//!     └─ Release, Defer ┘      └─ the orphaned attempt as an error       ▼
//!                                                                     waiting
//! ```
//!
//! A claim has a token, and every write under the claim carries it. If the task has another token, the write is
//! refused with [`LeaseLost`]. Therefore at most one completion is accepted, even if a worker that was suspended
//! still considers its claim valid.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use super::record::{whole_millis, whole_millis_up};
use super::{AttemptError, Done, Ending, Json, Lease, LeaseToken, Progress, Task, TaskState};
use crate::schedule::Recurrence;

/// The maximum number of errors that a task keeps.
pub const MAX_ERRORS: usize = 100;
/// The maximum length, in bytes, of a stored error and of a stored progress message.
pub const MAX_ERROR_BYTES: usize = 4096;

/// The refusal of a write: the lease with the token of the write has expired, or the task no longer has it, because
/// another claim took the task, the claim was ended, or the task is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseLost;

/// The handler that a claim calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// The handler.
    Run,
    /// The cleanup handler, because the task's cancellation was accepted.
    Cleanup,
}

/// The outcome that a worker reports at the end of a claim.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// The handler returned `Ok` with this result.
    Complete(Option<Json>),
    /// The attempt failed, and another attempt follows.
    Retry {
        /// The due time of the next attempt.
        at: DateTime<Utc>,
        /// The error of this attempt.
        error: String,
    },
    /// The attempt failed, and no other attempt follows.
    Fail {
        /// The error of this attempt.
        error: String,
    },
    /// The last attempt that the policy allows was orphaned. This claim called no handler.
    Exhausted,
    /// The handler cancelled its own task.
    Cancel {
        /// The handler's reason.
        reason: String,
    },
    /// The handler postponed the task. The attempt does not count.
    Snooze {
        /// The new due time.
        at: DateTime<Utc>,
    },
    /// The claim was not used, or the worker shuts down. The attempt does not count.
    Release,
    /// This worker cannot decode the payload, but a newer one may. The attempt does not count.
    Defer {
        /// The new due time.
        at: DateTime<Utc>,
    },
    /// The generator's occurrences are created in the same write.
    Advance {
        /// The instant of the next occurrence.
        next: Option<DateTime<Utc>>,
    },
}

/// The result of a change that a program asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// The change was made.
    Applied,
    /// The task has ended, so the change cannot be made.
    AlreadyDone,
    /// The task's cancellation was accepted before.
    AlreadyCancelled,
    /// The task has not ended, so it cannot be reset; or it is a generator whose rule never occurs again.
    NotDone,
    /// No task has this id.
    NotFound,
    /// The id belongs to a task of another environment, which was not changed.
    OtherEnvironment,
}

/// Returns whether the task may be claimed at this instant.
#[must_use]
pub fn is_due(state: &TaskState, now: DateTime<Utc>) -> bool {
    state.due().is_some_and(|due| due <= now)
}

/// Returns the phase of the next claim of the task.
#[must_use]
pub fn next_phase(state: &TaskState) -> Phase {
    if state.cancelled_at.is_some() {
        Phase::Cleanup
    } else {
        Phase::Run
    }
}

/// Claims a task that [is due](is_due). Returns whether the previous attempt was orphaned.
///
/// An orphaned attempt is one whose lease expired without a report. It leaves an entry in the errors, because the
/// numbers of attempts and errors must add up: a reader of a stored task compares them to tell a failed task from
/// a completed one. A claim of a generator is not an attempt.
pub fn claim(task: &mut Task, lease: Lease, now: DateTime<Utc>) -> bool {
    let now = whole_millis(now);
    let until = whole_millis(lease.until);
    let counts = task.spec.recurrence.is_none();
    let state = &mut task.state;
    let orphan = state.lease.take().filter(|_| counts);
    if let Some(Lease {
        owner, until, phase, ..
    }) = &orphan
    {
        let until = until.to_rfc3339_opts(SecondsFormat::Millis, true);
        let error =
            format!("lease expired at {until}: worker {owner} stopped renewing it and reported no outcome");
        push_error(state, *phase, error, now);
    }
    if counts {
        let attempts = attempts(state, lease.phase);
        *attempts = attempts.saturating_add(1);
    }
    state.lease = Some(Lease { until, ..lease });
    orphan.is_some()
}

/// Extends a lease, stores progress, or both.
///
/// A lease is never shortened. A renewal that was delayed or repeated may arrive after a later one, and the worker
/// relies on the latest end that was confirmed.
///
/// # Errors
///
/// Returns [`LeaseLost`] if the task has another token or is done, or if the lease has expired: another worker may
/// have claimed the task since then.
pub fn renew(
    state: &mut TaskState,
    token: LeaseToken,
    until: Option<DateTime<Utc>>,
    progress: Option<Progress>,
    now: DateTime<Utc>,
) -> Result<(), LeaseLost> {
    let lease = held(state, token)?;
    if lease.until <= now {
        return Err(LeaseLost);
    }
    lease.until = until.map_or(lease.until, |until| lease.until.max(whole_millis(until)));
    set_progress(state, token, progress)
}

/// Stores the progress of a claim, even if its lease has expired. A store calls this before [`finish`], so that the
/// handler's last progress is stored together with the verdict.
///
/// # Errors
///
/// Returns [`LeaseLost`] if the task has another token or is done. Nothing is changed then.
pub fn set_progress(
    state: &mut TaskState,
    token: LeaseToken,
    progress: Option<Progress>,
) -> Result<(), LeaseLost> {
    held(state, token)?;
    if let Some(Progress {
        fraction,
        message,
        at,
    }) = progress
    {
        state.progress = Some(Progress {
            fraction,
            message: truncate(message),
            at: whole_millis(at),
        });
    }
    Ok(())
}

/// Ends a claim with a verdict. `cleanup` tells whether the task's type has a cleanup handler.
///
/// A cancellation wins over a verdict that was not stored before it. A task that was cancelled while its handler
/// ran ends as cancelled, whatever the verdict is; if its type has a cleanup handler, that handler runs first.
///
/// # Errors
///
/// Returns [`LeaseLost`] if the task has another token or is done. Nothing is changed then.
pub fn finish(
    state: &mut TaskState,
    token: LeaseToken,
    verdict: Verdict,
    cleanup: bool,
    now: DateTime<Utc>,
) -> Result<(), LeaseLost> {
    let phase = held(state, token)?.phase;
    let now = whole_millis(now);
    state.lease = None;
    let ending = apply(state, phase, verdict, now);
    let ending = match (phase, state.cancelled_at) {
        (Phase::Run, Some(_)) if cleanup => {
            state.wait_until = now;
            None
        }
        (Phase::Run, Some(_)) => Some(Ending::Cancelled),
        (Phase::Cleanup, _) if ending == Some(Ending::Completed) => Some(Ending::Cancelled),
        _ => ending,
    };
    state.done = ending.map(|how| Done { at: now, how });
    Ok(())
}

/// Applies a verdict to the state. Returns the ending of the task; `None` if the task has not ended.
fn apply(state: &mut TaskState, phase: Phase, verdict: Verdict, now: DateTime<Utc>) -> Option<Ending> {
    if !matches!(verdict, Verdict::Defer { .. }) {
        state.deferrals = 0;
    }
    match verdict {
        Verdict::Complete(result) => {
            // The result of the handler is kept when the cleanup handler returns one too.
            state.result = state.result.take().or(result);
            Some(Ending::Completed)
        }
        Verdict::Retry { at, error } => {
            push_error(state, phase, error, now);
            state.wait_until = whole_millis_up(at);
            None
        }
        Verdict::Fail { error } => {
            push_error(state, phase, error, now);
            Some(Ending::Failed)
        }
        Verdict::Exhausted => {
            refund_attempt(state, phase);
            Some(Ending::Failed)
        }
        Verdict::Cancel { reason } => {
            push_error(state, phase, reason, now);
            state.cancelled_at.get_or_insert(now);
            Some(Ending::Cancelled)
        }
        Verdict::Snooze { at } => {
            refund_attempt(state, phase);
            state.wait_until = whole_millis_up(at);
            None
        }
        Verdict::Release => {
            refund_attempt(state, phase);
            None
        }
        Verdict::Defer { at } => {
            refund_attempt(state, phase);
            state.deferrals = state.deferrals.saturating_add(1);
            state.wait_until = whole_millis_up(at);
            None
        }
        Verdict::Advance { next: Some(next) } => {
            state.wait_until = whole_millis_up(next);
            None
        }
        Verdict::Advance { next: None } => Some(Ending::Completed),
    }
}

/// Accepts a cancellation. A waiting task becomes due at once, for its cleanup. A running task keeps its lease, and
/// its worker ends it. A generator has nothing to clean up and ends here.
pub fn cancel(task: &mut Task, now: DateTime<Utc>) -> Change {
    let now = whole_millis(now);
    let state = &mut task.state;
    if state.done.is_some_and(|done| done.how != Ending::Cancelled) {
        return Change::AlreadyDone;
    }
    if state.cancelled_at.is_some() {
        return Change::AlreadyCancelled;
    }
    state.cancelled_at = Some(now);
    state.wait_until = now;
    if task.spec.recurrence.is_some() {
        state.lease = None;
        state.done = Some(Done {
            at: now,
            how: Ending::Cancelled,
        });
    }
    Change::Applied
}

/// Resets a task that has ended to the state of a new one that is due now. A generator continues with its next
/// occurrence after now.
pub fn reset(task: &mut Task, now: DateTime<Utc>) -> Change {
    if task.state.done.is_none() {
        return Change::NotDone;
    }
    let next = match &task.spec.recurrence {
        None => Some(whole_millis(now)),
        Some(rule) => rule.after(now),
    };
    let Some(next) = next else { return Change::NotDone };
    task.state = TaskState::waiting_until(whole_millis_up(next));
    Change::Applied
}

/// Replaces the rule and the next occurrence of a generator that has not ended.
pub fn replace_rule(task: &mut Task, rule: &Recurrence, next: DateTime<Utc>) -> Change {
    if task.state.done.is_some() {
        return Change::AlreadyDone;
    }
    task.spec.recurrence = Some(rule.clone());
    task.state.wait_until = whole_millis_up(next);
    // A worker that is about to advance the generator by the old rule loses its lease.
    task.state.lease = None;
    Change::Applied
}

/// Returns the delay before the next claim of a task whose payload no worker could decode `deferrals` times before:
/// a minute at first, doubled each time, and at most an hour.
#[must_use]
pub fn deferral(deferrals: u32) -> Duration {
    const MINUTE: Duration = Duration::from_mins(1);
    const HOUR: Duration = Duration::from_hours(1);
    MINUTE.saturating_mul(2_u32.saturating_pow(deferrals)).min(HOUR)
}

fn held(state: &mut TaskState, token: LeaseToken) -> Result<&mut Lease, LeaseLost> {
    state
        .lease
        .as_mut()
        .filter(|lease| lease.token == token)
        .ok_or(LeaseLost)
}

fn attempts(state: &mut TaskState, phase: Phase) -> &mut u32 {
    match phase {
        Phase::Run => &mut state.attempts,
        Phase::Cleanup => &mut state.cleanup_attempts,
    }
}

fn refund_attempt(state: &mut TaskState, phase: Phase) {
    let attempts = attempts(state, phase);
    *attempts = attempts.saturating_sub(1);
}

/// Adds an error. If there are too many, the oldest error after the first is dropped. The first error is kept, because
/// it often shows the cause.
fn push_error(state: &mut TaskState, phase: Phase, error: String, at: DateTime<Utc>) {
    if state.errors.len() >= MAX_ERRORS {
        // Another program may have stored more errors than the limit.
        state.errors.drain(1..state.errors.len() + 2 - MAX_ERRORS);
    }
    let attempt = *attempts(state, phase);
    state.errors.push(AttemptError {
        at,
        attempt,
        cleanup: phase == Phase::Cleanup,
        error: truncate(error),
    });
}

/// Truncates a text to [`MAX_ERROR_BYTES`], with a mark at the end.
fn truncate(mut text: String) -> String {
    if text.len() > MAX_ERROR_BYTES {
        const MARK: &str = " [truncated]";
        text.truncate(text.floor_char_boundary(MAX_ERROR_BYTES - MARK.len()));
        text.push_str(MARK);
    }
    text
}
