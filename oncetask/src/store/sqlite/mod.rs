//! A store in one SQLite file.
//!
//! The store has four threads: [`writer`] writes, [`sync`] waits for the disk, [`checkpoint`] copies the
//! write-ahead log into the database, and [`watcher`] detects the changes of other processes. [`threads`]
//! starts and ends them. A pool of connections reads ([`readers`]).
//!
//! | level | modules |
//! | --- | --- |
//! | file | [`error`], [`schema`] (tables and indexes), [`file`] (opening) |
//! | rows | [`codec`] (columns of a task), [`rows`] (one task), [`inserts`] and [`batch_sql`] (many tasks), [`statements`], [`interner`] (numbers of kinds and environments) |
//! | queue | [`queue_order`], [`queue`] (due tasks), [`keys`] (resource keys) |
//! | transactions | [`tx`], [`claims`], [`changes`] (all other writes), [`claim_cache`] (cached from one transaction to the next) |
//! | reads | [`queries`], [`scan`] (index scans), [`page`] (merging scans) |
//! | threads | [`write_op`] (operations of callers), [`writer`], [`sync`], [`checkpoint`], [`watcher`], [`notifiers`], [`threads`], [`readers`], [`options`] |

mod batch_sql;
mod changes;
mod checkpoint;
mod claim_cache;
mod claims;
mod codec;
mod error;
mod file;
pub(super) mod fuzz;
mod inserts;
mod interner;
mod keys;
mod notifiers;
mod options;
mod page;
mod queries;
mod queue;
mod queue_order;
mod readers;
mod rows;
mod scan;
mod schema;
mod statements;
mod sync;
#[cfg(test)]
mod tests;
mod threads;
mod tx;
mod watcher;
mod write_op;
mod writer;

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::task::spawn_blocking;

use self::error::SqliteError;
use self::file::DatabaseFile;
use self::notifiers::Notifiers;
pub use self::options::{Durability, SqliteOptions};
use self::readers::Readers;
use self::threads::Threads;
use self::tx::Tx;
use self::write_op::{ClosureOp, ReplyReceiver};
use super::{
    Action, BoxFuture, ClaimRequest, ClaimResponse, Filter, Finish, Insert, Notifier, Page, Query, Renewal,
    Renewed, Store, Subscription, Topic,
};
use crate::error::StoreError;
use crate::task::transition::{Change, LeaseLost};
use crate::task::{Task, TaskId};

/// The maximum number of tasks of one operation. A larger call is split into several operations, so that
/// other callers need not wait for all of it.
const MAX_TASKS_PER_OP: usize = 500;
/// The maximum number of operations of one call that are queued at once.
const MAX_QUEUED_OPS: usize = 3;
/// The number of an environment in which nothing was ever stored.
const UNKNOWN_ENV: i64 = -1;

/// Stores tasks in one SQLite file.
///
/// Any number of processes on one machine may use the file at once: workers, programs that create tasks, and
/// tools such as `sqlite3`.
///
/// The handle is cheap to clone. All clones, and the handles on other environments of the file, share threads
/// and connections, which end when the last handle is dropped.
///
/// ```
/// use oncetask::Client;
/// use oncetask::store::SqliteStore;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::StoreError> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let file = directory.path().join("tasks.db");
/// let store = SqliteStore::open(file, "TEST").await?;
/// let client = Client::new(store);
/// # let _ = client;
/// # Ok(()) }
/// ```
///
/// While the file is open, two companions exist, with the suffixes `-wal` and `-shm`. The three files belong
/// together. Keep them on a local disk, because network file systems do not lock reliably. A reader may see a
/// change a moment before it is on disk.
#[derive(Clone)]
pub struct SqliteStore {
    env: Arc<str>,
    notifier: Arc<Notifier>,
    shared: Arc<Shared>,
}

/// The part of the store that all environments share.
struct Shared {
    file: Arc<DatabaseFile>,
    address: String,
    notifiers: Arc<Notifiers>,
    readers: Arc<Readers>,
    threads: Threads,
}

