use std::fmt;
use std::time::Duration;

use super::drive::{Drive, Driven};
use super::shutdown::{self, Worker};
use super::start;
use crate::client::Client;
use crate::error::{Error, StartError};
use crate::handler::{Handler, States};
use crate::registry::{self, TaskType};

const HEARTBEAT: Duration = Duration::from_mins(1);
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(100);
const LONGEST_HEARTBEAT: Duration = Duration::from_hours(1);
const GRACE: Duration = Duration::from_secs(30);

/// Runs every task type of this program that has a handler, until SIGINT or SIGTERM, then ends gracefully.
/// The store is the one that `ONCETASK_STORE` names.
///
/// # Errors
///
/// [`Error::Start`] with everything that is wrong with the task types, [`Error::Config`], [`Error::Store`].
///
/// ```no_run
/// #[tokio::main]
/// async fn main() -> Result<(), oncetask::Error> {
///     oncetask::run().await
/// }
/// ```
pub async fn run() -> Result<(), Error> {
    builder().run().await
}

/// A worker, before it starts.
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
        heartbeat: HEARTBEAT,
        grace: GRACE,
        drive: Drive::default(),
    }
}

/// Configures a worker: what [`builder`] returns.
#[must_use = "call `.run()`"]
pub struct WorkerBuilder {
    pub(super) client: Option<Client>,
    pub(super) states: States,
    types: Option<Vec<TaskType>>,
    pub(super) handlers: Vec<Handler>,
    pub(super) heartbeat: Duration,
    pub(super) grace: Duration,
    pub(super) drive: Drive,
}

impl WorkerBuilder {
    /// Uses this client, and its store.
    pub fn client(mut self, client: Client) -> Self {
        self.client = Some(client);
        self
    }

    /// Gives handlers a state: each takes it as `State<S>`. A second one of a type replaces the first.
    pub fn state<S: Clone + Send + Sync + 'static>(mut self, state: S) -> Self {
        self.states.insert(state);
        self
    }

    /// Adds a handler of a task type that has none of its own in this program.
    pub fn handler(mut self, handler: Handler) -> Self {
        self.handlers.push(handler);
        self
    }

    /// Of the task types of this program, knows only these kinds: for a worker that does part of the work, or
    /// for a test. Handlers given to [`handler`](Self::handler) run all the same.
    pub fn only(mut self, kinds: &[&str]) -> Self {
        let types = TaskType::discovered().filter(|task| kinds.contains(&task.kind()));
        self.types = Some(types.copied().collect());
        self
    }

    /// How long handlers may go on when the worker is told to stop, before they are dropped and their claims
    /// given back: 30 s unless it is set. Keep it under what your platform grants between SIGTERM and SIGKILL.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long a lease is stored for at a time: 60 s unless it is set, between 100 ms and an hour.
    ///
    /// A claim is extended every half heartbeat while its handler runs, so this is how long the task of a
    /// worker that crashed waits for another; a shorter one costs more writes for long tasks, and none for
    /// those that end within half of it. While claims take longer than a quarter of it, leases are stored for
    /// longer.
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = heartbeat.clamp(SHORTEST_HEARTBEAT, LONGEST_HEARTBEAT);
        self
    }

    /// For simulations: runs each of the worker's futures inside the one that `wrap` makes of it, and keeps its
    /// leases on the runtime that it is started on instead of on a thread.
    #[doc(hidden)]
    pub fn driven(mut self, wrap: impl Fn(Driven) -> Driven + Send + Sync + 'static) -> Self {
        self.drive = Drive::inside(wrap);
        self
    }

    /// Checks what [`run`](Self::run) would check of the task types, without running: for a test of your
    /// application, in one line.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the task types, at once.
    ///
    /// ```standalone_crate
    /// # #[derive(Clone)] struct Mailer;
    /// // In a function marked `#[test]`:
    /// oncetask::builder().state(Mailer).check().unwrap();
    /// ```
    pub fn check(&self) -> Result<(), StartError> {
        registry::check(&self.types(), &self.handlers, &self.states)
    }

    /// Starts the worker in the background, and returns a handle on it: for a program that also does other
    /// things, and for tests.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn start(self) -> Result<Worker, Error> {
        start::start(self).await
    }

    /// Runs until SIGINT or SIGTERM. Then nothing more is claimed, handlers may end within the
    /// [grace](Self::grace), and what has not ended by then is given back without counting the attempt. A
    /// second signal ends at once.
    ///
    /// # Errors
    ///
    /// [`Error::Start`] with everything that is wrong with the task types, [`Error::Config`] and
    /// [`Error::Store`] when the store cannot be opened. Once it runs, trouble with the store is logged and
    /// waited for.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the worker without grace: claims are free again when their leases end.
    pub async fn run(self) -> Result<(), Error> {
        let signals = shutdown::Signals::listen()?;
        let worker = self.start().await?;
        shutdown::until_signalled(worker, signals).await;
        Ok(())
    }

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
