//! What a task is: its type, its id, its payload, its record, and every change of its state.
//!
//! Nothing here reads a clock or a store.

mod attempt;
#[cfg(feature = "sqlite")]
pub(crate) mod damaged;
pub(crate) mod decide;
mod id;
mod json;
mod record;
mod serial;
#[cfg(any(test, feature = "firestore"))]
pub(crate) mod size_limit;
mod status;
pub mod transition;

pub use self::attempt::{AttemptError, Done, Ending, Lease, LeaseToken, Progress};
pub use self::id::{EmptyResourceKey, IdBuilder, IdPart, ResourceKey, TaskId};
pub use self::json::Json;
pub use self::record::{Occurrence, QueueOrder, Task, TaskSpec, TaskState, whole_millis, whole_millis_up};
pub use self::status::Status;
