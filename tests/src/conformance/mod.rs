//! The conformance suite: checks the promises of the [`Store`] trait on any store.
//!
//! A store joins the suite with a [`Harness`], which opens handles on a fresh store, and one call:
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
//! The cases pass their own instants, which begin in the past, and do not sleep. A store must use the `now` that
//! it is given. [`cases`] returns the cases one by one, so that each can be a test.

mod cancel;
mod claim;
mod count;
mod create;
mod delete;
mod dropped;
mod environments;
mod finish;
mod get;
mod groups;
mod keys;
mod kinds;
mod many;
mod notifications;
mod pages;
mod query;
mod renew;
mod replace_rule;
mod reset;
mod round_trip;
mod spawn;
mod support;
mod takeover;

use std::pin::Pin;
use std::sync::Arc;

use oncetask::store::Store;

use self::support::Backend;

/// The future that opens a handle.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send + 'a>>;

/// A store that is empty when the harness is created, and deleted when the harness is dropped.
pub trait Harness: Send + Sync + 'static {
    /// Opens a handle on an environment, as another process would. If processes can share the store, the handle
    /// shares only the store itself with the handles opened before.
    ///
    /// # Panics
    ///
    /// Panics if the store cannot be opened.
    fn open<'a>(&'a self, env: &'a str) -> Opening<'a>;
}

/// A check of one promise.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The operation of the store: `claim`, `finish`, ...
    pub operation: &'static str,
    /// The promise.
    pub rule: &'static str,
    check: fn(Backend) -> CheckFuture,
}

type CheckFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Case {
    /// Returns the name, for example `claim::the_earliest_due_task_is_claimed_first`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}::{}", self.operation, self.rule)
    }

    /// Runs the case on a store.
    ///
    /// # Panics
    ///
    /// Panics if the store breaks the promise.
    pub async fn run(&self, harness: impl Harness) {
        (self.check)(Backend::new(Box::new(harness))).await;
    }
}

/// Returns every case.
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
        replace_rule::CASES,
        notifications::CASES,
        environments::CASES,
        round_trip::CASES,
        many::CASES,
        dropped::CASES,
    ]
    .concat()
}

/// Runs every case, each on a fresh store.
///
/// # Panics
///
/// Panics if a case fails. The message names all failed cases.
pub async fn run<H: Harness>(fresh: impl Fn() -> H) {
    let mut failed = Vec::new();
    for case in cases() {
        let harness = fresh();
        let result = tokio::spawn(async move { case.run(harness).await });
        if result.await.is_err() {
            failed.push(case.name());
        }
    }
    assert!(failed.is_empty(), "the store fails {}", failed.join(", "));
}

/// Lists the cases of a module. The compiler reports a case that is not listed as unused.
macro_rules! list_cases {
    ($operation:literal: $($rule:ident),* $(,)?) => {
        pub(super) const CASES: &[$crate::conformance::Case] = &[$($crate::conformance::Case {
            operation: $operation,
            rule: stringify!($rule),
            check: |backend| Box::pin($rule(backend)),
        }),*];
    };
}
use list_cases;
