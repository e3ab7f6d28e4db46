//! What a task is: its type, its id, its payload, its record, and every change of its state.
//!
//! Nothing here reads a clock or a store.

mod id;
mod json;
mod record;
mod status;
pub mod transition;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::id::{IdBuilder, IdPart, ResourceKey, TaskId};
pub use self::json::Json;
pub use self::record::{
    AttemptError, Done, Ending, Lease, LeaseToken, Occurrence, Progress, Task, TaskSpec, TaskState,
    whole_millis, whole_millis_up,
};
pub use self::status::Status;
use crate::client::{Client, Creation};
use crate::error::Error;
use crate::schedule::Schedule;

/// A unit of background work: its payload, and what identifies and schedules it.
///
/// Derive it. `#[derive(OnceTask)]` writes every method from the attributes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    label = "not a task",
    note = "add `#[derive(OnceTask)]` and an `#[id(..)]` to `{Self}`"
)]
pub trait OnceTask: Payload {
    /// The name under which tasks of this type are stored.
    const KIND: &'static str;

    /// Names under which tasks of this type were stored once: workers claim those too.
    const ALIASES: &'static [&'static str] = &[];

    /// The idempotency key: two tasks with the same id are the same task.
    fn id(&self) -> TaskId;

    /// The resource this task works on. Tasks of one resource never run at once.
    fn resource_key(&self) -> Option<ResourceKey> {
        None
    }

    /// When the task runs.
    fn schedule(&self) -> Schedule {
        Schedule::Now
    }

    /// Stores the task unless a task with the same id is already stored.
    fn enqueue(self, client: &Client) -> impl Future<Output = Result<Creation, Error>> + Send
    where
        Self: Sized,
    {
        client.create(self)
    }
}

/// Data that can be stored: every type that implements `Serialize` and `Deserialize`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored as the payload of a task",
    label = "does not implement `Serialize` and `Deserialize`",
    note = "derive both: `#[derive(Serialize, Deserialize, OnceTask)]`"
)]
pub trait Payload: Serialize + DeserializeOwned + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Payload for T {}
