//! The functions with which programs create, find and change tasks.

mod change;
mod draft;
mod find;
mod list;
mod once_task;

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use self::draft::Draft;
pub use self::list::Tasks;
pub use self::once_task::{OnceTask, Payload};
use crate::clock::Clock;
use crate::error::Error;
use crate::store::{self, Insert, MemoryStore, Store, StoreUrl};
use crate::task::{Task, TaskId};

/// A connection to a store: creates tasks, finds them, and cancels, resets and deletes them. Cheap to clone.
///
/// ```
/// use oncetask::{Client, OnceTask};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, OnceTask)]
/// #[id("greet:{name}")]
/// struct Greet { name: String }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
/// let client = Client::in_memory();
/// let first = client.create(Greet { name: "Ada".into() }).await?;
/// assert!(first.is_new);
///
/// let second = client.create(Greet { name: "Ada".into() }).await?;
/// assert!(!second.is_new);
/// assert_eq!(second.id(), first.id());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    store: Arc<dyn Store>,
    clock: Clock,
}

/// The result of creating a task.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Enqueued {
    /// The stored task: the new one, or the one that already existed.
    pub task: Task,
    /// True if the task is new. If a task with its id already existed, nothing was changed, whatever the status
    /// of that task.
    pub is_new: bool,
}

impl Enqueued {
    /// Returns the id of the task.
    #[must_use]
    pub fn id(&self) -> &TaskId {
        self.task.id()
    }
}

impl Client {
    /// Connects to the store that `ONCETASK_STORE` names, in the environment that `ONCE_TASK_ENV` or `ONCETASK_ENV` names, as
    /// [`run`](crate::run) does.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Config`] if a variable is invalid or the two names of the environment differ, and [`Error::Store`] if the store cannot be opened.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no store is opened, but the file of a SQLite store may have been created.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), oncetask::Error> {
    /// let client = oncetask::Client::connect().await?;
    /// println!("{} failed tasks", client.count(oncetask::Filter::new().status(oncetask::Status::Failed)).await?);
    /// # Ok(()) }
    /// ```
    pub async fn connect() -> Result<Self, Error> {
        Self::open(StoreUrl::from_environment()?).await
    }

    /// Connects to the store at a URL, in the environment that `ONCE_TASK_ENV` or `ONCETASK_ENV` names. [`StoreUrl`] lists the forms
    /// of a URL.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Config`] if the URL or the environment is invalid, and [`Error::Store`] if the store cannot be opened.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no store is opened, but the file of a SQLite store may have been created.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
    /// let client = oncetask::Client::open("memory:").await?;
    /// # let _ = client; Ok(()) }
    /// ```
    pub async fn open<U>(url: U) -> Result<Self, Error>
    where
        U: TryInto<StoreUrl>,
        Error: From<U::Error>,
    {
        Self::open_in(url, store::env_from_environment()?).await
    }

    /// Connects to the store at a URL, in this environment.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Config`] if the URL is invalid, and [`Error::Store`] if the store cannot be opened.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no store is opened, but the file of a SQLite store may have been created.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
    /// let client = oncetask::Client::open_in("memory:", "STAGING").await?;
    /// assert_eq!(client.store().env(), "STAGING");
    /// # Ok(()) }
    /// ```
    pub async fn open_in<U>(url: U, env: impl Into<String>) -> Result<Self, Error>
    where
        U: TryInto<StoreUrl>,
        Error: From<U::Error>,
    {
        let client = Self::open_store(url.try_into()?, env.into()).await?;
        let (store, env) = (client.store.address(), client.store.env());
        tracing::debug!(store, env, "connected");
        Ok(client)
    }

    async fn open_store(url: StoreUrl, env: String) -> Result<Self, Error> {
        match url {
            StoreUrl::Memory => Ok(Self::new(MemoryStore::new(env))),
            #[cfg(feature = "sqlite")]
            StoreUrl::Sqlite(file) => Ok(Self::new(store::SqliteStore::open(file, env).await?)),
            #[cfg(feature = "firestore")]
            StoreUrl::Firestore { project, database } => {
                let options = store::FirestoreStore::options(project);
                let options = match database {
                    Some(database) => options.database(database),
                    None => options,
                };
                Ok(Self::new(options.open(env).await?))
            }
            #[cfg(not(feature = "sqlite"))]
            StoreUrl::Sqlite(_) => Err(missing_feature(&url, "sqlite")),
            #[cfg(not(feature = "firestore"))]
            StoreUrl::Firestore { .. } => Err(missing_feature(&url, "firestore")),
        }
    }

    /// Returns a client of this store.
    #[must_use]
    pub fn new(store: impl Store) -> Self {
        Self {
            store: Arc::new(store),
            clock: Clock::system(),
        }
    }

