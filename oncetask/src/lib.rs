#![doc = include_str!("../README.md")]

mod client;
mod clock;
mod error;
pub mod guide;
pub mod handler;
mod registry;
mod runtime;
pub mod schedule;
pub mod store;
pub mod task;

pub use crate::client::{Client, Enqueued, Tasks};
pub use crate::clock::Clock;
pub use crate::error::{Error, StartError, StoreError, StoreErrorKind};
pub use crate::handler::{
    Attempt, Context, Handler, HandlerConfig, HandlerError, Outcome, Result, ResultExt, Signal, State,
};
pub use crate::registry::{Location, TaskType};
pub use crate::runtime::{Worker, WorkerBuilder, builder, run};
pub use crate::schedule::{Gap, Missed, Overlap, Recurrence, RecurrenceError, Retry, Schedule, preview};
pub use crate::store::{Cursor, Filter, Order};
pub use crate::task::transition::Change;
pub use crate::task::{AttemptError, Ending, OnceTask, Progress, ResourceKey, Status, Task, TaskId};

#[doc = include_str!("../docs/derive.md")]
#[doc(inline)]
pub use oncetask_macros::OnceTask;

/// What the expansion of `#[derive(OnceTask)]` refers to. Not public API.
#[doc(hidden)]
pub mod __private {
    pub use crate::client::Draft;
    pub use crate::handler::{HandlerConfig, NoOnCancel, NoRun, clean_up, deliver, is_grouped, needs};
    pub use crate::registry::{Discovered, Handled, HandlerDefinition, TaskType};
    pub use crate::schedule::{Gap, Missed, Overlap, Recurrence, Recurs, Retry, RunAt, Schedule};
    pub use crate::task::{IdBuilder, Payload, ResourceKey, TaskId};
    pub use inventory;
}
