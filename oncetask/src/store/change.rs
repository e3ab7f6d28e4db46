//! The writes to stored tasks, and their results.

use chrono::{DateTime, Utc};

use crate::schedule::Recurrence;
use crate::task::transition::Verdict;
use crate::task::{LeaseToken, Progress, Task, TaskId};

/// The result of creating a task.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Insert {
    /// The task is stored.
    New,
    /// A task with this id already exists. It is returned unchanged.
    Existing(Box<Task>),
    /// This store cannot hold the task, for this reason.
    Refused(String),
}

/// An extension of a claim, a report of its progress, or both.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Renewal {
    /// The task.
    pub id: TaskId,
    /// The token of the claim.
    pub token: LeaseToken,
    /// The new end of the lease; `None` leaves the lease as it is.
    pub until: Option<DateTime<Utc>>,
    /// The progress to store, if there is any.
    pub progress: Option<Progress>,
}

impl Renewal {
    /// Returns a renewal that extends the lease to this instant.
    #[must_use]
    pub fn new(id: TaskId, token: LeaseToken, until: Option<DateTime<Utc>>) -> Self {
        Self {
            id,
            token,
            until,
            progress: None,
        }
    }

    /// Adds the progress to store.
    #[must_use]
    pub fn progress(mut self, progress: Option<Progress>) -> Self {
        self.progress = progress;
        self
    }
}

/// The result of a [`Renewal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Renewed {
    /// The claim is still active.
    Held,
    /// The claim is still active, and the task's cancellation was accepted.
    Cancelled,
    /// The claim is lost: its lease expired or was released, another worker claimed the task, or the task is done.
    Lost,
    /// The task was deleted.
    Gone,
}

/// The end of a claim.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finish {
    /// The task.
    pub id: TaskId,
    /// The token of the claim.
    pub token: LeaseToken,
    /// The worker's verdict.
    pub verdict: Verdict,
    /// True if the task's type has a cleanup handler.
    pub cleanup: bool,
    /// The occurrences to create, with [`Verdict::Advance`].
    pub spawn: Vec<Task>,
    /// The handler's last progress, stored in the same write.
    pub progress: Option<Progress>,
}

impl Finish {
    /// Returns the end of a claim of a task whose type has no cleanup handler.
    #[must_use]
    pub fn new(id: TaskId, token: LeaseToken, verdict: Verdict) -> Self {
        Self {
            id,
            token,
            verdict,
            cleanup: false,
            spawn: Vec::new(),
            progress: None,
        }
    }

    /// Sets whether the task's type has a cleanup handler.
    #[must_use]
    pub fn cleanup(mut self, cleanup: bool) -> Self {
        self.cleanup = cleanup;
        self
    }

    /// Sets the occurrences to create.
    #[must_use]
    pub fn spawn(mut self, spawn: Vec<Task>) -> Self {
        self.spawn = spawn;
        self
    }

    /// Adds the progress to store.
    #[must_use]
    pub fn progress(mut self, progress: Option<Progress>) -> Self {
        self.progress = progress;
        self
    }
}

/// A change that a program asks for.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a call has one action, whatever the number of its tasks"
)]
#[non_exhaustive]
pub enum Action {
    /// Cancels the task; see [`cancel`](crate::task::transition::cancel).
    Cancel,
    /// Resets the task; see [`reset`](crate::task::transition::reset).
    Reset,
    /// Removes the task, whatever its status.
    Delete,
    /// Replaces the rule of a generator that has not ended; see
    /// [`replace_rule`](crate::task::transition::replace_rule).
    ReplaceRule {
        /// The new rule.
        rule: Recurrence,
        /// The next occurrence by the new rule.
        next: DateTime<Utc>,
    },
}
