use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::client::Client;
use crate::lease::ActiveClaim;
use crate::task::{Occurrence, ResourceKey, Task, TaskId};

/// The context of one call of a handler: its tasks, its cancellation and its progress.
///
/// # Examples
///
/// ```
/// use oncetask::{Context, OnceTask};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, OnceTask)]
/// #[id("import:{file}")]
/// #[handler]
/// struct Import { file: String }
///
/// impl Import {
///     async fn run(self, cx: Context) -> oncetask::Result {
///         for part in 0..10 {
///             if cx.is_cancelled() {
///                 return Err("stopped".into());
///             }
///             cx.progress(f64::from(part) / 10.0, format!("part {part} of {}", self.file));
///             // import the part
///         }
///         Ok(())
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Context {
    pub(crate) claim: Arc<ActiveClaim>,
    pub(crate) states: Arc<States>,
}

impl Context {
    /// Returns the id of the task; `None` in a call with several tasks.
    #[must_use]
    pub fn id(&self) -> Option<&TaskId> {
        self.only().map(Task::id)
    }

    /// Returns the resource key of the task, or of all tasks of a group.
    #[must_use]
    pub fn resource_key(&self) -> Option<&ResourceKey> {
        self.claim.tasks().first()?.task.resource_key()
    }

    /// Returns the number of this attempt, counted from one; the highest number of a group.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        let tasks = self.claim.tasks().iter();
        let attempts = tasks.map(|claimed| self.claim.attempt_of(&claimed.task));
        attempts.max().unwrap_or(1)
    }

    /// Returns the generator and the instant of the task if it is an occurrence of a recurring task; `None`
    /// in a call with several tasks.
    ///
    /// A grouped handler reads [`Attempt::occurrence`](crate::Attempt::occurrence) instead.
    #[must_use]
    pub fn occurrence(&self) -> Option<&Occurrence> {
        self.only()?.spec.occurrence.as_ref()
    }

    /// Returns the client of the worker that runs the handler.
    #[must_use]
    pub fn client(&self) -> &Client {
        self.claim.client()
    }

    /// Waits until the handler should stop: its task was cancelled or deleted, its lease is about to expire
    /// or is lost, or the grace of a worker that shuts down has ended.
    ///
    /// After a cancellation the handler may continue. In the other cases its future is dropped soon
    /// afterwards, at its next `.await`. A cleanup handler is not told to stop by the cancellation that it
    /// cleans up after.
    ///
    /// # Cancel safety
    ///
    /// Dropping this future has no effect.
    ///
    /// # Examples
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
        self.claim.stopped().await;
    }

    /// Returns whether the handler should stop; see [`cancelled`](Self::cancelled).
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.claim.is_stopped()
    }

    /// Reports the progress of the handler: the part that is done, and the current step.
    ///
    /// `fraction` is clamped to 0..=1; `NaN` counts as 0. The message is truncated to 4 KiB.
    ///
    /// It may be called often. The newest progress is stored at most once a second and with the end of the
    /// call. [`Client::get`] reads it.
    pub fn progress(&self, fraction: f64, message: impl Into<String>) {
        let fraction = if fraction.is_nan() {
            0.0
        } else {
            fraction.clamp(0.0, 1.0)
        };
        self.claim.set_progress(fraction, message.into());
    }

    /// Returns the task of a call with one task.
    fn only(&self) -> Option<&Task> {
        match self.claim.tasks() {
            [only] => Some(&only.task),
            _ => None,
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("id", &self.id())
            .field("tasks", &self.claim.tasks().len())
            .field("resource_key", &self.resource_key())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}

/// Application state as a parameter of a handler. [`WorkerBuilder::state`](crate::WorkerBuilder::state) sets
/// it.
///
/// # Examples
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

/// A type that can be a parameter of a handler after the task.
///
/// Implement it for a value that many handlers take.
///
/// # Examples
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
///         needs.state::<Pool>(); // a missing pool is then reported at start-up
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a handler",
    label = "this handler has a parameter of type `{Self}`",
    note = "after the task, a handler takes owned values: `Context`, `Client` or `State<S>`, where `S` is application state"
)]
pub trait FromContext: Sized + Send + 'static {
    /// Returns the value for one call.
    fn from_context(cx: &Context) -> Self;

    /// Adds the states that the value needs. The worker reports a missing state when it starts.
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

