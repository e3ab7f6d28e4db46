//! Detecting the changes that other processes make.
//!
//! Every commit writes to the log. While there are subscribers, the watcher checks the log's modification
//! time every 20 to 50 ms, which costs an idle worker next to nothing. If the log may have changed, the
//! watcher asks SQLite whether another connection has committed. If so, it reads the heads of the subscribed
//! queues, the stopped tasks, and the tasks whose ends are awaited.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rusqlite::Connection;

use super::error::SqliteError;
use super::interner;
use super::notifiers::Notifiers;
use super::queue;
use super::queue_order::QueuePosition;
use super::rows;
use super::statements::Statements;
use crate::store::Notifier;
use crate::task::TaskId;

/// The interval between checks after a recent change.
const ACTIVE_INTERVAL: Duration = Duration::from_millis(20);
/// The interval between checks otherwise.
const IDLE_INTERVAL: Duration = Duration::from_millis(50);
/// The number of checks without a change after which the interval becomes [`IDLE_INTERVAL`].
const CHECKS_UNTIL_IDLE: u32 = 50;
/// The number of checks without a change after which SQLite is asked in any case, because some file systems
/// do not update the modification time reliably.
const MAX_UNVERIFIED_CHECKS: u32 = 25;
/// The resolution of modification times. A log that changed within this time may change again without a new
/// time.
const MTIME_RESOLUTION: Duration = Duration::from_millis(100);

/// Switches the watcher on and off.
#[derive(Debug, Default)]
pub(super) struct WatcherSwitch {
    mode: Mutex<Mode>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// There are no subscribers.
    #[default]
    Inactive,
    Active,
    Closed,
}

impl WatcherSwitch {
    /// Activates the watcher, because a subscriber was added.
    pub(super) fn activate(&self) {
        let mut mode = self.lock();
        if *mode == Mode::Inactive {
            *mode = Mode::Active;
            self.changed.notify_all();
        }
    }

    /// Ends the watcher.
    pub(super) fn close(&self) {
        *self.lock() = Mode::Closed;
        self.changed.notify_all();
    }

