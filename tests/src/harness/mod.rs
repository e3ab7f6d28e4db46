//! The harness of the integration tests: a store for each test, workers on it, tasks, handlers that report to
//! the test, and bounded waits.
//!
//! A test takes a [`Fixture`]: a fresh store and a client on it. [`on_every_store!`](crate::on_every_store) runs
//! a test on the memory store and on the SQLite store. Tests of the Firestore store open a [`firestore::Project`].

pub mod claims;
pub mod firestore;
mod fixture;
mod handlers;
mod reports;
mod tasks;
pub mod wait;

pub use self::fixture::{Fixture, HEARTBEAT, builder, start, with_short_leases};
pub use self::handlers::{
    attempts, gated_handler, name_reporting_handler, retry_at_once, stop_reporting_handler,
};
pub use self::reports::{DropReporter, Gate, Reporter, Reports, reports};
pub use self::tasks::{Chime, Other, Work, other, work};

/// Runs each of these `async fn(Fixture)` as one test on the memory store and one on the SQLite store.
#[macro_export]
macro_rules! on_every_store {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::harness::Fixture::memory()).await;
            })*
        }

        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::harness::Fixture::sqlite().await).await;
            })*
        }
    };
}
