use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::client::Client;
use crate::runtime::Held;
use crate::task::{ResourceKey, TaskId};

/// What a handler may know about its call, and say while it runs.
#[derive(Clone)]
pub struct Context {
    pub(crate) held: Arc<Held>,
    pub(crate) states: Arc<States>,
}

impl Context {
    /// The id of the task; `None` in a call with several.
    #[must_use]
    pub fn id(&self) -> Option<&TaskId> {
        match self.held.tasks() {
            [only] => Some(only.task.id()),
            _ => None,
        }
    }

    /// The resource key of the task, or of all the tasks of a group.
    #[must_use]
    pub fn resource_key(&self) -> Option<&ResourceKey> {
        self.held.tasks().first()?.task.resource_key()
    }

    /// The number of this attempt, counted from one; of a group, the highest.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        let attempts = self
            .held
            .tasks()
            .iter()
            .map(|held| self.held.attempt_of(&held.task));
        attempts.max().unwrap_or(1)
    }

    /// The client of the worker that runs the handler.
    #[must_use]
    pub fn client(&self) -> &Client {
        self.held.client()
    }

    /// Ends when the handler should stop: its task was cancelled or deleted, its lease is about to end or is
    /// lost, or the worker shuts down and its grace is over.
    ///
    /// A cancelled task's handler may go on; in the other cases it is dropped soon afterwards, at its next
    /// `.await`. Cleanup handlers are not told of the cancellation that they clean up after.
    ///
    /// # Cancel safety
    ///
    /// Dropping this future changes nothing.
    ///
    /// ```
    /// use oncetask::Context;
    ///
    /// async fn handler(cx: &Context) -> oncetask::Result {
    ///     tokio::select! {
    ///         () = cx.cancelled() => Err("stopped half-way".into()),
    ///         done = work() => Ok(done),
    ///     }
    /// }
    /// # async fn work() {}
    /// ```
    pub async fn cancelled(&self) {
        self.held.stopped().await;
    }

    /// Whether [`cancelled`](Self::cancelled) has ended.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.held.is_stopped()
    }

    /// Says how far the handler is: a fraction from 0 to 1, and what it is doing. `NaN`, as of none of none, is 0.
    ///
    /// Cheap to call often: the newest is stored, at most once a second, and read back with
    /// [`Client::get`]. What was said last is stored with the end of the call, at most 4 KiB of the message.
    pub fn progress(&self, fraction: f64, message: impl Into<String>) {
        // Nothing of nothing is done: no number, and no store could keep it.
        let fraction = if fraction.is_nan() {
            0.0
        } else {
            fraction.clamp(0.0, 1.0)
        };
        self.held.say(fraction, message.into());
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("id", &self.id())
            .field("tasks", &self.held.tasks().len())
            .field("resource_key", &self.resource_key())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}

/// Application state, given to [`WorkerBuilder::state`](crate::WorkerBuilder::state) and taken by handlers.
///
/// ```
/// use oncetask::State;
///
/// #[derive(Clone)]
/// struct Mailer;
///
/// impl Mailer {
///     async fn send(&self, to: &str) {}
/// }
///
/// async fn handler(to: String, mailer: State<Mailer>) {
///     mailer.send(&to).await;
/// }
/// # let _ = handler(String::new(), State(Mailer));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct State<S>(pub S);

impl<S> Deref for State<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

/// A parameter of a handler other than the task.
///
/// Implement it for what handlers of yours take again and again:
///
/// ```
/// use oncetask::handler::{FromContext, Needs};
/// use oncetask::{Context, State};
///
/// #[derive(Clone)]
/// struct Pool;
///
/// struct Connection(Pool);
///
/// impl FromContext for Connection {
///     fn from_context(cx: &Context) -> Self {
///         Self(State::<Pool>::from_context(cx).0)
///     }
///
///     fn needs(needs: &mut Needs) {
///         needs.state::<Pool>(); // so that a missing pool is found at start-up
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a handler",
    label = "this handler has a parameter of type `{Self}`",
    note = "after the task, a handler takes owned values: `Context`, `Client` or `State<S>`, where `S` is application state"
)]
pub trait FromContext: Sized + Send + 'static {
    /// Takes the value out of the context.
    fn from_context(cx: &Context) -> Self;

    /// Lists the states that must be there, so that a missing one is found at start-up.
    fn needs(_needs: &mut Needs) {}
}

#[diagnostic::do_not_recommend]
impl FromContext for Context {
    fn from_context(cx: &Context) -> Self {
        cx.clone()
    }
}

#[diagnostic::do_not_recommend]
impl FromContext for Client {
    fn from_context(cx: &Context) -> Self {
        cx.client().clone()
    }
}

/// What may be application state: every type that is `Clone + Send + Sync + 'static`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the state of a handler",
    label = "this handler takes `State<{Self}>`",
    note = "each call gets a clone of the state, and many threads use it at once, so it must be `Clone + Send + Sync + 'static`",
    note = "derive `Clone` for it if copies are cheap, or take `State<Arc<{Self}>>` and pass an `Arc` to `.state(..)`"
)]
pub trait AppState: Clone + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<S: Clone + Send + Sync + 'static> AppState for S {}

impl<S: AppState> FromContext for State<S> {
    fn from_context(cx: &Context) -> Self {
        let state = cx.states.get::<S>().cloned();
        Self(state.expect("a state that `needs` lists is checked at start-up"))
    }

    fn needs(needs: &mut Needs) {
        needs.state::<S>();
    }
}

/// The states that a handler needs.
#[derive(Debug, Default)]
pub struct Needs(pub(crate) Vec<(TypeId, &'static str)>);

impl Needs {
    /// Adds a state.
    pub fn state<S: 'static>(&mut self) {
        self.0.push((TypeId::of::<S>(), type_name::<S>()));
    }
}

/// The states that the application gave, by type.
#[derive(Default)]
pub(crate) struct States(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl States {
    pub(crate) fn insert<S: Send + Sync + 'static>(&mut self, state: S) {
        self.0.insert(TypeId::of::<S>(), Box::new(state));
    }

    pub(crate) fn get<S: 'static>(&self) -> Option<&S> {
        self.0.get(&TypeId::of::<S>())?.downcast_ref()
    }

    pub(crate) fn contains(&self, id: TypeId) -> bool {
        self.0.contains_key(&id)
    }
}
