//! The task types of this program, which `inventory` collects, and the checks at start-up.

mod check;

use std::any::{TypeId, type_name};
use std::fmt;
use std::sync::Arc;

pub(crate) use self::check::check;
use crate::client::{Draft, OnceTask};
use crate::error::Error;
use crate::handler::{
    CleanupHandler, Delivery, Handler, HandlerCall, HandlerConfig, HandlerFn, Location, Needs,
};

/// The handler of a derived type, as a constant: the input of [`Handler`].
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct HandlerDefinition {
    pub config: HandlerConfig,
    pub grouped: bool,
    pub run: fn(Delivery) -> HandlerCall,
    pub on_cancel: Option<fn(Delivery) -> HandlerCall>,
    pub needs: fn(&mut Needs),
}

/// A derived task type with a handler.
#[doc(hidden)]
pub trait Handled {
    const HANDLER: HandlerDefinition;
    const CHECKS: () = ();
}

/// A task type that is known to this program.
///
/// # Examples
///
/// ```
/// use oncetask::TaskType;
///
/// for task in TaskType::discovered() {
///     println!("{} at {}", task.kind(), task.location());
/// }
/// ```
#[derive(Clone, Copy)]
pub struct TaskType {
    kind: &'static str,
    aliases: &'static [&'static str],
    type_name: fn() -> &'static str,
    type_id: fn() -> TypeId,
    location: Location,
    handler: Option<HandlerDefinition>,
    /// Returns the task that a worker creates when it starts.
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
            location: Location::new(file, line, column),
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

    /// Sets the task that a worker creates when it starts.
    #[doc(hidden)]
    #[must_use]
    pub const fn at_start(mut self, draft: fn() -> Result<Draft, Error>) -> Self {
        self.at_start = Some(draft);
        self
    }

    /// Returns the name under which tasks of this type are stored.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Returns the names under which tasks of this type were stored earlier.
    #[must_use]
    pub fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    /// Returns the name of the Rust type.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        (self.type_name)()
    }

    /// Returns the position in the source at which the type is defined.
    #[must_use]
    pub fn location(&self) -> Location {
        self.location
    }

    /// Returns whether the type has a handler of its own. A worker runs tasks of another type only if the
    /// program gives it a [`Handler`].
    #[must_use]
    pub fn has_handler(&self) -> bool {
        self.handler.is_some()
    }

    /// Returns the task that a worker creates when it starts.
    pub(crate) fn draft_at_start(&self) -> Option<Result<Draft, Error>> {
        self.at_start.map(|draft| draft())
    }

    /// Returns the type's own handler.
    pub(crate) fn own_handler(&self) -> Option<Handler> {
        let definition = self.handler?;
        let mut needs = Needs::default();
        (definition.needs)(&mut needs);
        Some(Handler {
            kind: self.kind,
            aliases: self.aliases,
            type_id: (self.type_id)(),
            type_name: self.type_name(),
            location: self.location,
            config: definition.config,
            grouped: definition.grouped,
            run: Arc::new(definition.run),
            on_cancel: definition.on_cancel.map(|on_cancel| CleanupHandler {
                kind: self.kind,
                run: Arc::new(on_cancel) as HandlerFn,
            }),
            needs,
        })
    }

    /// Returns every task type that is derived in a crate of this program.
    ///
    /// The linker leaves out a crate that no code of the program names. `use its_name as _;` links it.
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

/// Writes `type` (`file:line:column`), the form in which start-up problems name a type.
impl fmt::Display for TaskType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.type_name(), self.location)
    }
}

/// A task type that is collected before `main`.
#[doc(hidden)]
#[derive(Debug)]
pub struct Discovered(pub TaskType);

inventory::collect!(Discovered);

/// Returns the handlers of a worker: those of the task types, then those that the program gave to the
/// builder.
pub(crate) fn handlers(types: &[TaskType], given: Vec<Handler>) -> Vec<Arc<Handler>> {
    let own = types.iter().filter_map(TaskType::own_handler);
    own.chain(given).map(Arc::new).collect()
}
