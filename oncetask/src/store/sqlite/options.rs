use std::path::PathBuf;
use std::time::Duration;

use super::{SqliteStore, checkpoint};
use crate::error::StoreError;

/// What survives the loss of power. A crash of the program or of any number of workers loses nothing either
/// way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// What was acknowledged as created, finished or changed is on disk.
    #[default]
    Full,
    /// The file stays whole, but the last moments before the loss of power may be missing from it: tasks that
    /// were created are not there, tasks that ended run again. Several times as fast on a slow disk.
    Normal,
}

/// How a [`SqliteStore`] is opened.
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
    pub(super) file: PathBuf,
    pub(super) durability: Durability,
    pub(super) lock_timeout: Duration,
    /// From how many pages on the log is brought back into the database.
    pub(super) checkpoint_from: usize,
}

impl SqliteOptions {
    pub(super) fn new(file: PathBuf) -> Self {
        Self {
            file,
            durability: Durability::Full,
            lock_timeout: Duration::from_secs(30),
            checkpoint_from: checkpoint::PAGES,
        }
    }

    /// What survives the loss of power; [`Durability::Full`] unless set.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How long to wait while another program holds the file's lock, before an error says so; 30 s unless
    /// set.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// Opens the file, which is made if it is not there, and returns the handle on an environment.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or made, is locked, is not a file of this library, or was written by a
    /// newer version of it. A file that is refused is left as it is.
    pub async fn open(self, env: impl Into<String>) -> Result<SqliteStore, StoreError> {
        SqliteStore::start(self, env.into()).await
    }
}
