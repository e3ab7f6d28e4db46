//! A store, clients of it, workers on it, and a task to do anything with.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::store::{ClaimRequest, ClaimedTask, Demand, MemoryStore, SqliteStore};
use oncetask::{Client, Clock, Error, Handler, OnceTask, Recurrence, Task, TaskId, Worker};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// Long enough for any machine; only a failure waits for it.
const PATIENCE: Duration = Duration::from_mins(1);

/// A store of one test.
pub(crate) struct World {
    pub(crate) client: Client,
    /// The store in another environment.
    pub(crate) elsewhere: Client,
    _folder: Option<TempDir>,
}

impl World {
    pub(crate) fn memory() -> Self {
        let store = MemoryStore::new("TEST");
        Self {
            elsewhere: Client::new(store.in_env("ELSEWHERE")),
            client: Client::new(store),
            _folder: None,
        }
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(folder.path().join("tasks.db"), "TEST").await;
        let store = store.expect("the store opens");
        Self {
            elsewhere: Client::new(store.in_env("ELSEWHERE")),
            client: Client::new(store),
            _folder: Some(folder),
        }
    }

    /// A client whose clock is behind, or ahead if it is negative.
    pub(crate) fn ago(&self, delta: TimeDelta) -> Client {
        let clock = Clock::new(move || Utc::now() - delta);
        self.client.clone().with_clock(clock)
    }

    /// Creates tasks, which are all new.
    pub(crate) async fn create<T: OnceTask>(&self, tasks: impl IntoIterator<Item = T>) {
        let created = self.client.create_many(tasks).await.expect("the store answers");
        for creation in created {
            let creation = creation.expect("a task that can be stored");
            assert_eq!(creation.outcome, oncetask::Created::New);
        }
    }

    /// Starts a worker with this handler alone.
    pub(crate) async fn work(&self, handler: Handler) -> Worker {
        start(&self.client, handler).await
    }

    /// The task when it is done, however it ended.
    pub(crate) async fn done(&self, id: impl Into<TaskId>) -> Task {
        let id = id.into();
        match within(self.client.wait(&id)).await {
            Ok(_) | Err(Error::Unsuccessful { .. }) => self.task(id).await,
            Err(error) => panic!("{error}"),
        }
    }

    /// The task as it is now.
    pub(crate) async fn task(&self, id: impl Into<TaskId>) -> Task {
        let id = id.into();
        let found = self.client.get(&id).await.expect("the store answers");
        found.unwrap_or_else(|| panic!("`{id}` is not stored"))
    }

    /// Claims what is due at an instant, for a minute, as a worker that dies right afterwards.
    pub(crate) async fn claim(&self, group: usize, now: DateTime<Utc>) -> Vec<ClaimedTask> {
        let demand = Demand {
            kinds: vec![Note::KIND.into()],
            max_claims: 1,
            group,
            lease: TimeDelta::minutes(1),
            generators_only: false,
        };
        let request = ClaimRequest {
            owner: "dead".into(),
            now,
            demands: vec![demand],
        };
        let claimed = self.client.store().claim(request).await;
        let mut claims = claimed.expect("the store answers").claims;
        claims.pop().expect("something is due").tasks
    }
}

pub(crate) async fn start(client: &Client, handler: Handler) -> Worker {
    let builder = oncetask::builder().only(&[]).client(client.clone());
    builder.handler(handler).start().await.expect("the worker starts")
}

/// What a future yields, which must be soon enough.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

/// A task to do anything with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, OnceTask)]
#[task(kind = "Note")]
#[id("note:{name}")]
pub(crate) struct Note {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) text: String,
    #[resource_key]
    pub(crate) key: Option<String>,
    #[run_at]
    pub(crate) at: Option<DateTime<Utc>>,
}

pub(crate) fn note(name: impl Into<String>) -> Note {
    Note {
        name: name.into(),
        ..Note::default()
    }
}

impl Note {
    pub(crate) fn key(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    pub(crate) fn at(mut self, at: DateTime<Utc>) -> Self {
        self.at = Some(at);
        self
    }

    pub(crate) fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }
}

/// A task that recurs.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[task(kind = "Chime")]
#[id("chime:{name}")]
pub(crate) struct Chime {
    pub(crate) name: String,
    #[recurrence]
    pub(crate) every: Recurrence,
}

/// What handlers say to their test.
pub(crate) struct Heard<T>(UnboundedReceiver<T>);

/// A line from handlers to their test.
pub(crate) fn line<T>() -> (UnboundedSender<T>, Heard<T>) {
    let (say, heard) = mpsc::unbounded_channel();
    (say, Heard(heard))
}

impl<T> Heard<T> {
    /// The next thing said.
    pub(crate) async fn next(&mut self) -> T {
        within(self.0.recv()).await.expect("a handler says something")
    }

    /// What was said and not heard yet.
    pub(crate) fn rest(&mut self) -> Vec<T> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}

/// A handler that says the names of the tasks that it completes.
pub(crate) fn naming(say: UnboundedSender<String>) -> Handler {
    Handler::new(move |task: Note| {
        let say = say.clone();
        async move {
            // The test may have heard enough.
            let _ = say.send(task.name);
        }
    })
}
