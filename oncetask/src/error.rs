//! The errors of the client, the stores and the start of a worker.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::task::{AttemptError, Ending, TaskId};

/// An error outside of handlers: of the client, of a store, or at the start of a worker.
///
/// A handler fails with a [`HandlerError`](crate::HandlerError) instead.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The text cannot be the id of a task. Nothing was written.
    #[non_exhaustive]
    InvalidId {
        /// The text, truncated to 60 characters.
        id: String,
        /// The reason.
        reason: String,
    },
    /// The task cannot be stored. Nothing was written.
    #[non_exhaustive]
    InvalidTask {
        /// The task.
        id: TaskId,
        /// The reason.
        reason: String,
    },
    /// The id already belongs to a task of another kind. Nothing was written.
    #[non_exhaustive]
    KindMismatch {
        /// The id.
        id: TaskId,
        /// The kind of the task that was not created.
        kind: String,
        /// The kind of the stored task with this id.
        stored: String,
    },
    /// No task has this id.
    #[non_exhaustive]
    NotFound {
        /// The id.
        id: TaskId,
    },
    /// The task ended without a result: it failed or was cancelled.
    #[non_exhaustive]
    Unsuccessful {
        /// The task.
        id: TaskId,
        /// The kind of its end.
        how: Ending,
        /// The errors of its attempts: the first one and the last 99.
        errors: Vec<AttemptError>,
    },
    /// A setting is invalid: a store URL, an environment variable or an argument.
    #[non_exhaustive]
    Config {
        /// The reason, and a valid setting.
        reason: String,
    },
    /// The store failed.
    Store(StoreError),
    /// The worker did not start.
    Start(StartError),
}

/// The error of a store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreError {
    /// The kind of the error.
    pub kind: StoreErrorKind,
    /// The file or the address of the store.
    pub store: String,
    /// A description of the error, and a way to correct it.
    pub message: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// The kind of a [`StoreError`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store is busy, full or unreachable. The same call may succeed later.
    Unavailable,
    /// The error is permanent: no permission, not a store, a missing index.
    Unusable,
    /// The file was written by a newer version of this library.
    #[non_exhaustive]
    NewerSchema {
        /// The file.
        file: PathBuf,
        /// The version of its schema.
        found: u32,
        /// The newest version that this program supports.
        known: u32,
    },
    /// The stored data cannot be read as a task.
    Corrupt,
}

impl StoreError {
    /// Returns an error of the store at an address. The message says what happened, and how to correct it.
    ///
    /// ```
    /// use oncetask::{StoreError, StoreErrorKind};
    ///
    /// let error = StoreError::new(StoreErrorKind::Unavailable, "redis://cache", "connection refused");
    /// assert!(error.is_transient());
    /// assert_eq!(error.to_string(), "redis://cache: connection refused");
    /// ```
    pub fn new(kind: StoreErrorKind, store: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            store: store.into(),
            message: message.into(),
            source: None,
        }
    }

    /// Adds the underlying error, which [`source`](std::error::Error::source) returns.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Returns whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.kind == StoreErrorKind::Unavailable
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidId { id, reason } => write!(f, "invalid task id `{id}`: {reason}"),
            Self::InvalidTask { id, reason } => write!(f, "task `{id}` cannot be stored: {reason}"),
            Self::KindMismatch { id, kind, stored } => write!(
                f,
                "the id `{id}` of this `{kind}` already belongs to a task of kind `{stored}`; \
                 start the ids of each kind with a prefix of their own"
            ),
            Self::NotFound { id } => write!(f, "task `{id}` does not exist in this environment"),
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
    write!(f, "task `{id}` {how}")?;
    match (errors.len(), errors.last()) {
        (_, None) => Ok(()),
        (1, Some(only)) => write!(f, ": {}", only.error),
        (count, Some(last)) => write!(f, " after {count} errors; the last one: {}", last.error),
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // `Display` already shows the text of these errors, so the source is the error behind them.
            Self::Store(error) => error.source(),
            Self::Start(error) => error.source(),
            _ => None,
        }
    }
}

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

impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.store, self.message)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| source.as_ref() as &(dyn std::error::Error + 'static))
    }
}

/// Every mistake in the task types and handlers of a program, reported at once when a worker starts.
#[derive(Clone)]
pub struct StartError {
    pub(crate) problems: Vec<String>,
}

impl StartError {
    /// Returns the mistakes, one sentence each.
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

// A `main` that returns this error prints it with `Debug`: its sentences have to stay readable.
impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for StartError {}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn the_underlying_error_is_the_source() {
        let disk = std::io::Error::other("disk I/O error");
        let error =
            StoreError::new(StoreErrorKind::Unavailable, "sqlite:a.db", "cannot write").with_source(disk);
        let source = Error::from(error.clone()).source().map(ToString::to_string);
        assert_eq!(source.as_deref(), Some("disk I/O error"));
        assert!(format!("{error:?}").contains("kind: Unavailable"), "{error:?}");
    }

    #[test]
    fn a_failed_task_shows_its_last_error() {
        let error =
            |attempt| AttemptError::new(chrono::DateTime::UNIX_EPOCH, attempt, format!("error {attempt}"));
        let unsuccessful = |errors| Error::Unsuccessful {
            id: "a".into(),
            how: Ending::Failed,
            errors,
        };
        assert_eq!(unsuccessful(Vec::new()).to_string(), "task `a` failed");
        assert_eq!(
            unsuccessful(vec![error(1)]).to_string(),
            "task `a` failed: error 1"
        );
        assert_eq!(
            unsuccessful(vec![error(1), error(2)]).to_string(),
            "task `a` failed after 2 errors; the last one: error 2"
        );
    }
}
