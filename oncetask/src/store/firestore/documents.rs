//! The task documents of one environment: the lowest layer of a store's operations.
//!
//! Each layer uses only the layers before it: `Documents`, then `Listener`, then `Claims`, then `Operations`.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::claim_cache::ClaimCache;
use super::codec::{Marks, Names, Stored, Undecodable, changes, decode, encode};
use super::proto::{Code, Precondition, patch, pb, put};
use super::query::DocumentQuery;
use super::retry::Failure;
use super::rpc::Rpc;
use super::settings::Settings;
use super::writer::{WriteOutcome, Writer};
use crate::store::Notifier;
use crate::task::{Task, TaskId};

/// The maximum number of documents that one request reads.
const MAX_DOCUMENTS_PER_READ: usize = 300;
/// The maximum number of damaged documents that are remembered, so that each is logged once.
const MAX_REPORTED: usize = 1000;

/// The documents of one environment, and the state that all layers share.
#[derive(Debug)]
pub(super) struct Documents {
    pub(super) env: String,
    pub(super) address: String,
    pub(super) settings: Settings,
    pub(super) rpc: Arc<Rpc>,
    pub(super) writer: Arc<Writer>,
    pub(super) notifier: Notifier,
    pub(super) claim_cache: ClaimCache,
    names: Names,
    /// The names of the damaged documents that were logged.
    reported: Mutex<HashSet<String>>,
}

impl Documents {
    pub(super) fn new(
        env: &str,
        address: &str,
        settings: Settings,
        rpc: Arc<Rpc>,
        writer: Arc<Writer>,
    ) -> Self {
        Self {
            env: env.to_owned(),
            address: address.to_owned(),
            names: Names::new(env, settings.shared_ids),
            settings,
            rpc,
            writer,
            notifier: Notifier::default(),
            claim_cache: ClaimCache::default(),
            reported: Mutex::default(),
        }
    }

    /// Returns the full name of a task's document.
    ///
    /// # Errors
    ///
    /// Returns the reason if the id cannot be part of a document's name.
    pub(super) fn name(&self, id: &TaskId) -> Result<String, String> {
        let name = self.names.of(id)?;
        Ok(format!(
            "{}/{}/{name}",
            self.rpc.documents(),
            self.settings.collection
        ))
    }

    /// Runs a query. Returns the documents in the query's order.
    pub(super) async fn query(&self, query: &DocumentQuery) -> Result<Vec<pb::Document>, Failure> {
        let documents = self.rpc.query(&query.to_proto(&self.settings.collection)).await;
        documents.map_err(|failure| self.explain_missing_index(failure, query))
    }

    /// Runs a query. Returns the tasks in the query's order, and the number of documents read: damaged documents
    /// are counted, but left out of the tasks.
    pub(super) async fn query_tasks(&self, query: &DocumentQuery) -> Result<(Vec<Stored>, usize), Failure> {
        let documents = self.query(query).await?;
        let read = documents.len();
        let tasks = documents
            .into_iter()
            .filter_map(|document| self.decode_or_warn(document))
            .collect();
        Ok((tasks, read))
    }

    /// Counts the documents that a query finds.
    pub(super) async fn count(&self, query: &DocumentQuery) -> Result<u64, Failure> {
        let count = self.rpc.count(&query.to_proto(&self.settings.collection)).await;
        count.map_err(|failure| self.explain_missing_index(failure, query))
    }

    /// Reads the documents with these names. Returns those that exist, by name; a damaged document is returned
    /// as the reason why it cannot be decoded.
    pub(super) async fn read(
        &self,
        names: &[String],
    ) -> Result<HashMap<String, Result<Stored, Undecodable>>, Failure> {
        let mut read = HashMap::new();
        for names in names.chunks(MAX_DOCUMENTS_PER_READ) {
            let documents = self.rpc.get(names).await?;
            read.extend(
                documents
                    .into_iter()
                    .map(|document| (document.name.clone(), decode(document))),
            );
        }
        Ok(read)
    }

    /// Reads the document with this name. Returns `None` unless it contains a task of this environment.
    pub(super) async fn read_one(&self, name: &str) -> Result<Option<Stored>, Failure> {
        let mut read = self.read(std::slice::from_ref(&name.to_owned())).await?;
        Ok(read
            .remove(name)
            .and_then(|stored| self.in_this_env(name, stored)))
    }

    /// Returns the stored task if it belongs to this environment. A damaged document is logged.
    pub(super) fn in_this_env(&self, name: &str, stored: Result<Stored, Undecodable>) -> Option<Stored> {
        match stored {
            Ok(stored) => (stored.env == self.env).then_some(stored),
            Err(reason) => {
                self.warn_once(name, &reason);
                None
            }
        }
    }

    /// Returns the task in a document. A damaged document is logged.
    pub(super) fn decode_or_warn(&self, document: pb::Document) -> Option<Stored> {
        let name = document.name.clone();
        match decode(document) {
            Ok(stored) => Some(stored),
            Err(reason) => {
                self.warn_once(&name, &reason);
                None
            }
        }
    }

    fn warn_once(&self, name: &str, reason: &Undecodable) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() > MAX_REPORTED {
            reported.clear();
        }
        if reported.insert(name.to_owned()) {
            tracing::warn!(
                document = name,
                "skipped a document that cannot be decoded as a task: {reason}"
            );
        }
    }

    /// Returns the write that creates a task's document.
    pub(super) fn creation_of(&self, name: String, task: &Task, marks: &Marks) -> pb::Write {
        put(name, encode(task, &self.env, marks), Precondition::Absent)
    }

    /// Makes one write.
    pub(super) async fn write_one(&self, write: pb::Write) -> WriteOutcome {
        let mut outcomes = self.writer.write(vec![write]).await;
        outcomes.pop().expect("one outcome for one write")
    }

    /// Adds to the error of a query the index that is missing and the commands that create it. Returns any other
    /// error unchanged.
    pub(super) fn explain_missing_index(&self, mut failure: Failure, query: &DocumentQuery) -> Failure {
        let Some(index) = query
            .required_index()
            .filter(|_| failure.code == Code::FailedPrecondition)
        else {
            return failure;
        };
        let mut parts = self.rpc.database().split('/');
        let (project, database) = (parts.nth(1).unwrap_or_default(), parts.nth(1).unwrap_or_default());
        let command = index.command(&self.settings.collection, project, database);
        failure.message = format!(
            "an index is missing: {}; deploy all indexes of oncetask with `firebase deploy --only \
             firestore:indexes` and its file `firestore.indexes.json`, or only this one with `{command}`",
            failure.message
        );
        failure
    }
}

/// Returns the write that changes a stored task. Firestore refuses it if the document was written since it was
/// read.
pub(super) fn update(from: &Stored, to: &Task, marks: &Marks) -> pb::Write {
    let before = encode(&from.task, &from.env, &from.marks);
    let (fields, mask) = changes(&before, encode(to, &from.env, marks));
    patch(
        from.name.clone(),
        fields,
        mask,
        Precondition::Unchanged(from.update_time),
    )
}
