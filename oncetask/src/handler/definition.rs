//! A handler of a task type, as a worker runs it.

use std::any::{TypeId, type_name};
use std::fmt;
use std::panic;
use std::sync::Arc;

use super::callable::{Callable, Extract, HandlerFuture};
use super::context::Needs;
use super::deliver::{HandlerFn, deliver};
use super::input::{CleanupInput, TaskInput};
use super::output::HandlerOutput;
use super::{HandlerConfig, Retry};
use crate::client::OnceTask;
use crate::task::transition::Phase;

/// The handler of one task type: the functions and their configuration.
///
/// `#[handler]` defines one for a derived type. A program defines one itself for a task type of another crate
/// or for a closure, and gives it to [`WorkerBuilder::handler`](crate::WorkerBuilder::handler).
///
/// # Examples
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
    /// The position in the source at which the handler, or its task type, is defined.
    pub(crate) location: Location,
    pub(crate) config: HandlerConfig,
    /// True if a call takes all pending tasks of a resource key.
    pub(crate) grouped: bool,
    pub(crate) run: HandlerFn,
    pub(crate) on_cancel: Option<CleanupHandler>,
    /// The states that the handler and the cleanup handler need.
    pub(crate) needs: Needs,
}

/// A cleanup handler.
pub(crate) struct CleanupHandler {
    /// The kind of the tasks that the function takes. The checks at start-up refuse a kind other than the
    /// handler's.
    pub(crate) kind: &'static str,
    pub(crate) run: HandlerFn,
}

/// The position in the source at which a task type or a handler is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Location {
    /// The source file.
    pub file: &'static str,
    /// The line, counted from one.
    pub line: u32,
    /// The column, counted from one.
    pub column: u32,
}

impl Location {
    pub(crate) const fn new(file: &'static str, line: u32, column: u32) -> Self {
        Self { file, line, column }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Handler {
    /// Returns a handler of the task type that the function's first parameter names.
    #[track_caller]
    pub fn new<T, F, Args>(handler: F) -> Self
    where
        T: OnceTask,
        F: Callable<Args>,
        F::First: TaskInput<T>,
        F::Rest: Extract,
        F::Future: HandlerFuture<Out: HandlerOutput> + Send + 'static,
    {
        let caller = panic::Location::caller();
        let mut needs = Needs::default();
        F::Rest::needs(&mut needs);
        Self {
            kind: T::KIND,
            aliases: T::ALIASES,
            type_id: TypeId::of::<T>(),
            type_name: type_name::<T>(),
            location: Location::new(caller.file(), caller.line(), caller.column()),
            config: HandlerConfig::DEFAULT,
            grouped: F::First::GROUPED,
            run: erase::<T, F, Args>(handler),
            on_cancel: None,
            needs,
        }
    }

    /// Adds a cleanup handler. It runs after a task of this type has been cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use oncetask::{Handler, OnceTask, Result};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize, OnceTask)]
    /// #[id("import:{file}")]
    /// struct Import { file: String }
    ///
    /// async fn import(task: Import) -> Result { Ok(()) }
    /// async fn remove_imported_rows(task: Import) -> Result { Ok(()) }
    ///
    /// let handler = Handler::new(import).on_cancel(remove_imported_rows);
    /// # let _ = oncetask::builder().handler(handler);
    /// ```
    #[must_use]
    pub fn on_cancel<T, F, Args>(mut self, handler: F) -> Self
    where
        T: OnceTask,
        F: Callable<Args>,
        F::First: CleanupInput<T>,
        F::Rest: Extract,
        F::Future: HandlerFuture<Out: HandlerOutput> + Send + 'static,
    {
        self.on_cancel = Some(CleanupHandler {
            kind: T::KIND,
            run: erase::<T, F, Args>(handler),
        });
        F::Rest::needs(&mut self.needs);
        self
    }

    /// Sets the configuration.
    #[must_use]
    pub fn config(mut self, config: HandlerConfig) -> Self {
        self.config = config;
        self
    }

    /// Returns the function for a phase, or `None` if the handler has no cleanup function.
    pub(crate) fn function(&self, phase: Phase) -> Option<&HandlerFn> {
        match phase {
            Phase::Run => Some(&self.run),
            Phase::Cleanup => self.on_cancel.as_ref().map(|cleanup| &cleanup.run),
        }
    }

    /// Returns the retry policy for a phase.
    pub(crate) fn retry(&self, phase: Phase) -> &Retry {
        match phase {
            Phase::Run => &self.config.retry,
            Phase::Cleanup => &self.config.on_cancel_retry,
        }
    }

    /// Returns the maximum number of tasks in a claim.
    pub(crate) fn max_group(&self) -> usize {
        if self.grouped {
            self.config.max_group as usize
        } else {
            1
        }
    }

    /// Returns the kinds of the handler's tasks: its own and its aliases.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.kind).chain(self.aliases.iter().copied())
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

/// Writes `type` (`file:line:column`), the form in which start-up problems name a handler.
impl fmt::Display for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.type_name, self.location)
    }
}
