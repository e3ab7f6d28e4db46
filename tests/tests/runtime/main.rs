//! The runtime against real stores: what a worker makes of handlers, cancellations, leases, time and trouble.

mod ahead;
mod busy;
mod cancel;
mod clean_up;
mod crashes;
mod errors;
mod flaky;
mod generators;
mod groups;
mod leases;
mod logs;
mod progress;
mod results;
mod schedules;
mod shutdown;
mod signals;
mod start_up;
mod stop;
mod trouble;
mod unreadable;
mod wait;
mod world;

/// A test for each rule of a file on each store.
macro_rules! on_every_store {
    ($($rule:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                super::$rule($crate::world::World::memory()).await;
            })*
        }

        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                super::$rule($crate::world::World::sqlite().await).await;
            })*
        }
    };
}
use on_every_store;
