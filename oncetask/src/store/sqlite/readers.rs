//! The pool of connections that read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::error::{self, SqliteError};
use super::file::DatabaseFile;
use crate::error::StoreError;

/// The maximum number of concurrent reads. Further reads wait.
const MAX_READERS: usize = 4;

/// A pool of up to [`MAX_READERS`] connections, each opened when it is first needed.
#[derive(Debug)]
pub(super) struct Readers {
    file: Arc<DatabaseFile>,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Readers {
    pub(super) fn new(file: Arc<DatabaseFile>) -> Self {
        Self {
            file,
            idle: Mutex::default(),
            permits: Semaphore::new(MAX_READERS),
        }
    }

    /// Runs a read in a transaction of its own, so that it sees one state of the file.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _permit = self
            .permits
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let readers = self.clone();
        let result = spawn_blocking(move || readers.read_blocking(read)).await;
        match result {
            Ok(result) => result.map_err(|error| error.to_store_error(&self.file.path)),
            Err(_) => Err(error::closed(&self.file.path)),
        }
    }

    fn read_blocking<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, SqliteError>,
    ) -> Result<T, SqliteError> {
        let idle = self.idle().pop();
        let mut db = match idle {
            Some(db) => db,
            None => self.file.connect_read_only()?,
        };
        let result = {
            let tx = db.transaction()?;
            read(&tx)
        };
        self.idle().push(db);
        result
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
