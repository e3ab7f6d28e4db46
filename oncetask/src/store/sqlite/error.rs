//! The errors of this store, and their translation into [`StoreError`].

use std::path::Path;

use rusqlite::ErrorCode;

use crate::error::{StoreError, StoreErrorKind};

/// The reason why an operation on the file failed.
#[derive(Debug)]
pub(super) enum SqliteError {
    /// An error of SQLite.
    Sql(rusqlite::Error),
    /// A damaged record: a row that cannot be read as a task.
    Corrupt(String),
    /// The claim cache disagrees with the file. The operation succeeds once the cache is cleared.
    StaleCache,
}

impl From<rusqlite::Error> for SqliteError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl SqliteError {
    /// Returns the error for the caller, with the path of the file.
    pub(super) fn to_store_error(&self, file: &Path) -> StoreError {
        let (kind, message) = match self {
            Self::Sql(error) => explain(error),
            Self::Corrupt(reason) => (StoreErrorKind::Corrupt, reason.clone()),
            Self::StaleCache => (
                StoreErrorKind::Unavailable,
                "another process changed tasks that this process had claimed; repeat the call".to_owned(),
            ),
        };
        let error = store_error(file, kind, message);
        match self {
            Self::Sql(rusqlite::Error::SqliteFailure(code, text)) => {
                error.with_source(rusqlite::Error::SqliteFailure(*code, text.clone()))
            }
            _ => error,
        }
    }

    /// Returns whether another program holds a lock on the file.
    pub(super) fn is_busy(&self) -> bool {
        matches!(
            self.code(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
        )
    }

    /// Returns whether the disk is full.
    pub(super) fn is_full(&self) -> bool {
        self.code() == Some(ErrorCode::DiskFull)
    }

    /// Returns whether the operation succeeds once the claim cache is cleared.
    pub(super) fn is_stale_cache(&self) -> bool {
        matches!(self, Self::StaleCache)
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sql(error) => error.sqlite_error_code(),
            Self::Corrupt(_) | Self::StaleCache => None,
        }
    }
}

/// Returns an error of the store in this file.
pub(super) fn store_error(file: &Path, kind: StoreErrorKind, message: impl Into<String>) -> StoreError {
    StoreError::new(kind, file.display().to_string(), message)
}

/// Returns the error of an operation that the store did not run because it was closed.
pub(super) fn closed(file: &Path) -> StoreError {
    let message = "the store was closed before the operation ran; open it again";
    store_error(file, StoreErrorKind::Unavailable, message)
}

/// Returns the kind of an error of SQLite, and a message with the cause and the remedy.
fn explain(error: &rusqlite::Error) -> (StoreErrorKind, String) {
    use StoreErrorKind::{Corrupt, Unavailable, Unusable};
    let (kind, message) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            Unavailable,
            "the file is locked by another program, and the lock timeout has passed; \
             find the program that holds the lock",
        ),
        Some(ErrorCode::DiskFull) => (
            Unavailable,
            "the disk is full, and nothing was stored; free some space",
        ),
        Some(ErrorCode::SystemIoFailure) => (
            Unavailable,
            "the disk could not be read or written; check the system log",
        ),
        Some(ErrorCode::CannotOpen) => (
            Unavailable,
            "the file cannot be opened; check that its directory exists and is writable, and that the \
             limit on open files is not reached",
        ),
        Some(ErrorCode::OutOfMemory) => (Unavailable, "there is not enough memory"),
        Some(ErrorCode::ReadOnly) => (
            Unusable,
            "the file is not writable; give this user write access to it and to its directory",
        ),
        Some(ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => (
            Unusable,
            "the file is not accessible; give this user read and write access to it",
        ),
        Some(ErrorCode::NotADatabase) => (
            Unusable,
            "the file is not a SQLite database, and was not changed; give another path",
        ),
        Some(ErrorCode::DatabaseCorrupt) => (
            Corrupt,
            "the file is damaged; restore it from a backup, or rescue its rows with `sqlite3 FILE .recover`",
        ),
        _ => (Unusable, "SQLite refused the operation"),
    };
    (kind, format!("{message} ({error})"))
}
