//! The [`Store`] trait and the stores: in memory, on SQLite and on Firestore.
//!
//! A store is an atomic map from (environment, id) to [`Task`] that also holds the queue. It makes no decision
//! about a task: the functions of [`task::transition`](crate::task::transition) decide what an event does, and a
//! store calls them inside its atomic writes. The documentation of each method states what a store must
//! guarantee. The conformance suite in the package `tests` checks those guarantees on every store.

mod change;
mod claim;
mod filter;
#[cfg(feature = "firestore")]
mod firestore;
mod memory;
mod notifier;
#[cfg(feature = "sqlite")]
mod sqlite;
mod url;

use std::fmt;
use std::pin::Pin;

use chrono::{DateTime, Utc};

pub use self::change::{Action, Finish, Insert, Renewal, Renewed};
pub use self::claim::{Claim, ClaimRequest, ClaimResponse, ClaimedTask, Demand};
pub use self::filter::{Cursor, Filter, Order, Page, Query};
#[cfg(feature = "firestore")]
pub use self::firestore::{FirestoreOptions, FirestoreStore, KeyClaims, Usage};
pub use self::memory::MemoryStore;
pub use self::notifier::{Notifier, Subscription, Topic, Wakeup};
#[cfg(feature = "sqlite")]
pub use self::sqlite::{Durability, SqliteOptions, SqliteStore};
pub use self::url::{DEFAULT_ENV, StoreUrl, env_from_environment};

/// Entry points for fuzzing the code that reads stored tasks. Not public API.
#[doc(hidden)]
pub mod __fuzz {
    #[cfg(feature = "firestore")]
    pub use super::firestore::fuzz::{document, document_of, name};
    #[cfg(feature = "sqlite")]
    pub use super::sqlite::fuzz::{COLUMNS, Value, row};
}

use crate::error::StoreError;
use crate::task::transition::{Change, LeaseLost};
use crate::task::{Task, TaskId};

/// The boxed future that every method of a [`Store`] returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A store of the tasks of one environment.
///
/// Each method takes many items and returns one result for each, in the order given. The change to one task is
/// atomic: it is stored completely or not at all. A call gives no guarantee across its tasks unless the method
/// says so.
///
/// # Errors
///
/// Every method fails with a [`StoreError`]. Its [`kind`](StoreError::kind) tells whether the same call may
/// succeed later. After an error a write may or may not have been made. Every method may therefore be repeated,
/// and recognises its own earlier success.
///
/// # Cancel safety
///
/// If the future of a call is dropped, the change to each task is either stored completely or not at all. Tasks
/// that such a call claimed have no worker, and can be claimed again when their leases expire.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Returns the store's address, for display.
    fn address(&self) -> &str;

    /// Returns the environment whose tasks this store holds.
    fn env(&self) -> &str;

    /// Stores each task unless a task with its id already exists. If the result is [`Insert::New`], the task is
    /// stored durably.
    fn create(&self, tasks: Vec<Task>) -> BoxFuture<'_, Vec<Insert>>;

    /// Returns the tasks with these ids; `None` for an id that does not exist in this environment.
    fn get(&self, ids: Vec<TaskId>) -> BoxFuture<'_, Vec<Option<Task>>>;

    /// Returns one page of the tasks that match a filter. Pages are stable: a task that exists during the whole
    /// listing is on exactly one page, even if other tasks are created or deleted in the meantime.
    fn query(&self, query: Query) -> BoxFuture<'_, Page>;

    /// Counts the tasks that match a filter at this instant.
    fn count(&self, filter: Filter, now: DateTime<Utc>) -> BoxFuture<'_, u64>;

    /// Returns the kinds of the stored tasks in alphabetical order.
    fn kinds(&self) -> BoxFuture<'_, Vec<String>>;

    /// Claims due tasks in the order of the queue: the earliest due time first, and the oldest task
    /// first among those with the same due time.
    ///
    /// If several processes claim at once, exactly one of them gets a task. At any instant at most one claim of
    /// a (kind, resource key) is active, and a claimed key delays no task of another key. A claim need not
    /// be durable: a claim that is lost in a power failure has the same effect as a lease that was never taken.
    fn claim(&self, request: ClaimRequest) -> BoxFuture<'_, ClaimResponse>;

    /// Returns whether a worker may prefetch: claim a few milliseconds of work beyond its free slots when its
    /// handlers end within microseconds. Prefetched tasks that cannot start soon are released. Prefetching pays
    /// where a claim is cheap compared with its round trip. By default a worker claims for free slots only.
    fn may_prefetch(&self) -> bool {
        false
    }

    /// Extends claims and stores their progress; see [`renew`](crate::task::transition::renew).
    fn renew(&self, renewals: Vec<Renewal>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Renewed>>;

    /// Ends claims. Stores the last progress with [`set_progress`](crate::task::transition::set_progress), then
    /// applies the verdict with [`finish`](crate::task::transition::finish). The occurrences of a generator are
    /// created in the same atomic write as the generator's own advance; those that already exist are kept.
    ///
    /// If the result is `Ok`, the finish is stored durably.
    fn finish(&self, finishes: Vec<Finish>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Result<(), LeaseLost>>>;

    /// Cancels, resets or deletes tasks, or replaces a generator's rule. An id that is given twice is changed
    /// once. Its second result is the one that a second call would have returned.
    fn change(&self, ids: Vec<TaskId>, action: Action, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Change>>;

    /// Subscribes to the events of a topic. A wake-up may come without a reason. An event of this process wakes
    /// its subscribers at once; an event of another process wakes them as soon as the store learns of it.
    fn subscribe(&self, topic: Topic) -> Subscription;
}
