//! A store, clients and workers of one test, and tasks to do anything with.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::store::{Claim, ClaimRequest, Demand, MemoryStore, SqliteStore};
use oncetask::{
    Attempt, Client, Clock, Context, Error, Handler, HandlerConfig, OnceTask, Recurrence, Retry, Task,
    TaskId, Worker, WorkerBuilder,
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;

/// Long enough for any machine; only a failure waits for it.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long leases are stored for at a time in tests of leases.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(2);

/// A store of one test.
pub(crate) struct World {
    pub(crate) client: Client,
    origin: Origin,
}

enum Origin {
    Memory(MemoryStore),
    Sqlite(TempDir),
}

impl World {
    pub(crate) fn memory() -> Self {
        let store = MemoryStore::new("TEST");
        Self {
            client: Client::new(store.clone()),
            origin: Origin::Memory(store),
        }
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            client: open(folder.path().join("tasks.db")).await,
            origin: Origin::Sqlite(folder),
        }
    }

    /// A client as another process would have it: nothing but the store itself is shared.
    pub(crate) async fn another(&self) -> Client {
        match &self.origin {
            Origin::Memory(store) => Client::new(store.clone()),
            Origin::Sqlite(folder) => open(folder.path().join("tasks.db")).await,
        }
    }

    /// A client whose clock is ahead.
    pub(crate) fn ahead(&self, by: TimeDelta) -> Client {
        self.client
            .clone()
            .with_clock(Clock::new(move || Utc::now() + by))
    }

    /// Creates a task that is new.
    pub(crate) async fn create<T: OnceTask>(&self, task: T) -> TaskId {
        let creation = self.client.create(task).await.expect("it can be stored");
        assert_eq!(creation.outcome, oncetask::Created::New);
        creation.id
    }

    pub(crate) async fn cancel(&self, id: &TaskId) -> oncetask::Change {
        self.client.cancel(id).await.expect("the store answers")
    }

    /// Starts a worker with this handler alone.
    pub(crate) async fn work(&self, handler: Handler) -> Worker {
        start(builder(&self.client).handler(handler)).await
    }

    /// The task when it is done, however it ended.
    pub(crate) async fn done(&self, id: &TaskId) -> Task {
        match within(self.client.wait(id)).await {
            Ok(_) | Err(Error::Unsuccessful { .. }) => self.task(id).await,
            Err(error) => panic!("{error}"),
        }
    }

    /// The task as it is now.
    pub(crate) async fn task(&self, id: &TaskId) -> Task {
        let found = self.client.get(id).await.expect("the store answers");
        found.unwrap_or_else(|| panic!("`{id}` is not stored"))
    }

    /// The task, as soon as it is as wanted.
    pub(crate) async fn until(&self, id: &TaskId, wanted: impl Fn(&Task) -> bool) -> Task {
        within(async {
            loop {
                let task = self.task(id).await;
                if wanted(&task) {
                    return task;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    /// Claims what is due, as a worker that dies right afterwards.
    pub(crate) async fn claim_and_die(&self, kind: &str, lease: Duration) -> Claim {
        let demand = Demand {
            kinds: vec![kind.into()],
            max_claims: 1,
            max_group: 1,
            lease: TimeDelta::from_std(lease).expect("a short lease"),
            generators_only: false,
        };
        let request = ClaimRequest {
            owner: "dead:1".into(),
            now: self.client.clock().now(),
            demands: vec![demand],
        };
        let claimed = self.client.store().claim(request).await;
        claimed
            .expect("the store answers")
            .claims
            .pop()
            .expect("something is due")
    }
}

async fn open(file: PathBuf) -> Client {
    let store = SqliteStore::open(file, "TEST").await;
    Client::new(store.expect("the store opens"))
}

/// A worker that knows no type but those whose handlers it is given, with leases that no busy machine lets end.
pub(crate) fn builder(client: &Client) -> WorkerBuilder {
    oncetask::builder()
        .only(&[])
        .client(client.clone())
        .heartbeat(Duration::from_hours(1))
}

/// A worker whose leases have to be extended.
pub(crate) fn with_short_leases(client: &Client) -> WorkerBuilder {
    builder(client).heartbeat(HEARTBEAT)
}

pub(crate) async fn start(builder: WorkerBuilder) -> Worker {
    builder.start().await.expect("the worker starts")
}

/// What a future yields, which must be soon enough.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

/// Waits until something is so that nobody tells of.
pub(crate) async fn until(so: impl Fn() -> bool) {
    within(async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A task to do anything with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, OnceTask)]
#[id("work:{name}")]
pub(crate) struct Work {
    pub(crate) name: String,
    #[resource_key]
    pub(crate) key: Option<String>,
    #[run_at]
    pub(crate) at: Option<DateTime<Utc>>,
}

pub(crate) fn work(name: impl Into<String>) -> Work {
    Work {
        name: name.into(),
        ..Work::default()
    }
}

impl Work {
    pub(crate) fn key(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    pub(crate) fn at(mut self, at: DateTime<Utc>) -> Self {
        self.at = Some(at);
        self
    }
}

/// A task of another kind.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("other:{name}")]
pub(crate) struct Other {
    pub(crate) name: String,
}

pub(crate) fn other(name: impl Into<String>) -> Other {
    Other { name: name.into() }
}

/// A task that recurs.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("chime:{name}")]
pub(crate) struct Chime {
    pub(crate) name: String,
    #[resource_key]
    pub(crate) key: Option<String>,
    #[recurrence]
    pub(crate) every: Recurrence,
}

/// So many attempts, the next one after a moment.
pub(crate) fn attempts(max: u32) -> HandlerConfig {
    HandlerConfig::DEFAULT.retry(quick(max))
}

/// A policy that keeps nobody waiting.
pub(crate) fn quick(max: u32) -> Retry {
    Retry::fixed(Duration::from_millis(1)).max_attempts(max)
}

/// What handlers say to their test.
pub(crate) struct Heard<T>(UnboundedReceiver<T>);

/// A line from handlers to their test.
pub(crate) fn line<T>() -> (Say<T>, Heard<T>) {
    let (say, heard) = mpsc::unbounded_channel();
    (Say(say), Heard(heard))
}

/// A handler's end of a [`line`].
#[derive(Debug)]
pub(crate) struct Say<T>(UnboundedSender<T>);

impl<T> Clone for Say<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Say<T> {
    pub(crate) fn say(&self, what: T) {
        // The test may have heard enough.
        let _ = self.0.send(what);
    }
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

/// What handlers wait for, until their test opens it.
#[derive(Clone, Debug)]
pub(crate) struct Gate(watch::Sender<bool>);

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) async fn opened(&self) {
        let mut gate = self.0.subscribe();
        let opened = gate.wait_for(|open| *open).await;
        opened.expect("this end of the gate lives as long as the wait");
    }
}

/// A handler that says which attempt began, and returns when the gate opens.
pub(crate) fn gated(say: Say<(String, u32)>, gate: Gate) -> Handler {
    Handler::new(move |job: Attempt<Work>| {
        let (say, gate) = (say.clone(), gate.clone());
        async move {
            say.say((job.name.clone(), job.attempt));
            gate.opened().await;
            Ok::<_, oncetask::HandlerError>(job.name.clone())
        }
    })
}

/// A handler that completes at once and says the name of its task.
pub(crate) fn naming(say: Say<String>) -> Handler {
    Handler::new(move |task: Work| {
        let say = say.clone();
        async move { say.say(task.name) }
    })
}

/// A handler that runs until it is told to stop, and says when it begins and that it was told.
pub(crate) fn listening(say: Say<&'static str>) -> Handler {
    Handler::new(move |_: Work, cx: Context| {
        let say = say.clone();
        async move {
            say.say("began");
            cx.cancelled().await;
            say.say("told");
            Err::<(), _>(oncetask::HandlerError::from("stopped"))
        }
    })
}

/// Says `dropped` when it is.
pub(crate) struct Dropped(pub(crate) Say<&'static str>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.say("dropped");
    }
}
