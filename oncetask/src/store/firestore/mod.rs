//! Tasks in Google Firestore, in documents that are shared with the Go library of the same name.
//!
//! # Layers
//!
//! Each file uses only the files of its own row and of the rows above it:
//!
//! | files | content |
//! | --- | --- |
//! | `runtime_thread`, `join_all` | the store's thread, on which all operations run |
//! | `proto`, `query`, `codec`, `queries` | the wire format: messages, queries, tasks as documents |
//! | `connection`, `rpc`, `retry`, `writer`, `usage` | requests: deadlines, retries, batches of writes, costs |
//! | `documents`, `claim_cache`, `settings` | the documents of one environment |
//! | `listen` | streams that report the changes of other processes |
//! | `claim` | claiming: windows of the queue, resource keys, contention |
//! | `operations`, `create`, `change`, `read`, `renew`, `finish`, `occurrences` | the store's operations |
//! | `options`, `error`, `connect` | opening a store |

mod change;
mod claim;
mod claim_cache;
mod codec;
mod connect;
mod connection;
mod create;
mod documents;
mod error;
mod finish;
pub(super) mod fuzz;
#[cfg(test)]
mod indexes;
mod join_all;
mod listen;
mod occurrences;
mod operations;
mod options;
mod proto;
mod queries;
mod query;
mod read;
mod renew;
mod retry;
mod rpc;
mod runtime_thread;
mod settings;
mod usage;
mod writer;

use std::future::Future;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use self::connect::{Connected, connect};
use self::documents::Documents;
use self::error::{DatabaseAddress, ErrorCause};
use self::operations::Operations;
pub use self::options::FirestoreOptions;
use self::retry::Failure;
use self::runtime_thread::RuntimeThread;
pub use self::settings::KeyClaims;
pub use self::usage::Usage;
use super::{
    Action, BoxFuture, ClaimRequest, ClaimResponse, Filter, Finish, Insert, Page, Query, Renewal, Renewed,
    Store, Subscription, Topic,
};
use crate::error::StoreError;
use crate::task::transition::{Change, LeaseLost};
use crate::task::{Task, TaskId};

/// A store in Google Firestore, in the documents that the Go library of the same name reads and writes.
///
/// The handle is cheap to clone. Clones share the connection, which runs on a thread of the store's own.
///
/// Every change is one conditional write, and there are no transactions. The chapter on Firestore describes the
/// costs, the requirements, and the differences from the embedded store.
#[derive(Clone, Debug)]
pub struct FirestoreStore {
    thread: Arc<RuntimeThread>,
    operations: Arc<Operations>,
    address: Arc<DatabaseAddress>,
}

impl FirestoreStore {
    /// Opens the default database of a project, in an environment.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] if the database cannot be reached or an option is invalid; see
    /// [`FirestoreOptions::open`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens nothing.
    pub async fn open(project: impl Into<String>, env: impl Into<String>) -> Result<Self, StoreError> {
        Self::options(project).open(env).await
    }

    /// Returns the options with which a database of this project is opened.
    pub fn options(project: impl Into<String>) -> FirestoreOptions {
        FirestoreOptions::new(project.into())
    }

    /// Returns a handle on another environment of the same database, on the same connection.
    #[must_use]
    pub fn in_env(&self, env: impl Into<String>) -> Self {
        let Documents {
            address,
            settings,
            rpc,
            writer,
            ..
        } = &*self.operations.documents;
        let documents = Documents::new(
            &env.into(),
            address,
            settings.clone(),
            rpc.clone(),
            writer.clone(),
        );
        Self {
            thread: self.thread.clone(),
            operations: Arc::new(Operations::new(documents)),
            address: self.address.clone(),
        }
    }

    /// Returns the numbers of documents and requests that all handles on this connection have used so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.operations.documents.rpc.meter.usage()
    }

    /// Returns whether a stream currently reports the changes that other processes make to the queue. This is false
    /// while there are no subscribers, while a backlog is worked off, and while the stream is being opened again.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.operations.listener.is_listening()
    }

    /// Runs an operation on the store's thread.
    fn run<T, F>(&self, operation: impl FnOnce(Arc<Operations>) -> F) -> BoxFuture<'_, T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let operation = operation(self.operations.clone());
        Box::pin(async move {
            match self.thread.run(operation).await {
                Ok(result) => result.map_err(|failure| self.address.error(ErrorCause::Request(failure))),
                Err(error) => Err(self.address.error(ErrorCause::Thread(error))),
            }
        })
    }
}

impl FirestoreOptions {
    /// Opens the store in an environment, and checks that the database answers.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] that says what is missing: the project, the database, credentials, a permission,
    /// or the emulator.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens nothing.
    pub async fn open(self, env: impl Into<String>) -> Result<FirestoreStore, StoreError> {
        let Connected {
            thread,
            documents,
            address,
        } = connect(self, env.into()).await?;
        Ok(FirestoreStore {
            thread: Arc::new(thread),
            operations: Arc::new(Operations::new(documents)),
            address: Arc::new(address),
        })
    }
}

impl Store for FirestoreStore {
    fn address(&self) -> &str {
        &self.operations.documents.address
    }

    fn env(&self) -> &str {
        &self.operations.documents.env
    }

    fn create(&self, tasks: Vec<Task>) -> BoxFuture<'_, Vec<Insert>> {
        self.run(|operations| async move { operations.create(tasks).await })
    }

    fn get(&self, ids: Vec<TaskId>) -> BoxFuture<'_, Vec<Option<Task>>> {
        self.run(|operations| async move { operations.get(ids).await })
    }

    fn query(&self, query: Query) -> BoxFuture<'_, Page> {
        self.run(|operations| async move { operations.page(query).await })
    }

    fn count(&self, filter: Filter, now: DateTime<Utc>) -> BoxFuture<'_, u64> {
        self.run(|operations| async move { operations.count(filter, now).await })
    }

    fn kinds(&self) -> BoxFuture<'_, Vec<String>> {
        self.run(|operations| async move { operations.kinds().await })
    }

    fn claim(&self, request: ClaimRequest) -> BoxFuture<'_, ClaimResponse> {
        self.run(|operations| operations.claims.clone().claim(request))
    }

    fn renew(&self, renewals: Vec<Renewal>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Renewed>> {
        self.run(|operations| operations.renew(renewals, now))
    }

    fn finish(&self, finishes: Vec<Finish>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Result<(), LeaseLost>>> {
        self.run(|operations| operations.finish(finishes, now))
    }

    fn change(&self, ids: Vec<TaskId>, action: Action, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Change>> {
        self.run(|operations| operations.change(ids, action, now))
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.operations.listener.subscribe(&self.thread, topic)
    }
}
