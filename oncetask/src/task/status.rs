//! The status of a task, computed from its state.

use std::fmt;

use chrono::{DateTime, Utc};

use super::{Ending, TaskState};

/// The status of a task at an instant. It is computed from the task's state and the time, and never stored.
///
/// It serialises to its text, for example `"cancellation-pending"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// The task is due: it runs as soon as a worker has a free slot.
    Pending,
    /// The task is not due yet: a schedule, a backoff or a snooze has not ended.
    Waiting,
    /// A worker has a lease on the task and runs it.
    Leased,
    /// The cancellation was accepted, and the task has not ended: its handler still runs, or its cleanup handler has
    /// not completed.
    CancellationPending,
    /// The handler returned `Ok`.
    Completed,
    /// The last attempt failed. The task is not retried.
    Failed,
    /// The task was cancelled.
    Cancelled,
}

impl Status {
    /// Every status, in the order in which a task can reach them.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Waiting,
        Self::Leased,
        Self::CancellationPending,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    pub(crate) fn of(state: &TaskState, now: DateTime<Utc>) -> Self {
        match state.done.map(|done| done.how) {
            Some(Ending::Completed) => Self::Completed,
            Some(Ending::Failed) => Self::Failed,
            Some(Ending::Cancelled) => Self::Cancelled,
            None if state.cancelled_at.is_some() => Self::CancellationPending,
            None if state.lease.as_ref().is_some_and(|lease| lease.until > now) => Self::Leased,
            None if state.wait_until > now => Self::Waiting,
            None => Self::Pending,
        }
    }

    /// Returns whether a task of this status has ended.
    #[must_use]
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Waiting => "waiting",
            Self::Leased => "leased",
            Self::CancellationPending => "cancellation-pending",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        })
    }
}