impl SqliteStore {
    /// Opens a file with the default options, and returns a handle on one environment. Creates the file if it
    /// does not exist.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] if the file cannot be opened; see [`SqliteOptions::open`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens no store, but the file may have been created.
    pub async fn open(file: impl Into<PathBuf>, env: impl Into<String>) -> Result<Self, StoreError> {
        Self::options(file).open(env).await
    }

    /// Returns the default options for opening a file.
    pub fn options(file: impl Into<PathBuf>) -> SqliteOptions {
        SqliteOptions::new(file.into())
    }

    /// Returns a handle on another environment of the same file.
    ///
    /// ```
    /// use oncetask::store::{SqliteStore, Store};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::StoreError> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let file = directory.path().join("tasks.db");
    /// let staging = SqliteStore::open(file, "STAGING").await?;
    /// let production = staging.in_env("PRODUCTION");
    /// assert_eq!(production.env(), "PRODUCTION");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn in_env(&self, env: impl Into<String>) -> Self {
        Self::new(self.shared.clone(), env.into())
    }

    fn new(shared: Arc<Shared>, env: String) -> Self {
        Self {
            notifier: shared.notifiers.of(&env),
            env: env.into(),
            shared,
        }
    }

    /// Queues an operation of this weight for the writer.
    fn submit<T: Send + 'static>(
        &self,
        weight: usize,
        durable: bool,
        write: impl FnMut(&mut Tx<'_>) -> Result<T, SqliteError> + Send + 'static,
    ) -> ReplyReceiver<T> {
        let (op, reply) = ClosureOp::new(weight, durable, self.notifier.clone(), write);
        self.shared.threads.send(Box::new(op));
        reply
    }

    async fn receive<T>(&self, reply: ReplyReceiver<T>) -> Result<T, StoreError> {
        let closed = |_| Err(error::closed(&self.shared.file.path));
        reply.await.unwrap_or_else(closed)
    }

    /// Submits operations for up to [`MAX_TASKS_PER_OP`] items each, and returns all their results in order.
    async fn submit_chunks<I: Send, T: Send>(
        &self,
        items: Vec<I>,
        submit: impl Fn(Vec<I>) -> ReplyReceiver<Vec<T>>,
    ) -> Result<Vec<T>, StoreError> {
        if items.len() <= MAX_TASKS_PER_OP {
            return self.receive(submit(items)).await;
        }
        let mut results = Vec::with_capacity(items.len());
        let mut queued = VecDeque::new();
        let mut items = items.into_iter();
        loop {
            let chunk: Vec<_> = items.by_ref().take(MAX_TASKS_PER_OP).collect();
            let last = chunk.is_empty();
            if !last {
                queued.push_back(submit(chunk));
            }
            while queued.len() >= MAX_QUEUED_OPS || last {
                let Some(reply) = queued.pop_front() else {
                    return Ok(results);
                };
                results.append(&mut self.receive(reply).await?);
            }
        }
    }
}

impl SqliteOptions {
    /// Opens the file, and returns a handle on one environment. Creates the file if it does not exist.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] if the file cannot be opened or created, is locked, belongs to another
    /// program, or was written by a newer version of this library. A refused file is not changed.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the file may have been created or migrated. No thread remains.
    pub async fn open(self, env: impl Into<String>) -> Result<SqliteStore, StoreError> {
        let path = self.path.clone();
        let shared = spawn_blocking(move || Shared::open(&self)).await;
        let shared = shared.unwrap_or_else(|_| Err(error::closed(&path)))?;
        Ok(SqliteStore::new(Arc::new(shared), env.into()))
    }
}

impl Shared {
    fn open(options: &SqliteOptions) -> Result<Self, StoreError> {
        let file = Arc::new(DatabaseFile::open(&options.path, options.lock_timeout)?);
        let notifiers = Arc::new(Notifiers::default());
        Ok(Self {
            address: format!("sqlite:{}", file.path.display()),
            threads: Threads::start(&file, &notifiers, options)?,
            readers: Arc::new(Readers::new(file.clone())),
            notifiers,
            file,
        })
    }
}

