//! What goes wrong in a file, and what is said of it.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::error::{StoreError, StoreErrorKind};

/// Why a piece of work on the file was not done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// SQLite said so.
    Sql(rusqlite::Error),
    /// A row cannot be read as a task.
    Corrupt(String),
    /// What was remembered of a claim is not so any more. Once it is forgotten, what is stored decides.
    Outdated,
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Trouble {
    /// What the caller is told, who knows the store by its file.
    pub(super) fn about(&self, file: &Path) -> StoreError {
        let (kind, message) = match self {
            Self::Sql(error) => told(error),
            Self::Corrupt(what) => (StoreErrorKind::Corrupt, what.clone()),
            Self::Outdated => (
                StoreErrorKind::Unavailable,
                "another process changed what was claimed here; do it again".to_owned(),
            ),
        };
        at(file, kind, message)
    }

    /// Whether another program holds the file.
    pub(super) fn is_busy(&self) -> bool {
        matches!(
            self.code(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
        )
    }

    /// Whether the disk is full.
    pub(super) fn is_full(&self) -> bool {
        self.code() == Some(ErrorCode::DiskFull)
    }

    /// Whether it passes once what the writer remembers is forgotten.
    pub(super) fn is_outdated(&self) -> bool {
        matches!(self, Self::Outdated)
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sql(error) => error.sqlite_error_code(),
            Self::Corrupt(_) | Self::Outdated => None,
        }
    }
}

/// An error of the store in this file.
pub(super) fn at(file: &Path, kind: StoreErrorKind, message: impl Into<String>) -> StoreError {
    StoreError::new(kind, file.display().to_string(), message)
}

/// The store in this file has ended.
pub(super) fn closed(file: &Path) -> StoreError {
    let message = "the store was closed before this was done; open it again";
    at(file, StoreErrorKind::Unavailable, message)
}

fn told(error: &rusqlite::Error) -> (StoreErrorKind, String) {
    use StoreErrorKind::{Corrupt, Unavailable, Unusable};
    let (kind, what) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            Unavailable,
            "the file is locked by another program, for longer than we wait; find the one that holds it",
        ),
        Some(ErrorCode::DiskFull) => (
            Unavailable,
            "the disk is full, so nothing of this was stored; make room on it",
        ),
        Some(ErrorCode::SystemIoFailure) => (
            Unavailable,
            "the disk could not be read or written; look into the system's log",
        ),
        Some(ErrorCode::CannotOpen) => (
            Unavailable,
            "the file cannot be opened: see that its directory exists and may be written, and that the \
             limit on open files is not reached",
        ),
        Some(ErrorCode::OutOfMemory) => (Unavailable, "there is not enough memory"),
        Some(ErrorCode::ReadOnly) => (
            Unusable,
            "the file may not be written; allow this user to write it and its directory",
        ),
        Some(ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => (
            Unusable,
            "the file may not be opened; allow this user to read and write it",
        ),
        Some(ErrorCode::NotADatabase) => (
            Unusable,
            "the file is not a SQLite database, and was left as it is; give another path",
        ),
        Some(ErrorCode::DatabaseCorrupt) => (
            Corrupt,
            "the file is damaged; restore it from a backup, or save what is left with `sqlite3 FILE .recover`",
        ),
        _ => (Unusable, "SQLite refused to do this"),
    };
    (kind, format!("{what} ({error})"))
}
