//! A store in one SQLite file.
//!
//! One thread writes ([`writer`]), one waits for the disk ([`sync`]), one brings the write-ahead log back into
//! the database ([`checkpoint`]), one looks for what other processes do ([`watcher`]); a few connections read
//! ([`readers`]). [`changes`], [`claims`] and [`keys`] are what happens in a transaction, [`claimed`] what the
//! writer remembers from one to the next, [`queries`] what is read, [`inserts`], [`together`], [`rows`] and [`schema`]
//! how tasks lie in the file.

mod changes;
mod checkpoint;
mod claimed;
mod claims;
mod file;
pub(super) mod fuzz;
mod inserts;
mod keys;
mod names;
mod notifiers;
mod options;
mod queries;
mod readers;
mod rows;
mod schema;
mod statements;
mod sync;
#[cfg(test)]
mod tests;
mod threads;
mod together;
mod trouble;
mod tx;
mod watcher;
mod writer;

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use self::file::Place;
use self::notifiers::Notifiers;
pub use self::options::{Durability, SqliteOptions};
use self::readers::Readers;
use self::threads::Threads;
use self::trouble::Trouble;
use self::tx::Tx;
use self::writer::Op;
use super::{
    Action, BoxFuture, ClaimRequest, ClaimResponse, Filter, Finish, Insert, Notifier, Page, Query, Renewal,
    Renewed, Store, Subscription, Topic,
};
use crate::error::StoreError;
use crate::task::transition::{Change, LeaseLost};
use crate::task::{Task, TaskId};

/// How many tasks one job concerns at the most. A call with more of them is several jobs, so that others get
/// their turn in between.
const CHUNK: usize = 500;
/// Stands for an environment in which nothing was ever stored.
const NO_ENV: i64 = -1;
/// How many jobs of one call are under way at once.
const WINDOW: usize = 3;

/// Keeps tasks in one SQLite file, which any number of processes on one machine may use at once: workers,
/// programs that create tasks, people who look inside.
///
/// Cheap to clone; clones and their environments share the threads and connections. These end with the last
/// of them.
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
/// The file has a companion `-wal` and one `-shm` while it is open; the three belong together. It lies on a
/// local disk: file systems of a network do not lock reliably. Readers may see a change a moment before it is
/// on disk.
#[derive(Clone)]
pub struct SqliteStore {
    env: Arc<str>,
    notifier: Arc<Notifier>,
    shared: Arc<Shared>,
}

struct Shared {
    place: Arc<Place>,
    address: String,
    notifiers: Arc<Notifiers>,
    readers: Arc<Readers>,
    threads: Threads,
}

impl SqliteStore {
    /// Opens a file, which is made if it is not there, and returns the handle on an environment of it.
    ///
    /// # Errors
    ///
    /// As [`SqliteOptions::open`].
    pub async fn open(file: impl Into<PathBuf>, env: impl Into<String>) -> Result<Self, StoreError> {
        Self::options(file).open(env).await
    }

    /// How to open a file.
    pub fn options(file: impl Into<PathBuf>) -> SqliteOptions {
        SqliteOptions::new(file.into())
    }

    /// Another environment of the same file.
    #[must_use]
    pub fn in_env(&self, env: impl Into<String>) -> Self {
        let env = env.into();
        Self {
            notifier: self.shared.notifiers.of(&env),
            env: env.into(),
            shared: self.shared.clone(),
        }
    }

    async fn start(options: SqliteOptions, env: String) -> Result<Self, StoreError> {
        let file = options.file.clone();
        let shared = spawn_blocking(move || Shared::start(&options)).await;
        let shared = Arc::new(shared.unwrap_or_else(|_| Err(trouble::closed(&file)))?);
        Ok(Self {
            notifier: shared.notifiers.of(&env),
            env: env.into(),
            shared,
        })
    }

    /// Queues a job for the writer, and waits for its answer.
    fn submit<T: Send + 'static>(
        &self,
        weight: usize,
        durable: bool,
        act: impl FnMut(&mut Tx<'_>) -> Result<T, Trouble> + Send + 'static,
    ) -> Reply<T> {
        let (reply, receiver) = oneshot::channel();
        self.shared.threads.send(Box::new(Op {
            act: Box::new(act),
            look: None,
            weight,
            durable,
            notifier: self.notifier.clone(),
            answer: None,
            ended: Vec::new(),
            reply,
        }));
        receiver
    }