impl Store for SqliteStore {
    fn address(&self) -> &str {
        &self.shared.address
    }

    fn env(&self) -> &str {
        &self.env
    }

    fn create(&self, tasks: Vec<Task>) -> BoxFuture<'_, Vec<Insert>> {
        Box::pin(self.submit_chunks(tasks, |tasks: Vec<Task>| {
            let env = self.env.clone();
            self.submit(tasks.len(), true, move |tx| {
                let env = tx.interner.intern_env(tx.db, &env)?;
                changes::create(tx, env, &tasks)
            })
        }))
    }

    fn get(&self, ids: Vec<TaskId>) -> BoxFuture<'_, Vec<Option<Task>>> {
        let env = self.env.clone();
        Box::pin(self.shared.readers.read(move |db| queries::get(db, &env, &ids)))
    }

    fn query(&self, query: Query) -> BoxFuture<'_, Page> {
        let env = self.env.clone();
        Box::pin(
            self.shared
                .readers
                .read(move |db| queries::page(db, &env, &query)),
        )
    }

    fn count(&self, filter: Filter, now: DateTime<Utc>) -> BoxFuture<'_, u64> {
        let env = self.env.clone();
        Box::pin(
            self.shared
                .readers
                .read(move |db| queries::count(db, &env, &filter, now)),
        )
    }

    fn kinds(&self) -> BoxFuture<'_, Vec<String>> {
        let env = self.env.clone();
        Box::pin(self.shared.readers.read(move |db| queries::kinds(db, &env)))
    }

    fn claim(&self, request: ClaimRequest) -> BoxFuture<'_, ClaimResponse> {
        let weight = request.demands.iter().map(|demand| demand.max_claims).sum();
        let (env, request) = (self.env.clone(), Arc::new(request));
        let (read_env, read_request) = (env.clone(), request.clone());
        let (op, reply) = ClosureOp::new(weight, false, self.notifier.clone(), move |tx| {
            let env = tx.interner.env(tx.db, &env)?.unwrap_or(UNKNOWN_ENV);
            claims::claim(tx, env, &request)
        });
        let op = op.read_only(move |db| claims::response_if_nothing_due(db, &read_env, &read_request));
        self.shared.threads.send(Box::new(op));
        Box::pin(self.receive(reply))
    }

    fn may_prefetch(&self) -> bool {
        true
    }

    fn renew(&self, renewals: Vec<Renewal>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Renewed>> {
        Box::pin(self.submit_chunks(renewals, move |renewals: Vec<Renewal>| {
            let env = self.env.clone();
            self.submit(renewals.len(), false, move |tx| {
                let env = tx.interner.env(tx.db, &env)?.unwrap_or(UNKNOWN_ENV);
                renewals
                    .iter()
                    .map(|renewal| changes::renew(tx, env, renewal, now))
                    .collect()
            })
        }))
    }

    fn finish(&self, finishes: Vec<Finish>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Result<(), LeaseLost>>> {
        Box::pin(self.submit_chunks(finishes, move |finishes: Vec<Finish>| {
            let env = self.env.clone();
            self.submit(finishes.len(), true, move |tx| {
                let env = tx.interner.env(tx.db, &env)?.unwrap_or(UNKNOWN_ENV);
                changes::finish(tx, env, &finishes, now)
            })
        }))
    }

    fn change(&self, ids: Vec<TaskId>, action: Action, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Change>> {
        let action = Arc::new(action);
        Box::pin(self.submit_chunks(ids, move |ids: Vec<TaskId>| {
            let (env, action) = (self.env.clone(), action.clone());
            self.submit(ids.len(), true, move |tx| {
                let number = tx.interner.env(tx.db, &env)?.unwrap_or(UNKNOWN_ENV);
                ids.iter()
                    .map(|id| changes::change(tx, (number, &env), id, &action, now))
                    .collect()
            })
        }))
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        let subscription = self.notifier.subscribe(topic);
        self.shared.threads.activate_watcher();
        subscription
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("file", &self.shared.file.path)
            .field("env", &self.env)
            .finish_non_exhaustive()
    }
}
