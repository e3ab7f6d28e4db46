//! The configuration of a worker.

use std::fmt;
use std::time::Duration;

use crate::client::Client;
use crate::error::StartError;
use crate::handler::{Handler, States};
use crate::registry::{self, TaskType};
use crate::spawn::{Spawner, WorkerFuture};

const DEFAULT_HEARTBEAT: Duration = Duration::from_mins(1);
const MIN_HEARTBEAT: Duration = Duration::from_millis(100);
const MAX_HEARTBEAT: Duration = Duration::from_hours(1);
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// Returns a builder of a worker that runs every task type of this program.
///
/// # Examples
///
/// ```no_run
/// # #[derive(Clone)] struct Mailer;
/// # impl Mailer { fn new() -> Self { Self } }
/// #[tokio::main]
/// async fn main() -> Result<(), oncetask::Error> {
///     oncetask::builder().state(Mailer::new()).run().await
/// }
/// ```
pub fn builder() -> WorkerBuilder {
    WorkerBuilder {
        client: None,
        states: States::default(),
        types: None,
        handlers: Vec::new(),
        heartbeat: DEFAULT_HEARTBEAT,
        grace: DEFAULT_GRACE,
        spawner: Spawner::default(),
    }
}

/// A builder that configures and starts a worker. [`builder`] returns it.
#[must_use = "call `.run()` or `.start()`"]
pub struct WorkerBuilder {
    pub(super) client: Option<Client>,
    pub(super) states: States,
    types: Option<Vec<TaskType>>,
    pub(super) handlers: Vec<Handler>,
    pub(super) heartbeat: Duration,
    pub(super) grace: Duration,
    pub(super) spawner: Spawner,
}

impl WorkerBuilder {
    /// Sets the client whose store the worker uses. Without one the worker connects to the store that
    /// `ONCETASK_STORE` names.
    pub fn client(mut self, client: Client) -> Self {
        self.client = Some(client);
        self
    }

    /// Adds a state. Handlers take it as `State<S>`. A second state of the same type replaces the first.
    pub fn state<S: Clone + Send + Sync + 'static>(mut self, state: S) -> Self {
        self.states.insert(state);
        self
    }

    /// Adds a handler of a task type that has none of its own in this program.
    pub fn handler(mut self, handler: Handler) -> Self {
        self.handlers.push(handler);
        self
    }

    /// Limits the task types of this program to these kinds, for a worker that runs only some of them, or for
    /// a test. Handlers that are added with [`handler`](Self::handler) run in any case.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn main_() -> Result<(), oncetask::Error> {
    /// // This process sends e-mails; another one renders videos.
    /// oncetask::builder().only(&["SendEmail", "SendDigest"]).run().await
    /// # }
    /// ```
    pub fn only(mut self, kinds: &[&str]) -> Self {
        let types = TaskType::discovered().filter(|task| kinds.contains(&task.kind()));
        self.types = Some(types.copied().collect());
        self
    }

    /// Sets the time that handlers have to end after the worker is told to stop. When it has passed, they are
    /// dropped and their claims released. The default is 30 s.
    ///
    /// It should be shorter than the time that your platform grants between SIGTERM and SIGKILL.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// # async fn main_() -> Result<(), oncetask::Error> {
    /// oncetask::builder().grace(Duration::from_secs(5)).run().await
    /// # }
    /// ```
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets the length of a stored lease. The default is 60 s; the value is clamped to the range from 100 ms
    /// to an hour.
    ///
    /// While a handler runs, its lease is extended every half heartbeat. So the heartbeat is the time after
    /// which another worker takes over the task of a crashed worker. A shorter heartbeat costs more writes
    /// for tasks that take longer than half of it, and no writes for shorter tasks. While claims take longer
    /// than a quarter of the heartbeat, leases are longer.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// # async fn main_() -> Result<(), oncetask::Error> {
    /// oncetask::builder().heartbeat(Duration::from_secs(10)).run().await
    /// # }
    /// ```
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = heartbeat.clamp(MIN_HEARTBEAT, MAX_HEARTBEAT);
        self
    }

    /// Wraps each of the worker's futures with `wrap`, and keeps its leases on the current runtime instead of on
    /// a thread. It is for simulations.
    #[doc(hidden)]
    pub fn driven(mut self, wrap: impl Fn(WorkerFuture) -> WorkerFuture + Send + Sync + 'static) -> Self {
        self.spawner = Spawner::wrapping(wrap);
        self
    }

    /// Checks the task types as [`run`](Self::run) does, without running them. It is for a one-line test of
    /// your application.
    ///
    /// # Errors
    ///
    /// Returns all problems of the task types at once: for example a state that a handler needs and that is
    /// not set, or a kind that two types share.
    ///
    /// # Examples
    ///
    /// ```standalone_crate
    /// # #[derive(Clone)] struct Mailer;
    /// // In a function marked `#[test]`:
    /// oncetask::builder().state(Mailer).check().unwrap();
    /// ```
    pub fn check(&self) -> Result<(), StartError> {
        registry::check(&self.types(), &self.handlers, &self.states)
    }

    /// Returns the task types that the worker knows.
    pub(super) fn types(&self) -> Vec<TaskType> {
        self.types
            .clone()
            .unwrap_or_else(|| TaskType::discovered().copied().collect())
    }
}

impl fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerBuilder")
            .field("client", &self.client)
            .field("handlers", &self.handlers)
            .field("heartbeat", &self.heartbeat)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}
