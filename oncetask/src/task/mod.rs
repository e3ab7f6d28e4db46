//! Tasks: their ids, payloads and records, and every change of their state.
//!
//! No code in this module reads a clock or a store.

pub(crate) mod advance;
mod attempt;
#[cfg(feature = "sqlite")]
pub(crate) mod damaged;
pub(crate) mod decide;
mod id;
mod json;
mod queue_order;
mod record;
mod serial;
#[cfg(any(test, feature = "firestore"))]
pub(crate) mod size_limit;
mod status;
pub mod transition;

pub use self::attempt::{AttemptError, Done, Ending, Lease, LeaseToken, Progress};
pub use self::id::{EmptyResourceKey, IdBuilder, IdPart, ResourceKey, TaskId};
pub use self::json::Json;
pub(crate) use self::queue_order::QueueOrder;
pub use self::record::{Occurrence, Task, TaskSpec, TaskState, whole_millis, whole_millis_up};
pub use self::status::Status;
