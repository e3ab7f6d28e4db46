//! What a handler may be: any `async fn` whose first parameter is the task.
//!
//! The types here show up in signatures and error messages; what a program names is at the crate's root.

mod callable;
mod config;
mod context;
mod deliver;
mod error;
mod input;
mod missing;
mod output;

pub use self::callable::{Callable, Extract, HandlerFuture};
pub use self::config::HandlerConfig;
pub(crate) use self::context::States;
pub use self::context::{AppState, Context, FromContext, Needs, State};
pub use self::deliver::{Delivery, Handler, clean_up, deliver, is_grouped, needs};
pub(crate) use self::deliver::{HandlerFn, Taken};
pub use self::error::{HandlerError, Result, ResultExt, Signal};
pub use self::input::{Attempt, CleanupInput, TaskInput};
pub use self::missing::{HasOnCancel, HasRun, NoOnCancel, NoRun};
pub use self::output::{HandlerFailure, HandlerOutcome, HandlerOutput, Outcome};
