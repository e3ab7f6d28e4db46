//! Handlers: every `async fn` whose first parameter is the task can be one.
//!
//! The types in this module appear in signatures and in compiler errors. A program usually names only those
//! that the root of the crate exports.

mod callable;
mod config;
mod context;
mod definition;
mod deliver;
mod error;
mod input;
mod missing;
mod output;
mod retry;

pub use self::callable::{Callable, Extract, HandlerFuture};
pub use self::config::HandlerConfig;
pub(crate) use self::context::States;
pub use self::context::{AppState, Context, FromContext, Needs, State};
pub(crate) use self::definition::CleanupHandler;
pub use self::definition::{Handler, Location};
pub(crate) use self::deliver::HandlerFn;
pub use self::deliver::{Delivery, HandlerCall, clean_up, deliver, is_grouped, needs};
pub use self::error::{HandlerError, Result, ResultExt, Signal};
pub use self::input::{Attempt, CleanupInput, TaskInput};
pub use self::missing::{HasOnCancel, HasRun, NoOnCancel, NoRun};
pub use self::output::{HandlerFailure, HandlerOutcome, HandlerOutput, Outcome};
pub use self::retry::Retry;