    /// Returns a client whose store is the memory of this process, for tests.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::new(MemoryStore::new(store::DEFAULT_ENV))
    }

    /// Replaces the computer's clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Returns the clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Stores a task unless a task with the same id already exists.
    ///
    /// When this function returns, the store has accepted the task durably: it is on disk, or acknowledged by
    /// Firestore. The memory store and `Durability::Normal` of the SQLite store do not survive a power failure.
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidId`] or [`Error::InvalidTask`] if the task cannot be stored, and
    /// [`Error::KindMismatch`] if its id belongs to a task of another kind; nothing is written then. Returns
    /// [`Error::Store`] if the store fails.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the task is either stored or not. Creating it again tells which.
    ///
    /// # Examples
    ///
    /// ```
    /// # use oncetask::{Client, OnceTask};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize, OnceTask)]
    /// # #[id("greet:{name}")]
    /// # struct Greet { name: String }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
    /// # let client = Client::in_memory();
    /// let enqueued = client.create(Greet { name: "Ada".into() }).await?;
    /// assert!(enqueued.is_new);
    /// assert_eq!(*enqueued.id(), "greet:Ada");
    /// # Ok(()) }
    /// ```
    pub async fn create<T: OnceTask>(&self, task: T) -> Result<Enqueued, Error> {
        let draft = Draft::of(&task)?;
        self.create_draft(draft).await
    }

    pub(crate) async fn create_draft(&self, draft: Draft) -> Result<Enqueued, Error> {
        let task = draft.into_task(self.now())?;
        let inserts = self.store.create(vec![task.clone()]).await?;
        enqueued(task, one_result(inserts))
    }

    /// Stores any number of tasks, each as [`create`](Self::create) does. Returns one result for each, in order. A
    /// task that cannot be stored does not affect the others.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Store`] if the store fails. Some of the tasks may already be stored; calling this
    /// function again is safe.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, each task is either stored or not. Creating them again tells which.
    ///
    /// # Examples
    ///
    /// ```
    /// # use oncetask::{Client, OnceTask};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize, OnceTask)]
    /// # #[id("greet:{name}")]
    /// # struct Greet { name: String }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
    /// # let client = Client::in_memory();
    /// let greetings = ["Ada", "Grace", "Ada"].map(|name| Greet { name: name.into() });
    /// let mut new = 0;
    /// for enqueued in client.create_many(greetings).await? {
    ///     new += u32::from(enqueued?.is_new);
    /// }
    /// assert_eq!(new, 2);
    /// # Ok(()) }
    /// ```
    pub async fn create_many<T: OnceTask>(
        &self,
        tasks: impl IntoIterator<Item = T>,
    ) -> Result<Vec<Result<Enqueued, Error>>, Error> {
        let now = self.now();
        let tasks: Vec<_> = tasks
            .into_iter()
            .map(|task| Draft::of(&task).and_then(|draft| draft.into_task(now)))
            .collect();
        let valid = tasks
            .iter()
            .filter_map(|task| task.as_ref().ok().cloned())
            .collect();
        let mut inserts = self.store.create(valid).await?.into_iter();
        Ok(tasks
            .into_iter()
            .map(|task| enqueued(task?, one_result(inserts.next())))
            .collect())
    }
}

#[cfg(not(all(feature = "sqlite", feature = "firestore")))]
fn missing_feature(url: &StoreUrl, feature: &str) -> Error {
    Error::Config {
        reason: format!(
            "store URL `{url}` needs the feature `{feature}` of the crate oncetask: enable it in Cargo.toml"
        ),
    }
}

/// Returns the first of the results of a store.
///
/// # Panics
///
/// Panics if the store breaks its contract and returns fewer results than it was given items.
fn one_result<T>(results: impl IntoIterator<Item = T>) -> T {
    results
        .into_iter()
        .next()
        .expect("a store returns one result for each item")
}

fn enqueued(task: Task, insert: Insert) -> Result<Enqueued, Error> {
    match insert {
        Insert::New => Ok(Enqueued { task, is_new: true }),
        Insert::Existing(stored) if stored.spec.kind == task.spec.kind => Ok(Enqueued {
            task: *stored,
            is_new: false,
        }),
        Insert::Existing(stored) => Err(Error::KindMismatch {
            kind: task.kind().to_owned(),
            id: task.spec.id,
            stored: stored.kind().to_owned(),
        }),
        Insert::Refused(reason) => Err(Error::InvalidTask {
            id: task.spec.id,
            reason,
        }),
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("store", &self.store.address())
            .field("env", &self.store.env())
            .finish_non_exhaustive()
    }
}
