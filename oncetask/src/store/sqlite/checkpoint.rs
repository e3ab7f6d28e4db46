//! Checkpoints: copying the write-ahead log into the database.
//!
//! By default SQLite runs a checkpoint inside a commit, every 1,000 pages. This costs the commits of a busy
//! store most of their speed. Here a separate thread copies most of the log while the writer continues. The
//! log can only be restarted when every frame has been copied, but under constant load the writer is always a
//! few frames ahead of the thread. So the writer copies the last frames itself, between two transactions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

use super::file::{DatabaseFile, retry_until_timeout};

/// The length of the log, in pages, from which it is copied: 62.5 MiB with pages of 4 KiB.
pub(super) const CHECKPOINT_PAGES: usize = 16_000;
/// The same length after the disk was full: about 1 MiB.
const CHECKPOINT_PAGES_FULL_DISK: usize = 250;
/// A failed checkpoint is repeated when the log has grown by the threshold divided by this number.
const RETRY_GROWTH_DIVISOR: usize = 8;
/// A checkpoint blocks readers and the writer if the log is at least this many times as long as the threshold.
const BLOCKING_FACTOR: usize = 8;
/// The maximum time for which a checkpoint blocks them.
const MAX_BLOCKING: Duration = Duration::from_secs(1);

/// The writer's part: decides when to run a checkpoint, and copies the last frames.
pub(super) struct Checkpoints {
    /// The length of the log after the last commit, in pages.
    log_pages: Arc<AtomicUsize>,
    /// The length from which the log is copied, in pages.
    threshold: usize,
    /// The length at which the next checkpoint is requested, in pages.
    next: usize,
    bulk_copied: Arc<AtomicBool>,
    requests: SyncSender<CheckpointMode>,
}

impl Checkpoints {
    pub(super) fn new(
        db: &mut Connection,
        threshold: usize,
        requests: SyncSender<CheckpointMode>,
        bulk_copied: Arc<AtomicBool>,
    ) -> rusqlite::Result<Self> {
        let log_pages = Arc::new(AtomicUsize::new(0));
        let counter = log_pages.clone();
        // The hook replaces SQLite's own checkpoints.
        db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            counter.store(usize::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            log_pages,
            threshold,
            next: threshold,
            bulk_copied,
            requests,
        })
    }

    /// Copies the log after the disk was full, so that SQLite can overwrite it. Keeps the log short from now
    /// on.
    pub(super) fn after_full_disk(&mut self, db: &Connection) {
        self.threshold = self.threshold.min(CHECKPOINT_PAGES_FULL_DISK);
        self.next = self.threshold;
        copy(db, CheckpointMode::PASSIVE);
    }

    /// Requests a checkpoint if the log is too long, and copies the last frames if the thread has copied the
    /// others.
    pub(super) fn after_commit(&mut self, db: &Connection) {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if self.bulk_copied.swap(false, Ordering::Acquire) {
            copy(db, CheckpointMode::PASSIVE);
        }
        if pages < self.threshold {
            self.next = self.threshold;
        } else if pages >= self.next {
            self.next = pages + self.threshold / RETRY_GROWTH_DIVISOR;
            let mode = if pages < self.threshold * BLOCKING_FACTOR {
                CheckpointMode::PASSIVE
            } else {
                CheckpointMode::TRUNCATE
            };
            // If the channel is full, a checkpoint is already requested.
            let _ = self.requests.try_send(mode);
        }
    }
}

/// The thread that copies most of the log.
pub(super) struct Checkpointer {
    db: Connection,
    requests: Receiver<CheckpointMode>,
    bulk_copied: Arc<AtomicBool>,
}

impl Checkpointer {
    pub(super) fn new(
        file: &DatabaseFile,
        requests: Receiver<CheckpointMode>,
        bulk_copied: Arc<AtomicBool>,
    ) -> rusqlite::Result<Self> {
        let mut db = file.connect()?;
        db.busy_handler(Some(retry_until_timeout(MAX_BLOCKING)))?;
        Ok(Self {
            db,
            requests,
            bulk_copied,
        })
    }

    /// Runs until the writer has ended.
    pub(super) fn run(self) {
        while let Ok(mode) = self.requests.recv() {
            copy(&self.db, mode);
            self.bulk_copied.store(true, Ordering::Release);
        }
    }
}

fn copy(db: &Connection, mode: CheckpointMode) {
    // Another process may run a checkpoint, a reader may block it, or the disk may be full. The checkpoint is
    // repeated as the log grows.
    if let Err(error) = db.wal_checkpoint_v2(Some("main"), mode) {
        tracing::debug!(%error, "the checkpoint of the write-ahead log failed and will be repeated");
    }
}
