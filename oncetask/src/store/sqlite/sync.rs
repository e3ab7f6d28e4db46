//! Waiting for the disk.
//!
//! The writer commits with `synchronous = NORMAL`: a commit appends frames to the write-ahead log and does
//! not wait for the disk. The callers of creations, ends of claims and changes wait for it. A separate thread
//! sends their results, after an `fsync` of the log that *began* after the commit. One `fsync` serves all
//! commits before it, and the writer continues in the meantime. The results of claims and renewals are sent
//! at once.
//!
//! This is safe, for these reasons:
//!
//! - **Acknowledged writes are on disk.** All frames of the commit were written to the log before its
//!   operations were sent to this thread. So the `fsync` covers them, and all frames before them: those of
//!   other operations and processes.
//! - **The log is recovered as a prefix.** Each frame has the log's salt and a checksum over all frames
//!   before it. After a power failure SQLite recovers the frames up to the last commit record with a valid
//!   checksum. So a commit is never recovered without the commits before it. If a completion is recovered, so
//!   is its claim. If a claim is lost, so is every completion, renewal and change that was accepted after it.
//! - **Frames leave the log only for the database.** With `NORMAL`, a checkpoint syncs the log before it
//!   copies pages, and syncs the database after that. A writer restarts the log only when every frame was
//!   copied and synced, and it syncs the new header. So frames that an earlier `fsync` covered stay on disk.
//! - **The log stays the same file.** Only the last connection to close removes it, and the writer's
//!   connection outlives this thread's work. Opening and closing the log here releases no lock, because
//!   SQLite's locks are on the database and on the `-shm` file. The log's directory entry is synced once,
//!   when the store is opened.
//! - **A creation that finds an existing task** waits too, because that task may come from another process
//!   and not be on disk yet.
//!
//! A reader may see a commit a moment before it is on disk. Subscribers to the end of a task are notified
//! afterwards.
//!
//! When an `fsync` fails, the operating system may have dropped the data that it could not write, and a later
//! `fsync` would succeed without it. So after a failure the log is never trusted again. For as long as the
//! store is open, a checkpoint replaces each `fsync`, because a checkpoint writes and syncs the database
//! itself.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

use super::error::{self, SqliteError};
use super::file::DatabaseFile;
use super::write_op::BoxedOp;
use crate::error::{StoreError, StoreErrorKind};

/// Committed operations whose callers wait for the disk.
pub(super) type Committed = Vec<BoxedOp>;

/// The writer's part: passes on the operations whose results must be durable.
pub(super) enum Acknowledger {
    /// Sends the results when they are on disk.
    AfterSync(Sender<Committed>, Arc<DatabaseFile>),
    /// Sends the results at once.
    Immediate,
}

impl Acknowledger {
    /// Settles committed operations, at once or when they are on disk.
    pub(super) fn acknowledge(&self, ops: Committed) {
        match self {
            Self::Immediate => settle(ops, &Ok(())),
            Self::AfterSync(syncer, file) => {
                if let Err(unsent) = syncer.send(ops) {
                    settle(unsent.0, &Err(error::closed(&file.path)));
                }
            }
        }
    }
}

/// The thread that waits for the disk.
pub(super) struct Syncer {
    log: File,
    file: Arc<DatabaseFile>,
    committed: Receiver<Committed>,
    /// Opened when an `fsync` of the log has failed.
    checkpoint_connection: Option<Connection>,
}

impl Syncer {
    pub(super) fn new(log: File, file: Arc<DatabaseFile>, committed: Receiver<Committed>) -> Self {
        Self {
            log,
            file,
            committed,
            checkpoint_connection: None,
        }
    }

    /// Runs until the writer has ended.
    pub(super) fn run(mut self) {
        while let Ok(mut ops) = self.committed.recv() {
            ops.extend(self.committed.try_iter().flatten());
            let outcome = self.sync();
            settle(ops, &outcome);
        }
    }

    /// Returns once all commits before this call are on disk.
    fn sync(&mut self) -> Result<(), StoreError> {
        if let Some(db) = &self.checkpoint_connection {
            return copy_all(db).map_err(|error| error.to_store_error(&self.file.path));
        }
        let Err(error) = self.log.sync_data() else {
            return Ok(());
        };
        tracing::error!(
            file = %self.file.path.display(), %error,
            "fsync of the write-ahead log failed; checkpoints replace it from now on",
        );
        self.checkpoint_connection = self.file.connect().ok();
        Err(self.unconfirmed(&error))
    }

    fn unconfirmed(&self, error: &io::Error) -> StoreError {
        let message = format!(
            "the disk did not confirm the write ({error}), and a power failure may undo it; \
             check the system log, and repeat the call"
        );
        error::store_error(&self.file.path, StoreErrorKind::Unavailable, message)
    }
}

/// Copies every frame of the log to the database, and syncs the database.
fn copy_all(db: &Connection) -> Result<(), SqliteError> {
    let (frames, copied) = db.wal_checkpoint_v2(Some("main"), CheckpointMode::FULL)?;
    if copied < frames {
        return Err(SqliteError::Corrupt(format!(
            "only {copied} of the log's {frames} frames could be copied"
        )));
    }
    Ok(())
}

fn settle(ops: Committed, outcome: &Result<(), StoreError>) {
    for op in ops {
        op.settle(outcome.clone());
    }
}
