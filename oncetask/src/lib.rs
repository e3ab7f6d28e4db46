#![doc = include_str!("../README.md")]

mod client;
mod clock;
mod error;
pub mod guide;
pub mod handler;
mod latch;
mod lease;
mod panics;
mod registry;
mod runtime;
pub mod schedule;
mod spawn;
pub mod store;
pub mod task;

pub use crate::client::{Client, Enqueued, OnceTask, Payload, Tasks};
pub use crate::clock::Clock;
pub use crate::error::{Error, StartError, StoreError, StoreErrorKind};
pub use crate::handler::{
    Attempt, Context, Handler, HandlerConfig, HandlerError, Location, Outcome, Result, ResultExt, Retry,
    Signal, State,
};
pub use crate::registry::TaskType;
pub use crate::runtime::{Worker, WorkerBuilder, builder, run};
pub use crate::schedule::{Gap, Missed, Overlap, Recurrence, RecurrenceError, Schedule, preview};
pub use crate::store::{Filter, Order};
pub use crate::task::transition::Change;
pub use crate::task::{AttemptError, Ending, Progress, ResourceKey, Status, Task, TaskId};

#[doc = include_str!("../docs/derive.md")]
#[doc(inline)]
pub use oncetask_macros::OnceTask;

/// The items that the expansion of `#[derive(OnceTask)]` uses. Not public API.
#[doc(hidden)]
pub mod __private {
    pub use crate::client::{Draft, Payload};
    pub use crate::handler::{HandlerConfig, NoOnCancel, NoRun, Retry, clean_up, deliver, is_grouped, needs};
    pub use crate::registry::{Discovered, Handled, HandlerDefinition, TaskType};
    pub use crate::schedule::{Gap, Missed, Overlap, Recurrence, Recurs, RunAt, Schedule};
    pub use crate::task::{IdBuilder, ResourceKey, TaskId};
    pub use inventory;
}
