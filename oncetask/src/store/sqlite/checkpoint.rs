//! Bringing the write-ahead log back into the database.
//!
//! SQLite would do it in the middle of some commit, every 1,000 pages; that costs the commits of a busy store
//! most of their speed. Here a thread of its own copies the bulk beside the running writer. Under constant
//! load the writer is always a few frames ahead of it, and a log is started anew only when every frame was
//! copied: so the writer then copies those few itself, between two transactions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

use super::file::{Place, patience};

/// From how many pages on the log is copied: 64 MiB.
pub(super) const PAGES: usize = 16_000;
/// The same where the disk was full: 1 MiB.
const TIGHT: usize = 250;
/// It has grown by this part of that when copying it is tried again.
const AGAIN: usize = 8;
/// From how many times that on readers and writers are made to wait.
const INSIST: usize = 8;
/// How long they are made to wait.
const INSIST_FOR: Duration = Duration::from_secs(1);

/// The writer's side.
pub(super) struct Checkpoints {
    /// How many pages the log has, as each commit tells.
    pages: Arc<AtomicUsize>,
    /// From how many on it is copied.
    from: usize,
    /// How many it has when that is due next.
    next: usize,
    bulk_copied: Arc<AtomicBool>,
    wanted: SyncSender<CheckpointMode>,
}

impl Checkpoints {
    pub(super) fn new(
        db: &mut Connection,
        from: usize,
        wanted: SyncSender<CheckpointMode>,
        bulk_copied: Arc<AtomicBool>,
    ) -> rusqlite::Result<Self> {
        let pages = Arc::new(AtomicUsize::new(0));
        let count = pages.clone();
        // This takes the place of SQLite's own checkpoints.
        db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            count.store(usize::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            pages,
            from,
            next: from,
            bulk_copied,
            wanted,
        })
    }

    /// The disk is full, perhaps of the log: once it is copied, it is written over. From now on it is kept
    /// short.
    pub(super) fn make_room(&mut self, db: &Connection) {
        self.from = self.from.min(TIGHT);
        self.next = self.from;
        copy(db, CheckpointMode::PASSIVE);
    }

    /// Sees after each commit whether the log has grown too long.
    pub(super) fn after_commit(&mut self, db: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        if self.bulk_copied.swap(false, Ordering::Acquire) {
            copy(db, CheckpointMode::PASSIVE);
        }
        if pages < self.from {
            self.next = self.from;
        } else if pages >= self.next {
            self.next = pages + self.from / AGAIN;
            let mode = if pages < self.from * INSIST {
                CheckpointMode::PASSIVE
            } else {
                CheckpointMode::TRUNCATE
            };
            // One that waits or runs is as good.
            let _ = self.wanted.try_send(mode);
        }
    }
}

/// The thread that copies the bulk.
pub(super) struct Checkpointer {
    db: Connection,
    wanted: Receiver<CheckpointMode>,
    bulk_copied: Arc<AtomicBool>,
}

impl Checkpointer {
    pub(super) fn new(
        place: &Place,
        wanted: Receiver<CheckpointMode>,
        bulk_copied: Arc<AtomicBool>,
    ) -> rusqlite::Result<Self> {
        let mut db = place.connect()?;
        db.busy_handler(Some(patience(INSIST_FOR)))?;
        Ok(Self {
            db,
            wanted,
            bulk_copied,
        })
    }

    /// Works until the writer has ended.
    pub(super) fn run(self) {
        while let Ok(mode) = self.wanted.recv() {
            copy(&self.db, mode);
            self.bulk_copied.store(true, Ordering::Release);
        }
    }
}

fn copy(db: &Connection, mode: CheckpointMode) {
    // Another process may be at it, a reader in the way, the disk full: it is tried again as the log grows.
    if let Err(error) = db.wal_checkpoint_v2(Some("main"), mode) {
        tracing::debug!(%error, "the write-ahead log was not copied");
    }
}
