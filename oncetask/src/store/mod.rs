//! Where tasks are kept: the [`Store`] trait, and the stores.
//!
//! A store is an atomic map from (environment, id) to [`Task`], with a queue in it. It decides nothing: what
//! an event does to a task is said by the functions of [`task::transition`](crate::task::transition), which
//! a store calls inside its atomic writes. What a store must keep true is written at each method, and proved
//! by the conformance suite of the package `tests`, which takes any store.

mod filter;
#[cfg(feature = "firestore")]
mod firestore;
mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;
mod url;
mod watch;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

pub use self::filter::{Cursor, Filter, Order, Page, Query};
#[cfg(feature = "firestore")]
pub use self::firestore::{FirestoreOptions, FirestoreStore, KeyClaims, Usage};
pub use self::memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use self::sqlite::{Durability, SqliteOptions, SqliteStore};
pub use self::url::{DEFAULT_ENV, StoreUrl, env_from_environment};
pub use self::watch::{Bell, Interest, Rung, Watch};

/// Doors to what reads stored tasks, for fuzzing. Not public API.
#[doc(hidden)]
pub mod __fuzz {
    #[cfg(feature = "firestore")]
    pub use super::firestore::fuzz::{document, document_of, name};
    #[cfg(feature = "sqlite")]
    pub use super::sqlite::fuzz::{COLUMNS, Value, row};
}

use crate::error::StoreError;
use crate::schedule::Recurrence;
use crate::task::transition::{Change, LeaseLost, Verdict};
use crate::task::{LeaseToken, Progress, Task, TaskId};

/// What a store answers, when it has.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps the tasks of one environment.
///
/// Each method takes many and answers for each, in the order asked. What concerns one task is atomic: either
/// all of it is stored or nothing. Across the tasks of one call nothing is promised, except where a method
/// says so.
///
/// # Errors
///
/// Every method fails with a [`StoreError`] whose `kind` says whether the same call may succeed later. After
/// an error a write may have been made or not: every method may be repeated, and recognises what it already
/// did.
///
/// # Cancel safety
///
/// A call whose future is dropped is made or not made, for each task wholly or not at all. Claims that it
/// took are then held by nobody and are free again when their leases end.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The store's address, for people.
    fn address(&self) -> &str;

    /// The environment whose tasks these are.
    fn env(&self) -> &str;

    /// Stores each task unless one with its id is stored already. What is answered as [`Insert::New`] is
    /// stored durably.
    fn create(&self, tasks: Vec<Task>) -> Answer<'_, Vec<Insert>>;

    /// The tasks with these ids; `None` where there is none in this environment.
    fn get(&self, ids: Vec<TaskId>) -> Answer<'_, Vec<Option<Task>>>;

    /// A page of the tasks that a filter lets through. Pages are stable: a task that exists all along is on
    /// exactly one of them, whatever is created or deleted meanwhile.
    fn query(&self, query: Query) -> Answer<'_, Page>;

    /// How many tasks a filter lets through at this instant.
    fn count(&self, filter: Filter, now: DateTime<Utc>) -> Answer<'_, u64>;

    /// The kinds of the tasks that are stored, in alphabetical order.
    fn kinds(&self) -> Answer<'_, Vec<String>>;

    /// Claims due tasks, the earliest due first and of those the oldest.
    ///
    /// Between processes a task is claimed once: of two claims one gets it. At any instant at most one claim
    /// of a (kind, resource key) is held, and a key that is held delays no task of another key. A claim need
    /// not be durable: one that is lost with the power is a lease that never was.
    fn claim(&self, request: ClaimRequest) -> Answer<'_, Claimed>;

    /// Whether a worker whose handlers are done in microseconds may claim a few milliseconds' work more than it
    /// has slots, which it gives back when it cannot begin it soon. So it pays where a claim is cheap and its
    /// round trip is not; unless a store says so, a worker claims for free slots only.
    fn may_claim_ahead(&self) -> bool {
        false
    }

    /// Extends claims and stores progress under them; see [`renew`](crate::task::transition::renew).
    fn renew(&self, renewals: Vec<Renewal>, now: DateTime<Utc>) -> Answer<'_, Vec<Renewed>>;

    /// Ends claims; see [`say`](crate::task::transition::say), for what the handler said last, and
    /// [`finish`](crate::task::transition::finish). The occurrences that a generator spawns
    /// are created in the same atomic write as its own advance, except those that exist already.
    ///
    /// What is answered as accepted is stored durably.
    fn finish(&self, finishes: Vec<Finish>, now: DateTime<Utc>) -> Answer<'_, Vec<Result<(), LeaseLost>>>;

    /// Cancels, resets or deletes tasks, or changes a generator's rule. An id that is given twice is changed
    /// once and answered twice, the second time as a second call would be.
    fn change(&self, ids: Vec<TaskId>, action: Action, now: DateTime<Utc>) -> Answer<'_, Vec<Change>>;

    /// Tells when it is worth looking again. A ring may come without a reason, but what happens in this
    /// process is told at once, and what happens in others as fast as the store can.
    fn watch(&self, interest: Interest) -> Watch;
}

