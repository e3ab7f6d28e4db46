//! From stored tasks to a call of the user's function, its types erased.

use std::any::{TypeId, type_name};
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;

use super::HandlerConfig;
use super::callable::{Callable, Extract, HandlerFuture};
use super::context::{Context, Needs};
use super::input::{Attempt, CleanupInput, TaskInput};
use super::output::{HandlerOutcome, HandlerOutput};
use crate::runtime::panics;
use crate::store::ClaimedTask;
use crate::task::{Json, OnceTask};

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// What the runtime hands to a handler: what it is called in, whose tasks are delivered.
#[doc(hidden)]
#[derive(Debug)]
pub struct Delivery(pub(crate) Context);

/// What became of a delivery.
#[doc(hidden)]
pub struct Taken {
    /// The places in the delivery of the tasks that could not be read, and why.
    pub(crate) unreadable: Vec<(usize, String)>,
    /// The call with the others, if there are others.
    pub(crate) call: Option<BoxFuture<HandlerOutcome>>,
}

/// A handler, its types erased.
pub(crate) type HandlerFn = Arc<dyn Fn(Delivery) -> Taken + Send + Sync>;

/// Calls a handler with stored tasks.
#[doc(hidden)]
pub fn deliver<T, F, Args>(handler: F, delivery: Delivery) -> Taken
where
    T: OnceTask,
    F: Callable<Args>,
    F::First: TaskInput<T>,
    F::Rest: Extract,
    F::Future: HandlerFuture<Out: HandlerOutput> + Send + 'static,
{
    let Delivery(context) = delivery;
    let held = context.held.tasks();
    let mut jobs = Vec::with_capacity(held.len());
    let mut unreadable = Vec::new();
    for (place, ClaimedTask { task: stored, .. }) in held.iter().enumerate() {
        let (id, attempt) = (stored.id().clone(), context.held.attempt_of(stored));
        match read(&stored.spec.payload) {
            Ok(task) => jobs.push(Attempt { task, id, attempt }),
            Err(error) => unreadable.push((place, error)),
        }
    }
    let call = (!jobs.is_empty()).then(|| -> BoxFuture<HandlerOutcome> {
        // The handler is called inside the future: what it does before its first `.await` is part of it.
        Box::pin(async move {
            let future = handler.call(F::First::from_attempts(jobs), F::Rest::extract(&context));
            future.await.into_handler_outcome()
        })
    });
    Taken { unreadable, call }
}

/// Reads a payload. That is the user's code: where it panics, this program cannot read this task, and others of its
/// call are none the worse.
fn read<T: OnceTask>(payload: &Json) -> Result<T, String> {
    panics::catch(|| payload.read_payload())
        .map_err(|panic| format!("reading it {panic}"))?
        .map_err(|error| error.to_string())
}

/// Calls a cleanup handler with a stored task.
#[doc(hidden)]
pub fn clean_up<T, F, Args>(handler: F, delivery: Delivery) -> Taken
where
    T: OnceTask,
    F: Callable<Args>,
    F::First: CleanupInput<T>,
    F::Rest: Extract,
    F::Future: HandlerFuture<Out: HandlerOutput> + Send + 'static,
{
    deliver::<T, F, Args>(handler, delivery)
}

#[doc(hidden)]
#[must_use]
pub const fn is_grouped<T, F, Args>(_handler: &F) -> bool
where
    F: Callable<Args>,
    F::First: TaskInput<T>,
{
    F::First::GROUPED
}

#[doc(hidden)]
pub fn needs<F, Args>(_handler: &F, needs: &mut Needs)
where
    F: Callable<Args>,
    F::Rest: Extract,
{
    F::Rest::needs(needs);
}

/// A handler given to the builder: for a task type of another crate, or for a closure.
///
/// ```
/// use oncetask::{Handler, HandlerConfig, OnceTask};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, OnceTask)]
/// #[id("greet:{name}")]
/// struct Greet { name: String }
///
/// let handler = Handler::new(|task: Greet| async move { println!("hello, {}", task.name) })
///     .config(HandlerConfig::DEFAULT.concurrency(4));
/// let builder = oncetask::builder().handler(handler);
/// # let _ = builder;
/// ```
pub struct Handler {
    pub(crate) kind: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) type_id: TypeId,
    pub(crate) type_name: &'static str,
    pub(crate) config: HandlerConfig,
    pub(crate) grouped: bool,
    pub(crate) run: HandlerFn,
    /// The kind that the cleanup handler takes, and the handler.
    pub(crate) cleanup: Option<(&'static str, HandlerFn)>,
    pub(crate) needs: Vec<fn(&mut Needs)>,
    pub(crate) location: &'static Location<'static>,
}

impl Handler {
    /// A handler of the task type that the function's first parameter names.
    #[track_caller]
    pub fn new<T, F, Args>(handler: F) -> Self
    where
        T: OnceTask,
        F: Callable<Args>,
        F::First: TaskInput<T>,
        F::Rest: Extract,
        F::Future: HandlerFuture<Out: HandlerOutput> + Send + 'static,
    {
        Self {
            kind: T::KIND,
            aliases: T::ALIASES,
            type_id: TypeId::of::<T>(),
            type_name: type_name::<T>(),
            config: HandlerConfig::DEFAULT,
            grouped: F::First::GROUPED,
            run: erase::<T, F, Args>(handler),
            cleanup: None,
            needs: vec![F::Rest::needs],
            location: Location::caller(),
        }
    }

    /// Adds a cleanup handler, which runs when a task of this type has been cancelled.
    #[must_use]
    pub fn on_cancel<T, F, Args>(mut self, handler: F) -> Self
    where
        T: OnceTask,
        F: Callable<Args>,
        F::First: CleanupInput<T>,
        F::Rest: Extract,
        F::Future: HandlerFuture<Out: HandlerOutput> + Send + 'static,
    {
        self.cleanup = Some((T::KIND, erase::<T, F, Args>(handler)));
        self.needs.push(F::Rest::needs);
        self
    }

    /// Sets how the runtime drives the handler.
    #[must_use]
    pub fn config(mut self, config: HandlerConfig) -> Self {
        self.config = config;
        self
    }
}

fn erase<T, F, Args>(handler: F) -> HandlerFn
where
    T: OnceTask,
    F: Callable<Args>,
    F::First: TaskInput<T>,
    F::Rest: Extract,
    F::Future: HandlerFuture<Out: HandlerOutput> + Send + 'static,
{
    Arc::new(move |delivery| deliver::<T, F, Args>(handler.clone(), delivery))
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler")
            .field("kind", &self.kind)
            .field("config", &self.config)
            .field("grouped", &self.grouped)
            .finish_non_exhaustive()
    }
}
