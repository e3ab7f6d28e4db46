use std::fmt;
use std::path::PathBuf;

use crate::task::{AttemptError, Ending, TaskId};

/// What went wrong outside of handlers: in the client, the store or at start-up.
#[derive(Clone)]
#[non_exhaustive]
pub enum Error {
    /// The id is no id. Nothing was written.
    InvalidId {
        /// The id, cut short if it is long.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The payload or the resource key is not what a task may have. Nothing was written.
    InvalidTask {
        /// The task.
        id: TaskId,
        /// What is wrong with it.
        reason: String,
    },
    /// The id belongs to a task of another kind, so that the two would swallow each other. Nothing was written.
    KindMismatch {
        /// The id.
        id: TaskId,
        /// The kind of the task that was to be created.
        kind: String,
        /// The kind of the task that has the id.
        stored: String,
    },
    /// There is no task with this id.
    NotFound {
        /// The id.
        id: TaskId,
    },
    /// The task ended without a result: it failed, or was cancelled.
    Unsuccessful {
        /// The task.
        id: TaskId,
        /// How it ended.
        how: Ending,
        /// What went wrong.
        errors: Vec<AttemptError>,
    },
    /// The store's URL, or another setting, means nothing.
    Config {
        /// What is wrong, and what to write.
        reason: String,
    },
    /// The store could not do what it was asked to.
    Store(StoreError),
    /// The runtime did not start.
    Start(StartError),
}

/// What went wrong in a store.
#[derive(Clone)]
#[non_exhaustive]
pub struct StoreError {
    /// What sort of trouble it is.
    pub kind: StoreErrorKind,
    /// Which store: its file or address.
    pub store: String,
    /// What happened, and what to do about it.
    pub message: String,
}

/// What sort of trouble a store is in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// It may pass: the store is busy, full, or cannot be reached. The same call may succeed later.
    Unavailable,
    /// It will not pass by itself: no permission, not a store, a missing index.
    Unusable,
    /// The file was written by a newer version of this library.
    NewerSchema {
        /// The file.
        file: PathBuf,
        /// The version of its schema.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// What is stored there cannot be read as a task.
    Corrupt,
}

impl StoreError {
    /// Returns the error of a store. `store` is its file or address.
    #[must_use]
    pub fn new(kind: StoreErrorKind, store: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            store: store.into(),
            message: message.into(),
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.kind == StoreErrorKind::Unavailable
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidId { id, reason } => write!(f, "`{id}` cannot be the id of a task: {reason}"),
            Self::InvalidTask { id, reason } => write!(f, "the task `{id}` cannot be stored: {reason}"),
            Self::KindMismatch { id, kind, stored } => write!(
                f,
                "the id `{id}` of this `{kind}` belongs to a task of the kind `{stored}`; \
                 begin the ids of each kind with text of its own"
            ),
            Self::NotFound { id } => write!(f, "there is no task `{id}` in this environment"),
            Self::Unsuccessful { id, how, errors } => unsuccessful(f, id, *how, errors),
            Self::Config { reason } => f.write_str(reason),
            Self::Store(error) => fmt::Display::fmt(error, f),
            Self::Start(error) => fmt::Display::fmt(error, f),
        }
    }
}

fn unsuccessful(
    f: &mut fmt::Formatter<'_>,
    id: &TaskId,
    how: Ending,
    errors: &[AttemptError],
) -> fmt::Result {
    let how = if how == Ending::Cancelled {
        "was cancelled"
    } else {
        "failed"
    };
    write!(f, "the task `{id}` {how}")?;
    match errors.last() {
        Some(last) => write!(f, " after {} errors, the last: {}", errors.len(), last.error),
        None => Ok(()),
    }
}

// `main` prints errors with `Debug`.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<StartError> for Error {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.store, self.message)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for StoreError {}

/// Everything that is wrong with the task types of this program, at once.
#[derive(Clone)]
pub struct StartError {
    pub(crate) problems: Vec<String>,
}

impl StartError {
    /// The problems, a sentence each.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("oncetask cannot start")?;
        for problem in &self.problems {
            write!(f, "\n  - {problem}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for StartError {}
