//! A fresh store for one test, its client, and workers on it.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::store::{Claim, ClaimRequest, Demand, MemoryStore, SqliteStore};
use oncetask::{Change, Client, Clock, Error, Handler, OnceTask, Task, TaskId, Worker, WorkerBuilder};
use tempfile::TempDir;

use super::wait::{INTERVAL, within};

/// The environment of every fixture's client.
const ENV: &str = "TEST";

/// The duration of a short lease, for tests in which leases must be renewed or expire.
pub const HEARTBEAT: Duration = Duration::from_secs(2);

/// The store of one test and a client on it.
#[derive(Debug)]
pub struct Fixture {
    /// A client on the system clock.
    pub client: Client,
    backend: Backend,
}

#[derive(Debug)]
enum Backend {
    Memory(MemoryStore),
    /// The directory of the database file.
    Sqlite(TempDir),
}

impl Fixture {
    /// Returns a fixture with an empty memory store.
    #[must_use]
    pub fn memory() -> Self {
        let store = MemoryStore::new(ENV);
        Self {
            client: Client::new(store.clone()),
            backend: Backend::Memory(store),
        }
    }

    /// Returns a fixture with an empty SQLite store in a temporary directory.
    ///
    /// # Panics
    ///
    /// Panics if the store cannot be created.
    pub async fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self {
            client: open(directory.path().join("tasks.db"), ENV).await,
            backend: Backend::Sqlite(directory),
        }
    }

    /// Returns a client as another process would open it: only the stored tasks are shared.
    ///
    /// # Panics
    ///
    /// Panics if the store cannot be opened.
    pub async fn second_client(&self) -> Client {
        self.client_in(ENV).await
    }

    /// Returns a client of another environment of the store.
    ///
    /// # Panics
    ///
    /// Panics if the store cannot be opened.
    pub async fn client_in(&self, env: &str) -> Client {
        match &self.backend {
            Backend::Memory(store) => Client::new(store.in_env(env)),
            Backend::Sqlite(directory) => open(directory.path().join("tasks.db"), env).await,
        }
    }

    /// Returns the client with a clock that is this far ahead of the system clock, or behind it if `by` is
    /// negative.
    #[must_use]
    pub fn client_ahead(&self, by: TimeDelta) -> Client {
        self.client
            .clone()
            .with_clock(Clock::new(move || Utc::now() + by))
    }

    /// Returns the client with a clock that stands still.
    #[must_use]
    pub fn client_at(&self, now: DateTime<Utc>) -> Client {
        self.client.clone().with_clock(Clock::new(move || now))
    }

    /// Creates a task and returns its id.
    ///
    /// # Panics
    ///
    /// Panics if the task cannot be stored, or if its id exists.
    pub async fn create<T: OnceTask>(&self, task: T) -> TaskId {
        let enqueued = self.client.create(task).await.expect("the task can be stored");
        assert!(enqueued.is_new, "`{}` already exists", enqueued.id());
        enqueued.task.spec.id
    }

    /// Creates tasks with one call of `create_many`.
    ///
    /// # Panics
    ///
    /// Panics if a task cannot be stored, or if its id exists.
    pub async fn create_many<T: OnceTask>(&self, tasks: impl IntoIterator<Item = T>) {
        let created = self.client.create_many(tasks).await.expect("the store answers");
        for enqueued in created {
            let enqueued = enqueued.expect("the task can be stored");
            assert!(enqueued.is_new, "`{}` already exists", enqueued.id());
        }
    }

    /// Cancels a task.
    ///
    /// # Panics
    ///
    /// Panics if the store fails.
    pub async fn cancel(&self, id: &TaskId) -> Change {
        self.client.cancel(id).await.expect("the store answers")
    }

    /// Starts a worker with this handler only.
    ///
    /// # Panics
    ///
    /// Panics if the worker cannot start.
    pub async fn work(&self, handler: Handler) -> Worker {
        start(builder(&self.client).handler(handler)).await
    }

    /// Waits until the task is done with any ending, and returns it.
    ///
    /// # Panics
    ///
    /// Panics if the task is not done in time.
    pub async fn done(&self, id: impl Into<TaskId>) -> Task {
        let id = id.into();
        match within(self.client.wait(&id)).await {
            Ok(_) | Err(Error::Unsuccessful { .. }) => self.task(id).await,
            Err(error) => panic!("{error}"),
        }
    }

    /// Returns the task as it is stored now.
    ///
    /// # Panics
    ///
    /// Panics if the task is not stored.
    pub async fn task(&self, id: impl Into<TaskId>) -> Task {
        let id = id.into();
        let found = self.client.get(&id).await.expect("the store answers");
        found.unwrap_or_else(|| panic!("`{id}` is not stored"))
    }

    /// Polls a task until the condition holds, and returns it.
    ///
    /// # Panics
    ///
    /// Panics if the condition does not hold in time.
    pub async fn until(&self, id: impl Into<TaskId>, condition: impl Fn(&Task) -> bool) -> Task {
        let id = id.into();
        // Only the end of a task notifies its subscribers, so other changes are polled.
        within(async {
            loop {
                let task = self.task(&id).await;
                if condition(&task) {
                    return task;
                }
                tokio::time::sleep(INTERVAL).await;
            }
        })
        .await
    }

    /// Claims one due task of a kind, like a worker that crashes right after the claim.
    ///
    /// # Panics
    ///
    /// Panics if no task is due.
    pub async fn claim_and_crash(&self, kind: &str, lease: Duration) -> Claim {
        let lease = TimeDelta::from_std(lease).expect("a short lease");
        self.claim_at(Demand::new([kind], lease), self.client.clock().now())
            .await
    }

    /// Makes one claim at this instant, like a worker that crashes right after the claim.
    ///
    /// # Panics
    ///
    /// Panics if no task is due.
    pub async fn claim_at(&self, demand: Demand, now: DateTime<Utc>) -> Claim {
        let request = ClaimRequest::new("crashed:1", now, vec![demand]);
        let response = self.client.store().claim(request).await;
        let mut claims = response.expect("the store answers").claims;
        claims.pop().expect("a task is due")
    }
}

async fn open(file: PathBuf, env: &str) -> Client {
    let store = SqliteStore::open(file, env).await;
    Client::new(store.expect("the store opens"))
}

/// Returns the builder of a worker without handlers. Its leases are so long that none expires on a busy machine.
pub fn builder(client: &Client) -> WorkerBuilder {
    oncetask::builder()
        .only(&[])
        .client(client.clone())
        .heartbeat(Duration::from_hours(1))
}

/// Returns the builder of a worker without handlers whose leases of [`HEARTBEAT`] must be renewed.
pub fn with_short_leases(client: &Client) -> WorkerBuilder {
    builder(client).heartbeat(HEARTBEAT)
}

/// Starts a worker.
///
/// # Panics
///
/// Panics if the worker cannot start.
pub async fn start(builder: WorkerBuilder) -> Worker {
    builder.start().await.expect("the worker starts")
}
