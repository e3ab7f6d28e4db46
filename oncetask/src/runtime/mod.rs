//! The runtime: claims stored tasks, calls their handlers and stores the verdicts.
//!
//! ```text
//!  store ──claims──▶ dispatch ──prefetch buffer──▶ execute ──▶ call ──verdicts──▶ complete ──▶ store
//!                       ▲                             │          ▲
//!                       └─────── a slot is free ──────┘          └── stop ── lease (its own thread) ──renewals──▶ store
//! ```
//!
//! Each module uses only modules below it in this list:
//!
//! | module | content |
//! | --- | --- |
//! | `start` | the start of a worker, and `run` |
//! | `shutdown`, `builder` | the end of a worker, signals; its configuration |
//! | `dispatch` | claims for all handlers |
//! | `handler_queue` | the dispatcher's state for one handler |
//! | `prefetch` | the buffer of claimed tasks of one handler, and the loop of a slot |
//! | `execute` | one claim, from the assignment to the verdicts |
//! | `call` | one call of a handler |
//! | `engine`, `verdict` | the state that all parts share; from an outcome to a verdict |
//! | `complete` | the writes of verdicts |

mod builder;
mod call;
mod complete;
mod dispatch;
mod engine;
mod execute;
mod handler_queue;
mod prefetch;
mod shutdown;
mod start;
mod verdict;

pub use self::builder::{WorkerBuilder, builder};
pub use self::shutdown::Worker;
pub use self::start::run;
