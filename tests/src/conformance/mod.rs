//! The conformance suite: what the [`Store`] trait promises, proved on any store.
//!
//! A store of your own joins by a [`Harness`], which opens handles on a fresh store, and one call:
//!
//! ```
//! use std::sync::Arc;
//! use oncetask::store::{MemoryStore, Store};
//! use tests::conformance::{self, Harness, Opening};
//!
//! struct Memory(MemoryStore);
//!
//! impl Harness for Memory {
//!     fn open<'a>(&'a self, env: &'a str) -> Opening<'a> {
//!         Box::pin(async move { Arc::new(self.0.in_env(env)) as Arc<dyn Store> })
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
//! conformance::run(|| Memory(MemoryStore::new("any"))).await;
//! # });
//! ```
//!
//! The suite tells the time itself, from an instant in the past on, and never sleeps: a store must believe
//! the `now` that it is given. [`cases`] lists the cases one by one, for a test each.

mod cancel;
mod claim;
mod count;
mod create;
mod delete;
mod dropped;
mod environments;
mod finish;
mod follow;
mod get;
mod groups;
mod keys;
mod kinds;
mod many;
mod pages;
mod query;
mod renew;
mod reset;
mod round_trip;
mod scene;
mod spawn;
mod takeover;
mod watch;

use std::pin::Pin;
use std::sync::Arc;

use oncetask::store::Store;

use self::scene::Scene;

/// A handle, when it is open.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send + 'a>>;

/// A store that was empty when the harness was made, and is gone when the harness is dropped.
pub trait Harness: Send + Sync + 'static {
    /// A new handle on an environment, as another process would have it: nothing but the store itself is
    /// shared with the handles opened before, if the store can be shared by processes.
    ///
    /// # Panics
    ///
    /// When the store cannot be opened.
    fn open<'a>(&'a self, env: &'a str) -> Opening<'a>;
}

/// One thing that a store must keep true.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What is asked of the store: `claim`, `finish`, ...
    pub operation: &'static str,
    /// What must be true.
    pub rule: &'static str,
    play: fn(Scene) -> Play,
}

type Play = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Case {
    /// The name: `claim::the_earliest_due_goes_first`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}::{}", self.operation, self.rule)
    }

    /// Plays the case on a store.
    ///
    /// # Panics
    ///
    /// When the store does not do what it must.
    pub async fn run(&self, harness: impl Harness) {
        (self.play)(Scene::new(Box::new(harness))).await;
    }
}

/// Every case.
#[must_use]
pub fn cases() -> Vec<Case> {
    [
        create::CASES,
        get::CASES,
        query::CASES,
        pages::CASES,
        count::CASES,
        kinds::CASES,
        claim::CASES,
        takeover::CASES,
        keys::CASES,
        groups::CASES,
        renew::CASES,
        finish::CASES,
        spawn::CASES,
        cancel::CASES,
        reset::CASES,
        delete::CASES,
        follow::CASES,
        watch::CASES,
        environments::CASES,
        round_trip::CASES,
        many::CASES,
        dropped::CASES,
    ]
    .concat()
}

/// Plays every case, each on a store of its own.
///
/// # Panics
///
/// When any of them fails: with the names of all that did, after the message of each.
pub async fn run<H: Harness>(fresh: impl Fn() -> H) {
    let mut failed = Vec::new();
    for case in cases() {
        let harness = fresh();
        let played = tokio::spawn(async move { case.run(harness).await });
        if played.await.is_err() {
            failed.push(case.name());
        }
    }
    assert!(failed.is_empty(), "the store fails {}", failed.join(", "));
}

/// Lists the cases of a file. One that is not listed is unused, and the compiler says so.
macro_rules! rules {
    ($operation:literal: $($rule:ident),* $(,)?) => {
        pub(super) const CASES: &[$crate::conformance::Case] = &[$($crate::conformance::Case {
            operation: $operation,
            rule: stringify!($rule),
            play: |scene| Box::pin($rule(scene)),
        }),*];
    };
}
use rules;
