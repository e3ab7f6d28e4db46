//! What the Go library of the same name pins by its integration tests, on every store: a test for each.
//! Where we differ on purpose, a comment says so.

mod cancel;
mod create;
mod find;
mod handlers;
mod keys;
mod recurrence;
mod reset;
mod retry;
mod schedule;
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
