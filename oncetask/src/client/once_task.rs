//! The traits of a task type. They are part of the client, because a task enqueues itself with a client and a
//! client creates tasks of every such type.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Client, Enqueued};
use crate::error::Error;
use crate::schedule::Schedule;
use crate::task::{ResourceKey, TaskId};

/// A type of background work: its payload, its identity and its schedule.
///
/// [`#[derive(OnceTask)]`](derive@crate::OnceTask) implements every method from the attributes.
///
/// # Implementing it by hand
///
/// An enum, a generic type or a crate without macros can implement the trait by hand. A worker discovers
/// derived types only. [`WorkerBuilder::handler`](crate::WorkerBuilder::handler) adds the handler of any
/// other type.
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
///             // The same id as from `#[id("mail:{to}:{subject:hash}")]`.
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
///                 let daily = Recurrence::new("FREQ=DAILY;BYHOUR=9").expect("the rule is valid");
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
    /// The name under which tasks of this type are stored. No two types may share a name.
    const KIND: &'static str;

    /// The names under which tasks of this type were stored earlier. Workers claim those tasks too.
    const ALIASES: &'static [&'static str] = &[];

    /// Returns the idempotency key. Two tasks with the same id are the same task.
    ///
    /// [`IdBuilder`](crate::task::IdBuilder) builds ids in which distinct values never give the same text.
    fn id(&self) -> TaskId;

    /// Returns the key of the resource that the task works on. Tasks of one kind and key never run at the
    /// same time.
    fn resource_key(&self) -> Option<ResourceKey> {
        None
    }

    /// Returns the schedule of the task.
    fn schedule(&self) -> Schedule {
        Schedule::Now
    }

    /// Stores the task unless a task with the same id is already stored; see [`Client::create`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Client::create`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the task is either stored or not. Enqueueing it again tells which.
    fn enqueue(self, client: &Client) -> impl Future<Output = Result<Enqueued, Error>> + Send
    where
        Self: Sized,
    {
        client.create(self)
    }
}

/// A type that can be stored as the payload of a task: every type that implements `Serialize` and
/// `Deserialize`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored as the payload of a task",
    label = "does not implement `Serialize` and `Deserialize`",
    note = "derive both: `#[derive(Serialize, Deserialize, OnceTask)]`"
)]
pub trait Payload: Serialize + DeserializeOwned + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Payload for T {}
