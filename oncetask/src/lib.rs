//! Background tasks that are created once, survive crashes, and are carried to one accepted completion.
//!
//! A task is a struct. [`#[derive(OnceTask)]`](derive@OnceTask) gives it an id, a schedule and a handler. A
//! [`Client`] creates tasks in a store: a SQLite file, Firestore or memory. [`run`] starts a worker, which carries
//! every stored task to its end.
//!
//! ```no_run
//! use oncetask::{Client, OnceTask};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, OnceTask)]
//! #[id("welcome:{email}")]
//! #[handler(retry = exponential(max_attempts = 5, base = "1s"), concurrency = 3)]
//! struct Welcome { email: String }
//!
//! impl Welcome {
//!     async fn run(self) -> oncetask::Result {
//!         println!("welcome, {}", self.email);
//!         Ok(())
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), oncetask::Error> {
//!     let client = Client::connect().await?;
//!     Welcome { email: "ada@example.com".into() }.enqueue(&client).await?;
//!     oncetask::run().await
//! }
//! ```
//!
//! # The promise
//!
//! Each id is *created* once. Its handler runs *at least once*. At most one completion is *accepted*. Tasks of
//! one kind and resource key never run at the same time. This holds on every store.
//!
//! # Where to go next
//!
//! | topic | item |
//! | --- | --- |
//! | every attribute of a task | [`derive@OnceTask`] |
//! | the parameters and the result of a handler | [`handler`] |
//! | creating, finding, cancelling and waiting | [`Client`] |
//! | starting and stopping a worker | [`WorkerBuilder`], [`Worker`] |
//! | the chapters: retries, recurring tasks, resource keys, cancellation, operating, the stores | [`guide`] |
//! | a store of your own | [`store::Store`] |
//!
//! # Features
//!
//! | feature | default | effect |
//! | --- | --- | --- |
//! | `sqlite` | yes | the store in one SQLite file |
//! | `firestore` | no | the store in Google Firestore |

#![cfg_attr(docsrs, feature(doc_cfg))]

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
#[doc(inline)]
pub use crate::handler::{
    Attempt, Context, Handler, HandlerConfig, HandlerError, Location, Outcome, Result, ResultExt, Retry,
    Signal, State,
};
pub use crate::registry::TaskType;
pub use crate::runtime::{Worker, WorkerBuilder, builder, run};
#[doc(inline)]
pub use crate::schedule::{Gap, Missed, Overlap, Recurrence, RecurrenceError, Schedule, Zone, preview};
#[doc(inline)]
pub use crate::store::{Cursor, Filter, Order};
#[doc(inline)]
pub use crate::task::transition::Change;
#[doc(inline)]
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

/// Compiles the examples of the repository's README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
