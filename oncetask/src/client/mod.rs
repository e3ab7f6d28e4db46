//! What a program calls to create tasks and to look after them.

mod draft;
mod list;
mod once_task;

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use self::draft::Draft;
pub(crate) use self::draft::MAX_JSON_BYTES;
pub use self::list::Tasks;
pub use self::once_task::{OnceTask, Payload};
use crate::clock::Clock;
use crate::error::Error;
use crate::store::{self, Action, Filter, Insert, MemoryStore, Store, StoreUrl, Topic};
use crate::task::transition::Change;
use crate::task::{Ending, ResourceKey, Status, Task, TaskId};

/// Creates tasks, finds them, and cancels, resets and deletes them. Cheap to clone.
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
    /// Whether the task is new. If a task with its id already existed, nothing was changed, whatever the status
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
    /// Connects to the store that `ONCETASK_STORE` names, as [`run`](crate::run) does, in the environment
    /// that `ONCE_TASK_ENV` names.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the URL means nothing, [`Error::Store`] when the store cannot be opened.
    pub async fn connect() -> Result<Self, Error> {
        Self::open(&StoreUrl::from_environment()?, store::env_from_environment()?).await
    }

    /// Connects to a store, in an environment.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the store cannot be opened.
    pub async fn open(url: &StoreUrl, env: impl Into<String>) -> Result<Self, Error> {
        let env = env.into();
        let client = match url {
            StoreUrl::Memory => Self::new(MemoryStore::new(env)),
            #[cfg(feature = "sqlite")]
            StoreUrl::Sqlite(file) => Self::new(store::SqliteStore::open(file, env).await?),
            #[cfg(not(feature = "sqlite"))]
            StoreUrl::Sqlite(_) => {
                return Err(Error::Config {
                    reason: format!("`{url}` needs the feature `sqlite` of oncetask"),
                });
            }
            #[cfg(feature = "firestore")]
            StoreUrl::Firestore { project, database } => {
                let options = store::FirestoreStore::options(project);
                let options = match database {
                    Some(database) => options.database(database),
                    None => options,
                };
                Self::new(options.open(env).await?)
            }
            #[cfg(not(feature = "firestore"))]
            StoreUrl::Firestore { .. } => {
                return Err(Error::Config {
                    reason: format!("`{url}` needs the feature `firestore` of oncetask"),
                });
            }
        };
        tracing::debug!(
            store = client.store.address(),
            env = client.store.env(),
            "connected"
        );
        Ok(client)
    }

    /// A client of this store.
    #[must_use]
    pub fn new(store: impl Store) -> Self {
        Self {
            store: Arc::new(store),
            clock: Clock::system(),
        }
    }

    /// A client whose store is this process's memory: for tests.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::new(MemoryStore::new(store::DEFAULT_ENV))
    }

    /// Reads the time from another clock than the computer's.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Stores a task unless a task with the same id is stored already.
    ///
    /// When this returns, the task is on disk.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidId`] and [`Error::InvalidTask`] before anything is written; [`Error::KindMismatch`]
    /// when the id belongs to a task of another kind; [`Error::Store`].
    ///
    /// # Cancel safety
    ///
    /// The task is created or not. Creating it again tells which.
    pub async fn create<T: OnceTask>(&self, task: T) -> Result<Enqueued, Error> {
        let draft = Draft::of(&task)?;
        self.create_draft(draft).await
    }

    pub(crate) async fn create_draft(&self, draft: Draft) -> Result<Enqueued, Error> {
        let task = draft.into_task(self.now())?;
        let inserts = self.store.create(vec![task.clone()]).await?;
        creation(task, answer(inserts.into_iter().next()))
    }

    /// Stores tasks, any number, each as [`create`](Self::create) does: one outcome for each, in order. One
    /// that cannot be stored does not keep the others from it.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]: some of the tasks may be stored then. Calling it again does no harm.
    ///
    /// # Cancel safety
    ///
    /// Each task is created or not. Creating them again tells which.
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
        let mut outcome = |task| creation(task, answer(inserts.next()));
        Ok(tasks
            .into_iter()
            .map(|task| task.and_then(&mut outcome))
            .collect())
    }

    /// The task with this id, if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn get(&self, id: &TaskId) -> Result<Option<Task>, Error> {
        Ok(self.store.get(vec![id.clone()]).await?.pop().flatten())
    }

    /// The tasks with these ids, in order; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn get_many<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a TaskId>,
    ) -> Result<Vec<Option<Task>>, Error> {
        Ok(self.store.get(ids.into_iter().cloned().collect()).await?)
    }

    /// The tasks of a resource key, of every kind, done or not, by creation.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn by_resource_key(&self, key: &str) -> Result<Vec<Task>, Error> {
        if key.is_empty() {
            return Ok(Vec::new());
        }
        self.list(Filter::new().resource_key(key)).all().await
    }

    /// The tasks that a filter lets through: a stream, which fetches page after page.
    pub fn list(&self, filter: Filter) -> Tasks {
        Tasks::new(self.clone(), filter)
    }

    /// How many tasks a filter lets through.
    ///
    /// On Firestore a count by status reads, and is billed for, every task that the rest of the filter lets
    /// through; one by kind, resource key or generator alone costs a read for a thousand tasks.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn count(&self, filter: Filter) -> Result<u64, Error> {
        Ok(self.store.count(filter, self.now()).await?)
    }

    /// How many tasks of a kind may run now and wait for a worker.
    ///
    /// On Firestore this reads, and is billed for, every task of the kind that is not done.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn pending_count(&self, kind: &str) -> Result<u64, Error> {
        self.count(Filter::new().kind(kind).status(Status::Pending)).await
    }

    /// The kinds of the tasks that are stored, in alphabetical order.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn kinds(&self) -> Result<Vec<String>, Error> {
        Ok(self.store.kinds().await?)
    }

    /// Cancels a task: what has not run does not run, what runs is told, and the cleanup handler of its type,
    /// if there is one, runs until it succeeds or its retries are used up.
    ///
    /// Cancelling twice does no harm.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn cancel(&self, id: &TaskId) -> Result<Change, Error> {
        self.change_one(id, Action::Cancel).await
    }

    /// Cancels tasks: one outcome for each, in order.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]: some may be cancelled then. Calling it again does no harm.
    pub async fn cancel_many(&self, ids: impl IntoIterator<Item = TaskId>) -> Result<Vec<Change>, Error> {
        self.change(ids, Action::Cancel).await
    }

    /// Cancels every task of a kind and resource key that is not done. Returns the ids of those for which
    /// that made a difference.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]: some may be cancelled then. Calling it again does no harm.
    pub async fn cancel_by_resource_key(&self, kind: &str, key: &str) -> Result<Vec<TaskId>, Error> {
        let Some(key) = ResourceKey::new(key) else {
            return Ok(Vec::new());
        };
        let filter = Filter {
            resource_key: Some(key),
            ..Filter::new().kind(kind)
        };
        let tasks = self.list(filter).all().await?;
        let ids: Vec<_> = tasks
            .into_iter()
            .filter(|task| !task.is_done())
            .map(|task| task.spec.id)
            .collect();
        let changes = self.cancel_many(ids.clone()).await?;
        let changed = ids
            .into_iter()
            .zip(changes)
            .filter(|(_, change)| *change == Change::Applied);
        Ok(changed.map(|(id, _)| id).collect())
    }

    /// Takes a task that is done back to its beginning: its attempts, errors, result and cancellation are
    /// cleared, and it is due at once. A generator goes on from now.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn reset(&self, id: &TaskId) -> Result<Change, Error> {
        self.change_one(id, Action::Reset).await
    }

    /// Resets tasks: one outcome for each, in order.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]: some may be reset then.
    pub async fn reset_many(&self, ids: impl IntoIterator<Item = TaskId>) -> Result<Vec<Change>, Error> {
        self.change(ids, Action::Reset).await
    }

    /// Deletes a task, whatever it is doing. A handler that runs is told, and what it returns is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn delete(&self, id: &TaskId) -> Result<Change, Error> {
        self.change_one(id, Action::Delete).await
    }

    /// Deletes tasks: one outcome for each, in order.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]: some may be deleted then. Calling it again does no harm.
    pub async fn delete_many(&self, ids: impl IntoIterator<Item = TaskId>) -> Result<Vec<Change>, Error> {
        self.change(ids, Action::Delete).await
    }

    async fn change_one(&self, id: &TaskId, action: Action) -> Result<Change, Error> {
        let changes = self.change([id.clone()], action).await?;
        Ok(answer(changes.into_iter().next()))
    }

    async fn change(
        &self,
        ids: impl IntoIterator<Item = TaskId>,
        action: Action,
    ) -> Result<Vec<Change>, Error> {
        Ok(self
            .store
            .change(ids.into_iter().collect(), action, self.now())
            .await?)
    }

    /// Waits until a task is done, and returns it if it completed.
    ///
    /// Woken, not polled. How long to wait is yours to say: put it into `tokio::time::timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::Unsuccessful`], with its errors, when it failed or was cancelled; [`Error::NotFound`] when
    /// there is no such task, or no longer; [`Error::Store`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn wait(&self, id: &TaskId) -> Result<Task, Error> {
        let mut subscription = self.store.subscribe(Topic::Task(id.clone()));
        loop {
            let task = self
                .get(id)
                .await?
                .ok_or_else(|| Error::NotFound { id: id.clone() })?;
            match task.state.done.map(|done| done.how) {
                None => subscription.notified().await,
                Some(Ending::Completed) => return Ok(task),
                Some(how) => {
                    return Err(Error::Unsuccessful {
                        id: id.clone(),
                        how,
                        errors: task.state.errors,
                    });
                }
            };
        }
    }
}

/// What a store says of one of those that it was asked for.
fn answer<T>(answer: Option<T>) -> T {
    answer.expect("a store answers for each that it is asked for")
}

fn creation(task: Task, insert: Insert) -> Result<Enqueued, Error> {
    let (is_new, task) = match insert {
        Insert::New => (true, task),
        Insert::Existing(stored) if stored.spec.kind == task.spec.kind => (false, *stored),
        Insert::Existing(stored) => {
            return Err(Error::KindMismatch {
                kind: task.kind().to_owned(),
                id: task.spec.id,
                stored: stored.kind().to_owned(),
            });
        }
        Insert::Refused(reason) => {
            return Err(Error::InvalidTask {
                id: task.spec.id,
                reason,
            });
        }
    };
    Ok(Enqueued { task, is_new })
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("store", &self.store.address())
            .field("env", &self.store.env())
            .finish_non_exhaustive()
    }
}
