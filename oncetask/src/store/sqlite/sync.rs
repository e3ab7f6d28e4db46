//! When what was committed is on disk.
//!
//! The writer commits with `synchronous = NORMAL`: a commit appends frames to the write-ahead log and does
//! not wait for the disk. Who must wait (creations, ends of claims, changes) is answered by a second thread,
//! after an `fsync` of the log that *began* after the commit; one `fsync` serves every commit before it, and
//! the writer goes on meanwhile. Claims and renewals are answered at once.
//!
//! Why that is safe:
//!
//! - **What is answered is on disk.** All frames of the commit were written to the log before its job came
//!   here, so the `fsync` covers them, and with them all frames before: of other jobs and other processes.
//! - **The log is read back as a prefix.** Each frame carries the log's salt and a checksum over all frames
//!   before it. After a loss of power SQLite takes the frames up to the last commit record that checks out, so
//!   a commit is never there without those before it. A completion that is on disk has its claim on disk; a
//!   claim that is lost had no completion, renewal or change accepted after it that is not lost too.
//! - **Frames leave the log only for the database.** At `NORMAL` a checkpoint syncs the log before it copies
//!   pages, and the database after it. Only when every frame was copied and synced does a writer start the log
//!   anew, and it syncs the new header. So what an earlier `fsync` of the log covered stays covered.
//! - **The log is the same file all along.** It is removed only by the last connection to close, and the
//!   writer's outlives this thread's work. Opening and closing it here releases no lock: SQLite's locks are on
//!   the database and on the `-shm` file. Its directory entry is synced once, when the store is opened.
//! - **A creation that found its task** waits too: the task may come from another process and not be on disk
//!   yet.
//!
//! A reader may see a commit a moment before it is on disk. Who waits for the end of a task is told after.
//!
//! When an `fsync` fails, the system may have dropped what it could not write, and later ones would succeed
//! without it. So after a failure the log is never trusted again: a checkpoint, which writes and syncs the
//! database itself, stands in for each `fsync` as long as the store is open.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

use super::file::Place;
use super::trouble::{self, Trouble};
use super::writer::Job;
use crate::error::{StoreError, StoreErrorKind};

/// Jobs that were committed and whose callers wait for the disk.
pub(super) type Committed = Vec<Box<dyn Job>>;

/// Where the writer leaves what was committed and must survive.
pub(super) enum Acknowledger {
    /// Callers are answered when the disk has it.
    Disk(Sender<Committed>, Arc<Place>),
    /// Callers are answered at once.
    AtOnce,
}

impl Acknowledger {
    pub(super) fn acknowledge(&self, jobs: Committed) {
        match self {
            Self::AtOnce => settle(jobs, &Ok(())),
            Self::Disk(syncer, place) => {
                if let Err(unsent) = syncer.send(jobs) {
                    settle(unsent.0, &Err(trouble::closed(&place.file)));
                }
            }
        }
    }
}

/// The thread that waits for the disk.
pub(super) struct Syncer {
    pub(super) log: File,
    pub(super) place: Arc<Place>,
    pub(super) committed: Receiver<Committed>,
    /// Opened when the log is not to be trusted any more.
    pub(super) instead: Option<Connection>,
}

impl Syncer {
    /// Works until the writer has ended.
    pub(super) fn run(mut self) {
        while let Ok(mut jobs) = self.committed.recv() {
            jobs.extend(self.committed.try_iter().flatten());
            let outcome = self.sync();
            settle(jobs, &outcome);
        }
    }

    /// Returns when all that was committed before is on disk.
    fn sync(&mut self) -> Result<(), StoreError> {
        if let Some(db) = &self.instead {
            return copy(db).map_err(|trouble| trouble.about(&self.place.file));
        }
        let Err(error) = self.log.sync_data() else {
            return Ok(());
        };
        tracing::error!(file = %self.place.file.display(), %error, "the disk did not take what was written");
        self.instead = self.place.connect().ok();
        Err(self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> StoreError {
        let message = format!(
            "the disk did not confirm what was written to it ({error}), so it may be lost with the power; \
             look into the system's log, and do it again"
        );
        trouble::at(&self.place.file, StoreErrorKind::Unavailable, message)
    }
}

/// Copies every frame of the log to the database, and syncs that.
fn copy(db: &Connection) -> Result<(), Trouble> {
    let (frames, copied) = db.wal_checkpoint_v2(Some("main"), CheckpointMode::FULL)?;
    if copied < frames {
        return Err(Trouble::Corrupt(format!(
            "only {copied} of the log's {frames} frames could be copied"
        )));
    }
    Ok(())
}

fn settle(jobs: Committed, outcome: &Result<(), StoreError>) {
    for job in jobs {
        job.settle(outcome.clone());
    }
}
