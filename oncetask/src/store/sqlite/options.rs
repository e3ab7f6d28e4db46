//! The options of a [`SqliteStore`](super::SqliteStore).

use std::path::PathBuf;
use std::time::Duration;

use super::checkpoint::CHECKPOINT_PAGES;

/// The guarantee after a power failure. A crash of the program or of its workers loses nothing in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Every acknowledged creation, end and change is on disk.
    #[default]
    Full,
    /// The file stays consistent, but a power failure may undo the last writes before it: created tasks are
    /// missing, and tasks that ended run again. This is several times as fast on a slow disk.
    Normal,
}

/// The options for opening a [`SqliteStore`](super::SqliteStore).
///
/// ```
/// use oncetask::store::{Durability, SqliteStore};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::StoreError> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let file = directory.path().join("tasks.db");
/// let store = SqliteStore::options(file)
///     .durability(Durability::Normal)
///     .open("TEST")
///     .await?;
/// # let _ = store;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is opened before `open`"]
pub struct SqliteOptions {
    pub(super) path: PathBuf,
    pub(super) durability: Durability,
    pub(super) lock_timeout: Duration,
    /// The length of the log, in pages, from which it is copied into the database.
    pub(super) checkpoint_pages: usize,
}

impl SqliteOptions {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            durability: Durability::Full,
            lock_timeout: Duration::from_secs(30),
            checkpoint_pages: CHECKPOINT_PAGES,
        }
    }

    /// Sets the guarantee after a power failure. The default is [`Durability::Full`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets the maximum time that a call waits for a lock of another program before it fails. The default is
    /// 30 s.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }
}
