//! The threads of a store, from its opening to its end.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::checkpoint::{Checkpointer, Checkpoints};
use super::claimed::ClaimCache;
use super::file::Place;
use super::names::Names;
use super::notifiers::Notifiers;
use super::options::{Durability, SqliteOptions};
use super::sync::{Acknowledger, Syncer};
use super::trouble::{self, Trouble};
use super::watcher::{Alarm, Watcher};
use super::writer::{Job, Writer};
use crate::error::{StoreError, StoreErrorKind};

/// How long closing a store waits for what is queued. It is done in any case, unless the process ends.
const CLOSING: Duration = Duration::from_millis(250);

/// How much of the file the writer keeps in memory at the most, as SQLite counts: KiB, with a minus. With many
/// resource keys the default of 2 MiB is a sixth slower. More is no better: after most transactions SQLite looks at
/// each page that it keeps, which made claims from a large file a quarter slower with 32 MB.
const CACHE: i32 = -8_000;

/// The threads. They end when this is dropped, the writer when all that is queued is done.
#[derive(Debug)]
pub(super) struct Threads {
    jobs: Option<Sender<Box<dyn Job>>>,
    alarm: Arc<Alarm>,
    /// Hangs up when every thread has ended.
    ended: Mutex<Receiver<Infallible>>,
}

impl std::fmt::Debug for dyn Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Job({})", self.weight())
    }
}

impl Threads {
    pub(super) fn start(
        place: &Arc<Place>,
        notifiers: &Arc<Notifiers>,
        options: &SqliteOptions,
    ) -> Result<Self, StoreError> {
        let sql = |error: rusqlite::Error| Trouble::from(error).about(&place.file);
        let os = |error: io::Error| {
            let message = format!("the store could not be started: {error}");
            trouble::at(&place.file, StoreErrorKind::Unavailable, message)
        };
        let (alive, ended) = mpsc::channel();

        let mut db = place.connect().map_err(sql)?;
        db.pragma_update(None, "cache_size", CACHE).map_err(sql)?;
        // The log is there once the file was read.
        db.pragma_query_value(None, "user_version", |_| Ok(()))
            .map_err(sql)?;
        let acknowledger = match options.durability {
            Durability::Normal => Acknowledger::AtOnce,
            Durability::Full => {
                let (committed, inbox) = mpsc::channel();
                let syncer = Syncer {
                    log: place.log().map_err(os)?,
                    place: place.clone(),
                    committed: inbox,
                    instead: None,
                };
                spawn("oncetask-sync", &alive, || syncer.run()).map_err(os)?;
                Acknowledger::Disk(committed, place.clone())
            }
        };

        let (wanted, inbox) = mpsc::sync_channel(1);
        let bulk_copied = Arc::new(AtomicBool::new(false));
        let checkpointer = Checkpointer::new(place, inbox, bulk_copied.clone()).map_err(sql)?;
        let checkpoints =
            Checkpoints::new(&mut db, options.checkpoint_from, wanted, bulk_copied).map_err(sql)?;
        spawn("oncetask-checkpoint", &alive, || checkpointer.run()).map_err(os)?;

        let alarm = Arc::new(Alarm::default());
        let reader = place.reader().map_err(sql)?;
        let watcher =
            Watcher::new(reader, place.log().map_err(os)?, notifiers.clone(), alarm.clone()).map_err(sql)?;
        spawn("oncetask-watch", &alive, || watcher.run()).map_err(os)?;

        let (jobs, inbox) = mpsc::channel();
        let writer = Writer {
            db,
            place: place.clone(),
            names: Names::default(),
            claimed: ClaimCache::default(),
            jobs: inbox,
            notifiers: notifiers.clone(),
            checkpoints,
            acknowledger,
        };
        spawn("oncetask-write", &alive, || writer.run()).map_err(os)?;
        Ok(Self {
            jobs: Some(jobs),
            alarm,
            ended: Mutex::new(ended),
        })
    }

    /// Queues a job for the writer; one that it can no longer take is dropped, and its caller sees that.
    pub(super) fn send(&self, job: Box<dyn Job>) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
    }

    /// Somebody waits for what other processes do.
    pub(super) fn watch(&self) {
        self.alarm.wake();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.jobs = None;
        self.alarm.end();
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(CLOSING);
    }
}

fn spawn(name: &str, alive: &Sender<Infallible>, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let alive = alive.clone();
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        work();
        drop(alive);
    })?;
    Ok(())
}
