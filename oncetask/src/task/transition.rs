//! Every change of a task's state, as a pure function of the state, the event and an instant.
//!
//! No I/O and no clock: the stores call these inside their atomic writes, the tests call them directly.
//!
//! ```text
//!             claim                    finish: Complete, Fail, Cancel
//!  waiting ─────────▶ leased(token) ─────────────────────────────────▶ done
//!     ▲                 │      │                                         │
//!     │   Retry, Snooze,│      │ the lease ends: claim, which notes      │ reset
//!     └─ Release, Defer ┘      └─ the attempt that ended without a word  ▼
//!                                                                     waiting
//! ```
//!
//! A claim carries a token, and whatever is written under it is refused with [`LeaseLost`] when the task
//! shows another one: so at most one completion is accepted, whatever a worker that was away believes.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use super::record::{whole_millis, whole_millis_up};
use super::{AttemptError, Done, Ending, Json, Lease, LeaseToken, Progress, Task, TaskState};
use crate::schedule::Recurrence;

/// How many errors a task keeps.
pub const MAX_ERRORS: usize = 100;
/// How much of an error a task keeps, in bytes; and of what its handler says of its progress.
pub const MAX_ERROR_BYTES: usize = 4096;

/// The task is no longer held under this token: another claim took it, or it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseLost;

/// What a claim is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The handler.
    Run,
    /// The cleanup handler: the task's cancellation was accepted.
    Cleanup,
}

/// What a worker says when it lets go of a task.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// The handler returned this.
    Complete(Option<Json>),
    /// The attempt failed; the next one begins at this instant.
    Retry {
        /// When.
        at: DateTime<Utc>,
        /// What went wrong.
        error: String,
    },
    /// The attempt failed, and none follows.
    Fail {
        /// What went wrong.
        error: String,
    },
    /// Workers that fell silent used up the attempts: this claim ran nothing.
    Exhausted,
    /// The handler cancels its own task.
    Cancel {
        /// Why.
        reason: String,
    },
    /// Later; the attempt does not count.
    Snooze {
        /// When.
        at: DateTime<Utc>,
    },
    /// The worker shuts down; the attempt does not count.
    Release,
    /// This worker cannot read the payload, a newer one may; the attempt does not count.
    Defer {
        /// When to try again.
        at: DateTime<Utc>,
    },
    /// A generator's occurrences are created; it goes on at this instant, or has none left.
    Advance {
        /// The instant of the next occurrence.
        next: Option<DateTime<Utc>>,
    },
}

/// What a change that was asked for from outside did to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// It was made.
    Applied,
    /// The task has ended, so there is nothing to cancel.
    AlreadyDone,
    /// Its cancellation was accepted before.
    AlreadyCancelled,
    /// The task has not ended, so there is nothing to reset; or its rule never occurs again.
    NotDone,
    /// There is no such task.
    NotFound,
    /// The id belongs to a task of another environment, which was left alone.
    OtherEnvironment,
}

/// Whether the task may be claimed at this instant.
#[must_use]
pub fn is_due(state: &TaskState, now: DateTime<Utc>) -> bool {
    state.due().is_some_and(|due| due <= now)
}

/// What a claim of this task would be for.
#[must_use]
pub fn next_phase(state: &TaskState) -> Phase {
    if state.cancelled_at.is_some() {
        Phase::Cleanup
    } else {
        Phase::Run
    }
}

/// Takes a task that [is due](is_due). Returns whether the attempt before fell silent.
///
/// An attempt that ended without a word leaves an entry in the errors, for the attempts and the errors must
/// add up: that is how a reader tells a task that failed from one that completed. The claims of a generator
/// are no attempts.
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
        let error = format!(
            "the attempt ended without a word: the worker {owner} held the lease until {until} and was not heard of again"
        );
        push_error(state, *phase, error, now);
    }
    if counts {
        let attempts = attempts(state, lease.phase);
        *attempts = attempts.saturating_add(1);
    }
    state.lease = Some(Lease { until, ..lease });
    orphan.is_some()
}

/// Extends a claim, or stores progress under it, or both.
///
/// A lease is never set back: an extension that was on its way for long, or is sent once more, may come after a
/// later one, and the worker holds on to the latest end that it was told.
///
/// # Errors
///
/// [`LeaseLost`] when the task is held under another token or is done, or when the lease has already ended:
/// who was silent for so long may have been replaced, and must not come back.
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

/// Stores progress under a claim, also when its lease has ended: a store calls this before [`finish`], so that what a
/// handler said last is stored with its end.
///
/// # Errors
///
/// [`LeaseLost`] when the task is held under another token or is done: nothing is changed.
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

/// Ends a claim. `cleanup` tells whether a cancelled task of this type has a cleanup handler to run.
///
/// Cancellation wins over what has not been accepted yet: a task that was cancelled while its handler ran
/// ends as cancelled, whatever the handler says, after its cleanup handler if there is one.
///
/// # Errors
///
/// [`LeaseLost`] when the task is held under another token or is done: nothing is changed.
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

/// What a verdict does to the state, and how it would end the task.
fn apply(state: &mut TaskState, phase: Phase, verdict: Verdict, now: DateTime<Utc>) -> Option<Ending> {
    if !matches!(verdict, Verdict::Defer { .. }) {
        state.deferrals = 0;
    }
    match verdict {
        Verdict::Complete(result) => {
            // What the handler returned before the task was cancelled outlives what its cleanup returns.
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

/// Accepts a cancellation. A task that waits becomes due at once, for its cleanup; a task that runs is left
/// to its worker; a generator has nothing to clean up and ends here.
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

/// Takes a task that has ended back to its beginning; it is due at once. A generator goes on with the
/// occurrences from now on.
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

/// Gives a generator that has not ended another rule, and its next occurrence.
pub fn replace_rule(task: &mut Task, rule: &Recurrence, next: DateTime<Utc>) -> Change {
    if task.state.done.is_some() {
        return Change::AlreadyDone;
    }
    task.spec.recurrence = Some(rule.clone());
    task.state.wait_until = whole_millis_up(next);
    // A worker that is about to advance it by the old rule is refused.
    task.state.lease = None;
    Change::Applied
}

/// How long a task waits whose payload no worker could read `deferrals` times before.
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

/// Keeps an error: the first for what began it, and the newest.
fn push_error(state: &mut TaskState, phase: Phase, error: String, at: DateTime<Utc>) {
    if state.errors.len() >= MAX_ERRORS {
        // One that another program filled beyond our measure shrinks to it.
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

/// As much of a text as a task keeps.
fn truncate(mut text: String) -> String {
    if text.len() > MAX_ERROR_BYTES {
        const MARK: &str = " [cut]";
        text.truncate(text.floor_char_boundary(MAX_ERROR_BYTES - MARK.len()));
        text.push_str(MARK);
    }
    text
}