/// What became of a task that was to be created.
#[derive(Clone, Debug, PartialEq)]
pub enum Insert {
    /// It is stored.
    New,
    /// A task with its id was stored before: this one, which is unchanged.
    Existing(Box<Task>),
    /// This store cannot hold it.
    Refused(String),
}

/// A worker's wish for work.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// The worker, for people who look.
    pub owner: Arc<str>,
    /// The worker's clock.
    pub now: DateTime<Utc>,
    /// What it has room for.
    pub wants: Vec<Want>,
}

/// Room for the tasks of one handler.
#[derive(Clone, Debug)]
pub struct Want {
    /// The names under which its tasks are stored.
    pub kinds: Vec<String>,
    /// How many claims at the most.
    pub claims: usize,
    /// How many tasks of one resource key a claim may hold. Tasks without a key, and those to be cleaned up
    /// after, are claimed alone.
    pub group: usize,
    /// How long the leases last from `now` on.
    pub lease: TimeDelta,
    /// Whether only generators are wanted: their turns call no handler, so that one whose room is full wants
    /// them still. `next_due` then says when the next generator is due, or earlier.
    pub generators_only: bool,
}

/// What a worker got.
#[derive(Clone, Debug, Default)]
pub struct Claimed {
    /// The claims.
    pub claims: Vec<Claim>,
    /// For each [`Want`] the instant at which a task that this call did not claim is due; at or before the
    /// request's `now` when there was, or may be, more than was asked for, or up to a few seconds later while a store
    /// leaves that to other processes, which are faster.
    pub next_due: Vec<Option<DateTime<Utc>>>,
}

/// One claim: a task, or a group of one resource key.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The place of the [`Want`] in the request.
    pub want: usize,
    /// The tasks, all of one phase, by due time. Each has a lease with a token of its own.
    pub tasks: Vec<ClaimedTask>,
}

/// One task of a claim.
#[derive(Clone, Debug)]
pub struct ClaimedTask {
    /// The task, as it is stored now.
    pub task: Task,
    /// Whether the attempt before ended without a word.
    pub silent: bool,
}

/// An extension of a claim.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// The task.
    pub id: TaskId,
    /// The claim.
    pub token: LeaseToken,
    /// The new end of the lease, if it is to be extended.
    pub until: Option<DateTime<Utc>>,
    /// How far the handler is, if it said so.
    pub progress: Option<Progress>,
}

/// What became of an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The claim holds.
    Held,
    /// The claim holds, and the task's cancellation was accepted.
    Cancelled,
    /// The claim is lost: the task is another worker's, or free, or done.
    Lost,
    /// The task was deleted.
    Gone,
}

/// The end of a claim.
#[derive(Clone, Debug)]
pub struct Finish {
    /// The task.
    pub id: TaskId,
    /// The claim.
    pub token: LeaseToken,
    /// What the worker says.
    pub verdict: Verdict,
    /// Whether the task's type has a cleanup handler.
    pub cleanup: bool,
    /// The occurrences to create, with [`Verdict::Advance`].
    pub spawn: Vec<Task>,
    /// How far the handler was, if it said so: stored in the same write.
    pub progress: Option<Progress>,
}

/// What is asked for from outside.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one a call, whatever the number of tasks"
)]
pub enum Action {
    /// See [`cancel`](crate::task::transition::cancel).
    Cancel,
    /// See [`reset`](crate::task::transition::reset).
    Reset,
    /// The task is removed, whatever it is doing.
    Delete,
    /// A generator that is not done goes on by this rule, from this instant.
    Follow {
        /// The rule.
        rule: Recurrence,
        /// Its next occurrence.
        next: DateTime<Utc>,
    },
}