/// A type that can be application state: every type that is `Clone + Send + Sync + 'static`.
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
        Self(state.expect("a worker checks at start-up that the states in `needs` are set"))
    }

    fn needs(needs: &mut Needs) {
        needs.state::<S>();
    }
}

/// The types of the states that a handler needs.
#[derive(Debug, Default)]
pub struct Needs(pub(crate) Vec<(TypeId, &'static str)>);

impl Needs {
    /// Adds a state of this type.
    pub fn state<S: 'static>(&mut self) {
        self.0.push((TypeId::of::<S>(), type_name::<S>()));
    }
}

/// The application's states by type.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Serialize};
    use tokio::time::Instant;

    use super::*;
    use crate::client::OnceTask;
    use crate::handler::{Attempt, Delivery, deliver};
    use crate::lease::{ClaimGuard, Keeper, LeaseTerms, testing};
    use crate::spawn::Spawner;
    use crate::store::ClaimedTask;
    use crate::task::transition::Phase;
    use crate::task::{Json, TaskSpec};

    #[derive(Debug, Serialize, Deserialize)]
    struct Report {}

    impl OnceTask for Report {
        const KIND: &'static str = "report";

        fn id(&self) -> TaskId {
            "report".into()
        }
    }

    fn generator() -> TaskId {
        "report".into()
    }

    fn at() -> DateTime<Utc> {
        "2026-01-05T09:00:00Z".parse().unwrap()
    }

    fn claimed(id: &str, occurrence: Option<Occurrence>) -> ClaimedTask {
        let mut spec = TaskSpec::new(id.into(), Report::KIND, Json::of(&Report {}).unwrap(), at());
        spec.occurrence = occurrence;
        testing::claim(Task::new(spec, at()), false)
    }

    fn context(tasks: Vec<ClaimedTask>) -> (Context, ClaimGuard) {
        let keeper = Keeper::start(Client::in_memory(), &Spawner::wrapping(|future| future)).unwrap();
        let terms = LeaseTerms {
            phase: Phase::Run,
            limit: Duration::from_mins(10),
            heartbeat: Duration::from_mins(1),
            claimed: Duration::from_mins(1),
        };
        let guard = keeper.keep(tasks, Instant::now(), terms);
        let context = Context {
            claim: guard.claim().clone(),
            states: Arc::default(),
        };
        (context, guard)
    }

    #[tokio::test]
    async fn a_handler_sees_the_generator_and_the_instant_of_an_occurrence() {
        let occurrence = Occurrence::new(generator(), at());
        let (context, _guard) = context(vec![claimed("a", Some(occurrence.clone()))]);
        assert_eq!(context.occurrence(), Some(&occurrence));
        let handler = move |report: Attempt<Report>, cx: Context| {
            assert_eq!(report.occurrence.as_ref(), Some(&occurrence));
            assert_eq!(cx.occurrence(), Some(&occurrence));
            std::future::ready(())
        };
        let call = deliver::<Report, _, _>(handler, Delivery(context));
        call.future.expect("the payload can be decoded").await;
    }

    #[tokio::test]
    async fn a_task_that_no_generator_created_has_no_occurrence() {
        let (context, _guard) = context(vec![claimed("a", None)]);
        assert_eq!(context.occurrence(), None);
        let handler = |report: Attempt<Report>| {
            assert_eq!(report.occurrence, None);
            std::future::ready(())
        };
        let call = deliver::<Report, _, _>(handler, Delivery(context));
        call.future.expect("the payload can be decoded").await;
    }

    #[tokio::test]
    async fn each_attempt_of_a_group_has_its_own_occurrence() {
        let occurrence = Occurrence::new(generator(), at());
        let tasks = vec![claimed("a", Some(occurrence.clone())), claimed("b", None)];
        let (context, _guard) = context(tasks);
        assert_eq!((context.id(), context.occurrence()), (None, None));
        let handler = move |reports: Vec<Attempt<Report>>| {
            let occurrences: Vec<_> = reports.iter().map(|report| report.occurrence.clone()).collect();
            assert_eq!(occurrences, [Some(occurrence.clone()), None]);
            std::future::ready(())
        };
        let call = deliver::<Report, _, _>(handler, Delivery(context));
        call.future.expect("the payloads can be decoded").await;
    }
}
