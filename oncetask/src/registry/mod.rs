//! The task types of this program, found through `inventory`, and what is checked before anything runs.

mod check;

use std::any::{TypeId, type_name};
use std::fmt;
use std::sync::Arc;

pub(crate) use self::check::check;
use crate::client::Draft;
use crate::error::Error;
use crate::handler::{Delivery, Handler, HandlerConfig, HandlerFn, Needs, Taken};
use crate::task::OnceTask;

/// Where a task type is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The source file.
    pub file: &'static str,
    /// The line, counted from one.
    pub line: u32,
    /// The column, counted from one.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// The functions of a handler, its types erased.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct HandlerDefinition {
    pub config: HandlerConfig,
    pub grouped: bool,
    pub run: fn(Delivery) -> Taken,
    pub on_cancel: Option<fn(Delivery) -> Taken>,
    pub needs: fn(&mut Needs),
}

/// A task type with a handler.
#[doc(hidden)]
pub trait Handled {
    const HANDLER: HandlerDefinition;
    const CHECKS: () = ();
}

/// A task type known to this program.
#[derive(Clone, Copy)]
pub struct TaskType {
    kind: &'static str,
    aliases: &'static [&'static str],
    type_name: fn() -> &'static str,
    type_id: fn() -> TypeId,
    location: Location,
    handler: Option<HandlerDefinition>,
    at_start: Option<fn() -> Result<Draft, Error>>,
}

impl TaskType {
    #[doc(hidden)]
    #[must_use]
    pub const fn unhandled<T: OnceTask>(file: &'static str, line: u32, column: u32) -> Self {
        Self {
            kind: T::KIND,
            aliases: T::ALIASES,
            type_name: type_name::<T>,
            type_id: TypeId::of::<T>,
            location: Location { file, line, column },
            handler: None,
            at_start: None,
        }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn handled<T: OnceTask + Handled>(file: &'static str, line: u32, column: u32) -> Self {
        let () = T::CHECKS;
        let mut this = Self::unhandled::<T>(file, line, column);
        this.handler = Some(T::HANDLER);
        this
    }

    /// Sees to it at start-up that this task exists.
    #[doc(hidden)]
    #[must_use]
    pub const fn at_start(mut self, draft: fn() -> Result<Draft, Error>) -> Self {
        self.at_start = Some(draft);
        self
    }

    /// The name under which tasks of this type are stored.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Names under which tasks of this type were stored once.
    #[must_use]
    pub fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    /// The Rust type.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        (self.type_name)()
    }

    /// Where it is defined.
    #[must_use]
    pub fn location(&self) -> Location {
        self.location
    }

    /// Whether this program can run tasks of this type without a handler given to the builder.
    #[must_use]
    pub fn has_handler(&self) -> bool {
        self.handler.is_some()
    }

    pub(crate) fn draft_at_start(&self) -> Option<Result<Draft, Error>> {
        self.at_start.map(|draft| draft())
    }

    /// Every task type derived in the crates linked into this program.
    ///
    /// A crate that no line of the program names is not linked: `use its_name as _;` links it.
    pub fn discovered() -> impl Iterator<Item = &'static Self> {
        inventory::iter::<Discovered>
            .into_iter()
            .map(|discovered| &discovered.0)
    }
}

impl fmt::Debug for TaskType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskType")
            .field("kind", &self.kind)
            .field("type_name", &self.type_name())
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

/// `type` (`file:line:column`), as start-up problems name a type.
impl fmt::Display for TaskType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.type_name(), self.location)
    }
}

/// A task type collected before `main`.
#[doc(hidden)]
#[derive(Debug)]
pub struct Discovered(pub TaskType);

inventory::collect!(Discovered);

/// What the runtime needs to run the tasks of one type.
#[derive(Clone)]
pub(crate) struct Runnable {
    pub(crate) kind: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) config: HandlerConfig,
    pub(crate) grouped: bool,
    pub(crate) run: HandlerFn,
    pub(crate) cleanup: Option<HandlerFn>,
}

/// The handlers of a program, its own and those given to the builder.
pub(crate) fn runnables(types: &[TaskType], given: Vec<Handler>) -> Vec<Runnable> {
    let own = types.iter().filter_map(|task| {
        let HandlerDefinition {
            config,
            grouped,
            run,
            on_cancel,
            ..
        } = task.handler?;
        let cleanup = on_cancel.map(|on_cancel| Arc::new(on_cancel) as HandlerFn);
        Some(Runnable {
            kind: task.kind,
            aliases: task.aliases,
            config,
            grouped,
            run: Arc::new(run),
            cleanup,
        })
    });
    let given = given.into_iter().map(
        |Handler {
             kind,
             aliases,
             config,
             grouped,
             run,
             cleanup,
             ..
         }| Runnable {
            kind,
            aliases,
            config,
            grouped,
            run,
            cleanup: cleanup.map(|(_, cleanup)| cleanup),
        },
    );
    own.chain(given).collect()
}
