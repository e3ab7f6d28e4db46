//! One environment of a store: what its operations share.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::claim::ClaimState;
use super::codec::{Marks, Names, Stored, Undecodable, changes, decode, encode};
use super::find::Find;
use super::held::Held;
use super::listen::Ears;
use super::options::Settings;
use super::proto::{If, patch, pb, put};
use super::retry::Failure;
use super::rpc::Rpc;
use super::writer::Writer;
use crate::store::Notifier;
use crate::task::{Task, TaskId};

/// How many documents one request reads.
const MAX_GET: usize = 300;
/// Of how many documents it is remembered that they are no tasks.
const MAX_WARNED: usize = 1000;

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) env: String,
    pub(super) address: String,
    pub(super) settings: Settings,
    pub(super) names: Names,
    pub(super) rpc: Arc<Rpc>,
    pub(super) writer: Arc<Writer>,
    pub(super) notifier: Notifier,
    pub(super) held: Held,
    pub(super) claims: ClaimState,
    pub(super) ears: Ears,
    /// The documents of which somebody was warned.
    warned: Mutex<HashSet<String>>,
}

impl Inner {
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
            held: Held::default(),
            claims: ClaimState::default(),
            ears: Ears::default(),
            warned: Mutex::default(),
        }
    }

    /// The whole name of a task's document.
    pub(super) fn name(&self, id: &TaskId) -> Result<String, String> {
        let name = self.names.of(id)?;
        Ok(format!(
            "{}/{}/{name}",
            self.rpc.documents(),
            self.settings.collection
        ))
    }

    /// The tasks that a query finds, in its order, and how many documents it found. A document that is no
    /// task is left out.
    pub(super) async fn find(&self, find: &Find) -> Result<(Vec<Stored>, usize), Failure> {
        let documents = self.documents(find).await?;
        let found = documents.len();
        Ok((
            documents
                .into_iter()
                .filter_map(|document| self.readable(document))
                .collect(),
            found,
        ))
    }

    pub(super) async fn documents(&self, find: &Find) -> Result<Vec<pb::Document>, Failure> {
        let query = find.of(&self.settings.collection);
        let documents = self.rpc.query(&query).await;
        documents.map_err(|failure| self.with_index(failure, find))
    }

    /// The documents of these names, by name. What is no task is told why.
    pub(super) async fn read(
        &self,
        names: &[String],
    ) -> Result<HashMap<String, Result<Stored, Undecodable>>, Failure> {
        let mut read = HashMap::new();
        for names in names.chunks(MAX_GET) {
            let documents = self.rpc.get(names).await?;
            read.extend(
                documents
                    .into_iter()
                    .map(|document| (document.name.clone(), decode(document))),
            );
        }
        Ok(read)
    }

    /// The document of this name, if it is a task of this environment.
    pub(super) async fn read_one(&self, name: &str) -> Result<Option<Stored>, Failure> {
        let mut read = self.read(std::slice::from_ref(&name.to_owned())).await?;
        Ok(read.remove(name).and_then(|stored| self.ours(name, stored)))
    }

    /// A document that is a task of this environment.
    pub(super) fn ours(&self, name: &str, stored: Result<Stored, Undecodable>) -> Option<Stored> {
        match stored {
            Ok(stored) => (stored.env == self.env).then_some(stored),
            Err(why) => {
                self.warn_of(name, &why);
                None
            }
        }
    }

    /// The write that creates a task's document.
    pub(super) fn creation(&self, name: String, task: &Task, marks: &Marks) -> pb::Write {
        put(name, encode(task, &self.env, marks), If::Absent)
    }

    /// The task in a document, or none and a warning.
    pub(super) fn readable(&self, document: pb::Document) -> Option<Stored> {
        let name = document.name.clone();
        match decode(document) {
            Ok(stored) => Some(stored),
            Err(why) => {
                self.warn_of(&name, &why);
                None
            }
        }
    }

    /// Warns of a document, once.
    fn warn_of(&self, name: &str, why: &Undecodable) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.len() > MAX_WARNED {
            warned.clear();
        }
        if warned.insert(name.to_owned()) {
            tracing::warn!(document = name, "a document that is no task is left alone: {why}");
        }
    }

    /// Makes one write.
    pub(super) async fn write_one(&self, write: pb::Write) -> super::writer::Written {
        let mut written = self.writer.write(vec![write]).await;
        written.pop().expect("one answer for one write")
    }
}

/// The write that takes a document from what was read of it to another state, unless somebody else was
/// faster.
pub(super) fn update(from: &Stored, to: &Task, marks: &Marks) -> pb::Write {
    let before = encode(&from.task, &from.env, &from.marks);
    let (fields, mask) = changes(&before, encode(to, &from.env, marks));
    patch(from.name.clone(), fields, mask, If::Unchanged(from.update_time))
}
