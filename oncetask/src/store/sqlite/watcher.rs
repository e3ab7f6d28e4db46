//! What other processes do to the file.
//!
//! Every commit writes to the log, so the log's time of change is looked at every few milliseconds, only while
//! somebody waits: that costs an idle worker next to nothing. If it may have changed, SQLite tells whether
//! anybody has committed; and if so, the heads of the queues that somebody waits for are looked at.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rusqlite::Connection;

use super::names;
use super::notifiers::Notifiers;
use super::rows;
use super::statements::Statements;
use super::trouble::Trouble;
use crate::store::Notifier;
use crate::task::TaskId;

/// How long something that another process did may go unseen, if the last such thing is not long ago.
const BUSY: Duration = Duration::from_millis(20);
/// How long otherwise.
const QUIET: Duration = Duration::from_millis(50);
/// From how many looks without a change on it is quiet.
const CALM: u32 = 50;
/// How many looks may trust the log's time of change, in case a file system does not keep it well.
const TRUSTED: u32 = 25;
/// A log that changed so shortly ago may have changed again without a later time.
const COARSE: Duration = Duration::from_millis(100);

/// Tells the watcher when to work.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Asleep,
    Awake,
    Over,
}

impl Alarm {
    /// Somebody waits.
    pub(super) fn wake(&self) {
        let mut state = self.lock();
        if *state == State::Asleep {
            *state = State::Awake;
            self.changed.notify_all();
        }
    }

    /// The store is closed.
    pub(super) fn end(&self) {
        *self.lock() = State::Over;
        self.changed.notify_all();
    }

    /// Sleeps until it is time to look. Returns whether it ever is again.
    fn wait(&self, longest: Duration) -> bool {
        let state = self.lock();
        let state = match *state {
            State::Over => state,
            State::Asleep => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            State::Awake => {
                let waited = self.changed.wait_timeout(state, longest);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        *state != State::Over
    }

    /// Nobody waits any more.
    fn sleep(&self, notifiers: &Notifiers) {
        let mut state = self.lock();
        // Who began to wait before the lock was taken is seen here; who does after it, wakes us.
        if *state == State::Awake && notifiers.heard().is_empty() {
            *state = State::Asleep;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the log looked like.
struct Glance {
    log: File,
    seen: Option<(SystemTime, u64)>,
    again: bool,
    unchanged: u32,
}

impl Glance {
    fn new(log: File) -> Self {
        Self {
            log,
            seen: None,
            again: true,
            unchanged: 0,
        }
    }

    /// Whether somebody may have committed since this was last asked.
    fn may_have_changed(&mut self) -> bool {
        let now = self
            .log
            .metadata()
            .and_then(|log| Ok((log.modified()?, log.len())))
            .ok();
        let age = now.and_then(|(changed, _)| changed.elapsed().ok());
        // Elsewhere the time of a file that is open may lag behind.
        let same = cfg!(unix) && now.is_some() && now == self.seen && !self.again;
        self.seen = now;
        self.again = age.is_none_or(|age| age < COARSE);
        self.unchanged = if same { self.unchanged.saturating_add(1) } else { 0 };
        !same || self.unchanged.is_multiple_of(TRUSTED)
    }

    fn interval(&self) -> Duration {
        if self.unchanged < CALM { BUSY } else { QUIET }
    }
}

/// The thread that looks.
pub(super) struct Watcher {
    db: Connection,
    glance: Glance,
    notifiers: Arc<Notifiers>,
    alarm: Arc<Alarm>,
    version: i64,
    /// The last task of `stopped` that was seen.
    stopped: i64,
    heads: HashMap<i64, Option<(i64, i64)>>,
}

impl Watcher {
    pub(super) fn new(
        db: Connection,
        log: File,
        notifiers: Arc<Notifiers>,
        alarm: Arc<Alarm>,
    ) -> rusqlite::Result<Self> {
        let version = version(&db)?;
        let sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'stopped'";
        let stopped = db.query_row(sql, [], |row| row.get(0))?;
        Ok(Self {
            db,
            glance: Glance::new(log),
            notifiers,
            alarm,
            version,
            stopped,
            heads: HashMap::new(),
        })
    }

    /// Works until the store is closed.
    pub(super) fn run(mut self) {
        while self.alarm.wait(self.glance.interval()) {
            let heard = self.notifiers.heard();
            if heard.is_empty() {
                self.alarm.sleep(&self.notifiers);
                continue;
            }
            if !self.glance.may_have_changed() {
                continue;
            }
            // What could not be read is looked at again the next time.
            if let Err(trouble) = self.look(&heard) {
                self.glance.again = true;
                tracing::debug!(?trouble, "could not look for what other programs did");
            }
        }
    }

    fn look(&mut self, heard: &[(String, Arc<Notifier>)]) -> Result<(), Trouble> {
        let version = version(&self.db)?;
        if version == self.version {
            return Ok(());
        }
        let stopped = self.newly_stopped()?;
        for (env, notifier) in heard {
            let Some(env) = names::env(&self.db, env)? else {
                continue;
            };
            self.look_for_due(env, notifier)?;
            self.look_for_stopped(env, notifier, &stopped)?;
            self.look_for_ended(env, notifier)?;
        }
        self.stopped = stopped.last().map_or(self.stopped, |(at, ..)| *at);
        self.version = version;
        Ok(())
    }

    /// Rings where another task than before is the first to become due.
    fn look_for_due(&mut self, env: i64, notifier: &Notifier) -> Result<(), Trouble> {
        for name in notifier.kinds() {
            let Some(kind) = names::kind(&self.db, env, &name)? else {
                continue;
            };
            let head = super::claims::head(&self.db, kind)?;
            if self.heads.insert(kind, head) != Some(head) && head.is_some() {
                notifier.notify_due(&name);
            }
        }
        Ok(())
    }

    fn newly_stopped(&self) -> Result<Vec<(i64, i64, TaskId)>, Trouble> {
        let sql = "SELECT at, env, id FROM stopped WHERE at > ?1 ORDER BY at";
        let mut statement = self.db.prepare_cached(sql)?;
        let stopped = statement.query_map([self.stopped], |row| {
            Ok((row.get(0)?, row.get(1)?, TaskId::new(row.get::<_, String>(2)?)))
        })?;
        Ok(stopped.collect::<Result<_, _>>()?)
    }

    fn look_for_stopped(
        &self,
        env: i64,
        notifier: &Notifier,
        stopped: &[(i64, i64, TaskId)],
    ) -> Result<(), Trouble> {
        for (_, of, id) in stopped {
            if *of != env {
                continue;
            }
            // One that was reset, or created again, since then runs as it should.
            let task = rows::held(&mut Statements::new(&self.db), env, id)?;
            if task.is_none_or(|task| task.state.cancelled_at.is_some()) {
                notifier.notify_stopped(std::slice::from_ref(id));
            }
        }
        Ok(())
    }

    fn look_for_ended(&self, env: i64, notifier: &Notifier) -> Result<(), Trouble> {
        for id in notifier.tasks() {
            let task = rows::held(&mut Statements::new(&self.db), env, &id)?;
            if task.is_none_or(|task| task.state.done.is_some()) {
                notifier.notify_ended(&id);
            }
        }
        Ok(())
    }
}

/// A number that changes when another connection commits.
fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))
}
