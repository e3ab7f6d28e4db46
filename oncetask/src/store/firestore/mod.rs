//! Tasks in Google Firestore: documents that are shared with the Go library of the same name.

mod change;
mod claim;
mod codec;
mod connect;
mod connection;
mod create;
mod errors;
mod find;
mod finish;
pub(super) mod fuzz;
mod held;
#[cfg(test)]
mod indexes;
mod inner;
mod join;
mod link;
mod listen;
mod options;
mod proto;
mod queries;
mod read;
mod renew;
mod retry;
mod rpc;
mod spawn;
mod usage;
mod writer;

use std::future::Future;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use self::errors::{Place, Trouble};
use self::inner::Inner;
use self::link::Link;
pub use self::options::{FirestoreOptions, KeyClaims};
use self::retry::Failure;
pub use self::usage::Usage;
use super::{
    Action, BoxFuture, ClaimRequest, ClaimResponse, Filter, Finish, Insert, Page, Query, Renewal, Renewed,
    Store, Subscription, Topic,
};
use crate::error::StoreError;
use crate::task::transition::{Change, LeaseLost};
use crate::task::{Task, TaskId};

/// Keeps tasks in Google Firestore, in the documents that the Go library of the same name reads and writes.
/// Cheap to clone; clones share the connection, which lives on a thread of the store's own.
///
/// Every change is one conditional write, and there are no transactions: see the chapter on Firestore for
/// what it costs, what it needs, and what differs from the embedded store.
#[derive(Clone, Debug)]
pub struct FirestoreStore {
    link: Arc<Link>,
    inner: Arc<Inner>,
    place: Arc<Place>,
}

impl FirestoreStore {
    /// Opens the default database of a project, in an environment.
    ///
    /// # Errors
    ///
    /// As [`FirestoreOptions::open`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens nothing.
    pub async fn open(project: impl Into<String>, env: impl Into<String>) -> Result<Self, StoreError> {
        Self::options(project).open(env).await
    }

    /// Says how to open a database of this project.
    pub fn options(project: impl Into<String>) -> FirestoreOptions {
        FirestoreOptions::new(project.into())
    }

    /// Another environment of the same database, on the same connection.
    #[must_use]
    pub fn in_env(&self, env: impl Into<String>) -> Self {
        let Inner {
            address,
            settings,
            rpc,
            writer,
            ..
        } = &*self.inner;
        let inner = Inner::new(
            &env.into(),
            address,
            settings.clone(),
            rpc.clone(),
            writer.clone(),
        );
        Self {
            link: self.link.clone(),
            inner: Arc::new(inner),
            place: self.place.clone(),
        }
    }

    /// What was asked of Firestore so far over this connection: what it cost.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.inner.rpc.meter.usage()
    }

    /// Whether this store hears of what other processes do with the queue, at this moment. False while nobody
    /// waits, while a backlog is worked off, and while the listener is being opened again.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.inner.ears.are_open()
    }

    /// Runs an operation on the store's thread.
    fn run<T, F>(&self, operation: impl FnOnce(Arc<Inner>) -> F) -> BoxFuture<'_, T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let operation = operation(self.inner.clone());
        Box::pin(async move {
            match self.link.run(operation).await {
                Ok(answer) => answer.map_err(|failure| self.place.error(Trouble::Request(failure))),
                Err(broken) => Err(self.place.error(Trouble::Broken(broken))),
            }
        })
    }
}

impl Store for FirestoreStore {
    fn address(&self) -> &str {
        &self.inner.address
    }

    fn env(&self) -> &str {
        &self.inner.env
    }

    fn create(&self, tasks: Vec<Task>) -> BoxFuture<'_, Vec<Insert>> {
        self.run(|inner| async move { inner.create(tasks).await })
    }

    fn get(&self, ids: Vec<TaskId>) -> BoxFuture<'_, Vec<Option<Task>>> {
        self.run(|inner| async move { inner.get(ids).await })
    }

    fn query(&self, query: Query) -> BoxFuture<'_, Page> {
        self.run(|inner| async move { inner.page(query).await })
    }

    fn count(&self, filter: Filter, now: DateTime<Utc>) -> BoxFuture<'_, u64> {
        self.run(|inner| async move { inner.count(filter, now).await })
    }

    fn kinds(&self) -> BoxFuture<'_, Vec<String>> {
        self.run(|inner| async move { inner.kinds().await })
    }

    fn claim(&self, request: ClaimRequest) -> BoxFuture<'_, ClaimResponse> {
        self.run(|inner| inner.claim(request))
    }

    fn renew(&self, renewals: Vec<Renewal>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Renewed>> {
        self.run(|inner| inner.renew(renewals, now))
    }

    fn finish(&self, finishes: Vec<Finish>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Result<(), LeaseLost>>> {
        self.run(|inner| inner.finish(finishes, now))
    }

    fn change(&self, ids: Vec<TaskId>, action: Action, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Change>> {
        self.run(|inner| inner.change(ids, action, now))
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        listen::watch(&self.inner, &self.link, topic)
    }
}
