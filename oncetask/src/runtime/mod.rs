//! What carries stored tasks to their ends: one module for each moving part.
//!
//! ```text
//!  store ──claims──▶ dispatch ──lanes, a call each──▶ execute ──verdicts──▶ complete ──▶ store
//!                       ▲                               │  ▲
//!                       └──────── a slot is free ───────┘  └── stop ── lease (a thread of its own) ──renewals──▶ store
//! ```

mod builder;
mod call;
mod complete;
mod dispatch;
mod drive;
mod execute;
mod lanes;
mod latch;
mod lease;
pub(crate) mod panics;
mod recur;
mod room;
mod shutdown;
mod start;
mod stretch;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

pub use self::builder::{WorkerBuilder, builder, run};
use self::complete::Completer;
use self::drive::Drive;
use self::latch::Latch;
pub(crate) use self::lease::Held;
use self::lease::Keeper;
pub use self::shutdown::Worker;
use crate::client::Client;
use crate::handler::States;
use crate::registry::Runnable;

/// What the parts of one worker share.
struct Engine {
    client: Client,
    states: Arc<States>,
    runnables: Vec<Runnable>,
    /// The worker's name in the leases that it holds.
    owner: Arc<str>,
    /// How long a lease is stored for at a time.
    heartbeat: Duration,
    drive: Drive,
    keeper: Keeper,
    completer: Completer,
    /// No new claims.
    draining: Latch,
    /// Handlers that still run are dropped and their claims given back.
    giving_back: Latch,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.keeper.close();
    }
}
