use std::fmt;

use chrono::{DateTime, Utc};

use super::{Ending, TaskState};

/// Where a task stands. Derived from what is stored and the time, never stored itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// It may run now, as soon as a worker has room.
    Pending,
    /// It runs later: a schedule, a backoff or a snooze has not ended.
    Waiting,
    /// A worker holds it.
    Leased,
    /// Its cancellation was accepted, and its cleanup is not over.
    CancellationPending,
    /// The handler returned `Ok`.
    Completed,
    /// It will not be tried again.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl Status {
    /// Every status, in the order of a task's life.
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

    /// Whether a task of this status has ended.
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