    /// Waits until the next check is due: for an interval if active, else until activated. Returns `false` if
    /// the store is closed.
    fn wait(&self, interval: Duration) -> bool {
        let mode = self.lock();
        let mode = match *mode {
            Mode::Closed => mode,
            Mode::Inactive => self.changed.wait(mode).unwrap_or_else(PoisonError::into_inner),
            Mode::Active => {
                let waited = self.changed.wait_timeout(mode, interval);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        *mode != Mode::Closed
    }

    /// Deactivates the watcher if there are no subscribers.
    fn deactivate(&self, notifiers: &Notifiers) {
        let mut mode = self.lock();
        // Checked under the lock: a subscriber that was added before is counted here, and a later one
        // activates the watcher.
        if *mode == Mode::Active && notifiers.subscribed().is_empty() {
            *mode = Mode::Inactive;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Mode> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Detects from the log's modification time and length whether the log may have changed.
struct LogProbe {
    log: File,
    last: Option<(SystemTime, u64)>,
    /// True if the next check must ask SQLite even if the log looks unchanged.
    unsure: bool,
    /// The number of checks without a change.
    unchanged: u32,
}

impl LogProbe {
    fn new(log: File) -> Self {
        Self {
            log,
            last: None,
            unsure: true,
            unchanged: 0,
        }
    }

    /// Returns whether another process may have committed since the last call.
    fn may_have_changed(&mut self) -> bool {
        let current = self
            .log
            .metadata()
            .and_then(|log| Ok((log.modified()?, log.len())))
            .ok();
        let age = current.and_then(|(modified, _)| modified.elapsed().ok());
        // On systems other than Unix the modification time of an open file may lag behind.
        let same = cfg!(unix) && current.is_some() && current == self.last && !self.unsure;
        self.last = current;
        self.unsure = age.is_none_or(|age| age < MTIME_RESOLUTION);
        self.unchanged = if same { self.unchanged.saturating_add(1) } else { 0 };
        !same || self.unchanged.is_multiple_of(MAX_UNVERIFIED_CHECKS)
    }

    fn interval(&self) -> Duration {
        if self.unchanged < CHECKS_UNTIL_IDLE {
            ACTIVE_INTERVAL
        } else {
            IDLE_INTERVAL
        }
    }
}

/// A row of the table `stopped`: a cancelled or deleted task.
struct StoppedTask {
    at: i64,
    env: i64,
    id: TaskId,
}

/// The thread that detects changes.
pub(super) struct Watcher {
    db: Connection,
    probe: LogProbe,
    notifiers: Arc<Notifiers>,
    switch: Arc<WatcherSwitch>,
    /// The last [`data_version`].
    data_version: i64,
    /// The last row of `stopped` that was read.
    last_stopped: i64,
    /// The last known head of each kind's queue.
    heads: HashMap<i64, Option<QueuePosition>>,
}

impl Watcher {
    pub(super) fn new(
        db: Connection,
        log: File,
        notifiers: Arc<Notifiers>,
        switch: Arc<WatcherSwitch>,
    ) -> rusqlite::Result<Self> {
        let data_version = data_version(&db)?;
        let sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'stopped'";
        let last_stopped = db.query_row(sql, [], |row| row.get(0))?;
        Ok(Self {
            db,
            probe: LogProbe::new(log),
            notifiers,
            switch,
            data_version,
            last_stopped,
            heads: HashMap::new(),
        })
    }

    /// Runs until the store is closed.
    pub(super) fn run(mut self) {
        while self.switch.wait(self.probe.interval()) {
            let subscribed = self.notifiers.subscribed();
            if subscribed.is_empty() {
                self.switch.deactivate(&self.notifiers);
                continue;
            }
            if !self.probe.may_have_changed() {
                continue;
            }
            if let Err(error) = self.check(&subscribed) {
                self.probe.unsure = true;
                tracing::debug!(
                    ?error,
                    "could not read the changes of other processes; will be repeated"
                );
            }
        }
    }

    /// Notifies the subscribers of all changes since the last successful check.
    fn check(&mut self, subscribed: &[(String, Arc<Notifier>)]) -> Result<(), SqliteError> {
        let data_version = data_version(&self.db)?;
        if data_version == self.data_version {
            return Ok(());
        }
        let stopped = self.newly_stopped()?;
        for (env, notifier) in subscribed {
            let Some(env) = interner::env(&self.db, env)? else {
                continue;
            };
            self.check_due(env, notifier)?;
            self.check_stopped(env, notifier, &stopped)?;
            self.check_ended(env, notifier)?;
        }
        self.last_stopped = stopped.last().map_or(self.last_stopped, |task| task.at);
        self.data_version = data_version;
        Ok(())
    }

    /// Notifies the subscribers of kinds whose queues have a new head.
    fn check_due(&mut self, env: i64, notifier: &Notifier) -> Result<(), SqliteError> {
        for name in notifier.kinds() {
            let Some(kind) = interner::kind(&self.db, env, &name)? else {
                continue;
            };
            let head = queue::head(&self.db, kind)?;
            if self.heads.insert(kind, head) != Some(head) && head.is_some() {
                notifier.notify_due(&name);
            }
        }
        Ok(())
    }

    fn newly_stopped(&self) -> Result<Vec<StoppedTask>, SqliteError> {
        let sql = "SELECT at, env, id FROM stopped WHERE at > ?1 ORDER BY at";
        let mut statement = self.db.prepare_cached(sql)?;
        let stopped = statement.query_map([self.last_stopped], |row| {
            Ok(StoppedTask {
                at: row.get(0)?,
                env: row.get(1)?,
                id: TaskId::new(row.get::<_, String>(2)?),
            })
        })?;
        Ok(stopped.collect::<Result<_, _>>()?)
    }

    fn check_stopped(
        &self,
        env: i64,
        notifier: &Notifier,
        stopped: &[StoppedTask],
    ) -> Result<(), SqliteError> {
        for StoppedTask { id, .. } in stopped.iter().filter(|task| task.env == env) {
            // A task that was reset or created again in the meantime must not be stopped.
            let row = rows::state_by_id(&mut Statements::new(&self.db), env, id)?;
            if row.is_none_or(|row| row.state.cancelled_at.is_some()) {
                notifier.notify_stopped(std::slice::from_ref(id));
            }
        }
        Ok(())
    }

    fn check_ended(&self, env: i64, notifier: &Notifier) -> Result<(), SqliteError> {
        for id in notifier.tasks() {
            let row = rows::state_by_id(&mut Statements::new(&self.db), env, &id)?;
            if row.is_none_or(|row| row.state.done.is_some()) {
                notifier.notify_ended(&id);
            }
        }
        Ok(())
    }
}

/// Returns a number that changes when another connection commits.
fn data_version(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))
}
