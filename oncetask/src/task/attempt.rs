//! The parts of a task's record that its attempts write: the lease, the errors, the progress and the end.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::transition::Phase;

/// The lease of a claim, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// The token that every write under this claim must carry.
    pub token: LeaseToken,
    /// The instant at which the claim ends unless it is extended.
    pub until: DateTime<Utc>,
    /// The worker's name, for display: its host, its process id and a random number.
    pub owner: Arc<str>,
    /// The handler that the claim calls.
    pub phase: Phase,
}

impl Lease {
    /// Returns a lease of this worker until an instant.
    #[must_use]
    pub fn new(token: LeaseToken, until: DateTime<Utc>, owner: impl Into<Arc<str>>, phase: Phase) -> Self {
        Self {
            token,
            until,
            owner: owner.into(),
            phase,
        }
    }
}

/// A random number that distinguishes a claim of a task from every other claim of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken(u64);

impl LeaseToken {
    /// Returns a random token.
    #[must_use]
    pub fn random() -> Self {
        Self(fastrand::u64(1..))
    }

    /// Returns the token as a number, for a store.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Returns the token that a store kept as a number.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The error of one attempt.
///
/// It serialises to an object with `at`, `attempt`, `cleanup` and `error`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AttemptError {
    /// The instant of the error.
    pub at: DateTime<Utc>,
    /// The number of the attempt, counted from one; 0 if the store does not know it.
    pub attempt: u32,
    /// True if it was an attempt of the cleanup handler.
    pub cleanup: bool,
    /// The error and its causes in one line, truncated to 4 KiB.
    pub error: String,
}

impl AttemptError {
    /// Returns the error of an attempt of the handler.
    #[must_use]
    pub fn new(at: DateTime<Utc>, attempt: u32, error: impl Into<String>) -> Self {
        Self {
            at,
            attempt,
            cleanup: false,
            error: error.into(),
        }
    }

    /// Sets whether it was an attempt of the cleanup handler.
    #[must_use]
    pub fn cleanup(mut self, cleanup: bool) -> Self {
        self.cleanup = cleanup;
        self
    }
}

/// The progress that a handler reported.
///
/// It serialises to an object with `fraction`, `message` and `at`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Progress {
    /// The part that is done, from 0 to 1.
    pub fraction: f64,
    /// The current step, truncated to 4 KiB.
    pub message: String,
    /// The instant of the report.
    pub at: DateTime<Utc>,
}

impl Progress {
    /// Returns the progress that a handler reported at this instant.
    #[must_use]
    pub fn new(fraction: f64, message: impl Into<String>, at: DateTime<Utc>) -> Self {
        Self {
            fraction,
            message: message.into(),
            at,
        }
    }
}

/// The end of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Done {
    /// The instant of the end.
    pub at: DateTime<Utc>,
    /// The kind of the end.
    pub how: Ending,
}

impl Done {
    /// Returns the end of a task at this instant.
    #[must_use]
    pub fn new(at: DateTime<Utc>, how: Ending) -> Self {
        Self { at, how }
    }
}

/// The kind of a task's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Ending {
    /// The handler returned `Ok`.
    Completed,
    /// No attempt is left, or an error was permanent.
    Failed,
    /// The task was cancelled, and its cleanup handler, if there is one, completed.
    Cancelled,
}
