//! What a task is: its type, its id, its payload, its record, and every change of its state.
//!
//! Nothing here reads a clock or a store.

mod attempt;
#[cfg(feature = "sqlite")]
pub(crate) mod damaged;
mod id;
mod json;
mod record;
mod serial;
#[cfg(any(test, feature = "firestore"))]
pub(crate) mod size_limit;
mod status;
pub mod transition;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::attempt::{AttemptError, Done, Ending, Lease, LeaseToken, Progress};
pub use self::id::{EmptyResourceKey, IdBuilder, IdPart, ResourceKey, TaskId};
pub use self::json::Json;
pub use self::record::{Occurrence, QueueOrder, Task, TaskSpec, TaskState, whole_millis, whole_millis_up};
pub use self::status::Status;
use crate::client::{Client, Enqueued};
use crate::error::Error;
use crate::schedule::Schedule;

/// A unit of background work: its payload, and what identifies and schedules it.
///
/// Derive it: [`#[derive(OnceTask)]`](derive@crate::OnceTask) writes every method from the attributes.
///
/// # By hand
///
/// Whatever the derive does can be written, for an enum, a generic type, or a crate without macros. A worker
/// discovers derived types only: a handler of another is given to
/// [`WorkerBuilder::handler`](crate::WorkerBuilder::handler).
///
/// ```
/// use std::time::Duration;
///
/// use oncetask::task::IdBuilder;
/// use oncetask::{Handler, HandlerConfig, OnceTask, Recurrence, ResourceKey, Retry, Schedule, TaskId};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum Notice {
///     Mail { to: String, subject: String },
///     Digest { team: u64 },
/// }
///
/// impl OnceTask for Notice {
///     const KIND: &'static str = "notice";
///     const ALIASES: &'static [&'static str] = &["Notification"];
///
///     fn id(&self) -> TaskId {
///         let id = IdBuilder::task();
///         match self {
///             // As `#[id("mail:{to}:{subject:hash}")]` would.
///             Self::Mail { to, subject } => {
///                 id.literal("mail:").part_until(to, ':').literal(":").hash(subject).id()
///             }
///             Self::Digest { team } => id.literal("digest:").part(team).id(),
///         }
///     }
///
///     fn resource_key(&self) -> Option<ResourceKey> {
///         match self {
///             Self::Mail { to, .. } => IdBuilder::resource().literal("inbox:").part(to).key(),
///             Self::Digest { .. } => None,
///         }
///     }
///
///     fn schedule(&self) -> Schedule {
///         match self {
///             Self::Mail { .. } => Schedule::Now,
///             Self::Digest { .. } => {
///                 let daily = Recurrence::new("FREQ=DAILY;BYHOUR=9").expect("a rule that a test reads");
///                 Schedule::Recurring(daily)
///             }
///         }
///     }
/// }
///
/// async fn deliver(notice: Notice) -> oncetask::Result {
///     Ok(())
/// }
///
/// async fn undo(notice: Notice) {}
///
/// let config = HandlerConfig::DEFAULT
///     .retry(Retry::exponential().max_attempts(5))
///     .lease(Duration::from_secs(60));
/// let builder = oncetask::builder().handler(Handler::new(deliver).on_cancel(undo).config(config));
///
/// let digest = Notice::Digest { team: 7 };
/// assert_eq!(digest.id().as_str(), "digest:7");
/// # drop(builder);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    label = "not a task",
    note = "add `#[derive(OnceTask)]` and an `#[id(..)]` to `{Self}`"
)]
pub trait OnceTask: Payload {
    /// The name under which tasks of this type are stored: another than that of every other type.
    const KIND: &'static str;

    /// Names under which tasks of this type were stored once: workers claim those too.
    const ALIASES: &'static [&'static str] = &[];

    /// The idempotency key: two tasks with the same id are the same task.
    ///
    /// [`IdBuilder`] makes ids in which distinct values never give the same text.
    fn id(&self) -> TaskId;

    /// The resource that this task works on: tasks of one kind and key never run at the same time.
    fn resource_key(&self) -> Option<ResourceKey> {
        None
    }

    /// When the task runs.
    fn schedule(&self) -> Schedule {
        Schedule::Now
    }

    /// Stores the task, unless a task with the same id is already stored: [`Client::create`].
    ///
    /// # Errors
    ///
    /// As [`Client::create`].
    fn enqueue(self, client: &Client) -> impl Future<Output = Result<Enqueued, Error>> + Send
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