    async fn answer<T>(&self, reply: Reply<T>) -> Result<T, StoreError> {
        let closed = |_| Err(trouble::closed(&self.shared.place.file));
        reply.await.unwrap_or_else(closed)
    }

    /// Does the same with each of many, a chunk at a time.
    async fn each<I: Send, T: Send>(
        &self,
        items: Vec<I>,
        submit: impl Fn(Vec<I>) -> Reply<Vec<T>>,
    ) -> Result<Vec<T>, StoreError> {
        if items.len() <= CHUNK {
            return self.answer(submit(items)).await;
        }
        let mut answers = Vec::with_capacity(items.len());
        let mut under_way = VecDeque::new();
        let mut items = items.into_iter();
        loop {
            let chunk: Vec<_> = items.by_ref().take(CHUNK).collect();
            let last = chunk.is_empty();
            if !last {
                under_way.push_back(submit(chunk));
            }
            while under_way.len() >= WINDOW || last {
                let Some(reply) = under_way.pop_front() else {
                    return Ok(answers);
                };
                answers.append(&mut self.answer(reply).await?);
            }
        }
    }
}

type Reply<T> = oneshot::Receiver<Result<T, StoreError>>;

impl Shared {
    fn start(options: &SqliteOptions) -> Result<Self, StoreError> {
        let place = Arc::new(Place::open(&options.file, options.lock_timeout)?);
        let notifiers = Arc::new(Notifiers::default());
        Ok(Self {
            address: format!("sqlite:{}", place.file.display()),
            threads: Threads::start(&place, &notifiers, options)?,
            readers: Arc::new(Readers::new(place.clone())),
            notifiers,
            place,
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
        Box::pin(self.each(tasks, |tasks: Vec<Task>| {
            let env = self.env.clone();
            self.submit(tasks.len(), true, move |tx| {
                let env = tx.names.new_env(tx.db, &env)?;
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
        let (reply, receiver) = oneshot::channel();
        let request = Arc::new(request);
        let (env, seen) = ((self.env.clone(), self.env.clone()), request.clone());
        self.shared.threads.send(Box::new(Op {
            weight: request.demands.iter().map(|demand| demand.max_claims).sum(),
            act: Box::new(move |tx| {
                let env = tx.names.env(tx.db, &env.0)?.unwrap_or(NO_ENV);
                claims::claim(tx, env, &request)
            }),
            look: Some(Box::new(move |db| claims::nothing_due(db, &env.1, &seen))),
            durable: false,
            notifier: self.notifier.clone(),
            answer: None,
            ended: Vec::new(),
            reply,
        }));
        Box::pin(self.answer(receiver))
    }

    fn may_prefetch(&self) -> bool {
        true
    }

    fn renew(&self, renewals: Vec<Renewal>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Renewed>> {
        Box::pin(self.each(renewals, move |renewals: Vec<Renewal>| {
            let env = self.env.clone();
            self.submit(renewals.len(), false, move |tx| {
                let env = tx.names.env(tx.db, &env)?.unwrap_or(NO_ENV);
                renewals
                    .iter()
                    .map(|renewal| changes::renew(tx, env, renewal, now))
                    .collect()
            })
        }))
    }

    fn finish(&self, finishes: Vec<Finish>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Result<(), LeaseLost>>> {
        Box::pin(self.each(finishes, move |finishes: Vec<Finish>| {
            let env = self.env.clone();
            self.submit(finishes.len(), true, move |tx| {
                let env = tx.names.env(tx.db, &env)?.unwrap_or(NO_ENV);
                changes::finish(tx, env, &finishes, now)
            })
        }))
    }

    fn change(&self, ids: Vec<TaskId>, action: Action, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Change>> {
        let action = Arc::new(action);
        Box::pin(self.each(ids, move |ids: Vec<TaskId>| {
            let (env, action) = (self.env.clone(), action.clone());
            self.submit(ids.len(), true, move |tx| {
                let number = tx.names.env(tx.db, &env)?.unwrap_or(NO_ENV);
                ids.iter()
                    .map(|id| changes::change(tx, (number, &env), id, &action, now))
                    .collect()
            })
        }))
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        let watch = self.notifier.subscribe(topic);
        self.shared.threads.watch();
        watch
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("file", &self.shared.place.file)
            .field("env", &self.env)
            .finish_non_exhaustive()
    }
}
