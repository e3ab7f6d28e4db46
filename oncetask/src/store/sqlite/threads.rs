//! The threads of a store.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use super::checkpoint::{Checkpointer, Checkpoints};
use super::claim_cache::ClaimCache;
use super::error::{self, SqliteError};
use super::file::DatabaseFile;
use super::interner::Interner;
use super::notifiers::Notifiers;
use super::options::{Durability, SqliteOptions};
use super::sync::{Acknowledger, Syncer};
use super::watcher::{Watcher, WatcherSwitch};
use super::write_op::BoxedOp;
use super::writer::Writer;
use crate::error::{StoreError, StoreErrorKind};

/// The maximum time for which closing a store waits for queued operations. Operations that take longer still
/// run, unless the process ends.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(250);

/// The size of the writer's page cache in SQLite's unit: KiB, negative. With many resource keys the default
/// of 2 MiB is a sixth slower. A larger cache does not help: after most transactions SQLite checks each
/// cached page, which made claims from a large file a quarter slower with 32 MB.
const WRITER_CACHE_SIZE: i32 = -8_000;

/// The threads of a store. When this is dropped, they end, the writer after all queued operations.
#[derive(Debug)]
pub(super) struct Threads {
    ops: Option<Sender<BoxedOp>>,
    watcher: Arc<WatcherSwitch>,
    /// Disconnected when every thread has ended.
    ended: Mutex<Receiver<Infallible>>,
}

impl Threads {
    pub(super) fn start(
        file: &Arc<DatabaseFile>,
        notifiers: &Arc<Notifiers>,
        options: &SqliteOptions,
    ) -> Result<Self, StoreError> {
        let (alive, ended) = mpsc::channel();
        let starter = Starter {
            file,
            notifiers,
            alive,
        };
        let (ops, watcher) = starter
            .start_all(options)
            .map_err(|error| error.to_store_error(&file.path))?;
        Ok(Self {
            ops: Some(ops),
            watcher,
            ended: Mutex::new(ended),
        })
    }

    /// Queues an operation for the writer. If the writer has ended, drops the operation, and its caller gets
    /// an error.
    pub(super) fn send(&self, op: BoxedOp) {
        if let Some(ops) = &self.ops {
            let _ = ops.send(op);
        }
    }

    /// Activates the watcher, because a subscriber was added.
    pub(super) fn activate_watcher(&self) {
        self.watcher.activate();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.ops = None;
        self.watcher.close();
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(CLOSE_TIMEOUT);
    }
}

/// Starts the threads.
struct Starter<'a> {
    file: &'a Arc<DatabaseFile>,
    notifiers: &'a Arc<Notifiers>,
    /// Each thread has a clone, and drops it when it ends.
    alive: Sender<Infallible>,
}

/// The reason why a thread was not started.
enum ThreadStartError {
    Sqlite(SqliteError),
    Io(io::Error),
}

impl Starter<'_> {
    fn start_all(
        &self,
        options: &SqliteOptions,
    ) -> Result<(Sender<BoxedOp>, Arc<WatcherSwitch>), ThreadStartError> {
        let mut db = self.connect_writer()?;
        let acknowledger = self.start_syncer(options.durability)?;
        let checkpoints = self.start_checkpointer(&mut db, options.checkpoint_pages)?;
        let watcher = self.start_watcher()?;
        let (sender, ops) = mpsc::channel();
        let writer = Writer {
            db,
            file: self.file.clone(),
            interner: Interner::default(),
            claim_cache: ClaimCache::default(),
            ops,
            notifiers: self.notifiers.clone(),
            checkpoints,
            acknowledger,
        };
        self.spawn("oncetask-write", || writer.run())?;
        Ok((sender, watcher))
    }

    fn connect_writer(&self) -> Result<Connection, ThreadStartError> {
        let db = self.file.connect()?;
        db.pragma_update(None, "cache_size", WRITER_CACHE_SIZE)?;
        // The first read creates the log, which the other threads open.
        db.pragma_query_value(None, "user_version", |_| Ok(()))?;
        Ok(db)
    }

    fn start_syncer(&self, durability: Durability) -> Result<Acknowledger, ThreadStartError> {
        match durability {
            Durability::Normal => Ok(Acknowledger::Immediate),
            Durability::Full => {
                let (sender, committed) = mpsc::channel();
                let syncer = Syncer::new(self.file.open_log()?, self.file.clone(), committed);
                self.spawn("oncetask-sync", || syncer.run())?;
                Ok(Acknowledger::AfterSync(sender, self.file.clone()))
            }
        }
    }

    fn start_checkpointer(
        &self,
        db: &mut Connection,
        threshold: usize,
    ) -> Result<Checkpoints, ThreadStartError> {
        let (sender, requests) = mpsc::sync_channel(1);
        let bulk_copied = Arc::new(AtomicBool::new(false));
        let checkpointer = Checkpointer::new(self.file, requests, bulk_copied.clone())?;
        let checkpoints = Checkpoints::new(db, threshold, sender, bulk_copied)?;
        self.spawn("oncetask-checkpoint", || checkpointer.run())?;
        Ok(checkpoints)
    }

    fn start_watcher(&self) -> Result<Arc<WatcherSwitch>, ThreadStartError> {
        let switch = Arc::new(WatcherSwitch::default());
        let db = self.file.connect_read_only()?;
        let log = self.file.open_log()?;
        let watcher = Watcher::new(db, log, self.notifiers.clone(), switch.clone())?;
        self.spawn("oncetask-watch", || watcher.run())?;
        Ok(switch)
    }

    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let alive = self.alive.clone();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            run();
            drop(alive);
        })?;
        Ok(())
    }
}

impl ThreadStartError {
    fn to_store_error(&self, file: &Path) -> StoreError {
        match self {
            Self::Sqlite(error) => error.to_store_error(file),
            Self::Io(error) => {
                let message = format!("the store could not be started: {error}");
                error::store_error(file, StoreErrorKind::Unavailable, message)
            }
        }
    }
}

impl From<rusqlite::Error> for ThreadStartError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error.into())
    }
}

impl From<io::Error> for ThreadStartError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
