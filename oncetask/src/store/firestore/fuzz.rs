//! Entry points for fuzzing: documents of any shape, and the names of documents.

use super::codec::{Marks, Names, decode, encode};
use super::proto::{Message as _, pb};
use crate::task::{Task, TaskId};

/// Decodes a document in its wire form, as if Firestore had sent it.
///
/// # Errors
///
/// Returns the reason if the document cannot be decoded as a task.
pub fn document(bytes: &[u8]) -> Result<Task, String> {
    let document = pb::Document::decode(bytes).map_err(|error| error.to_string())?;
    let stored = decode(document).map_err(|error| error.to_string())?;
    Ok(stored.task)
}

/// Returns the document of a task in its wire form.
#[must_use]
pub fn document_of(task: &Task, env: &str) -> Vec<u8> {
    let document = pb::Document {
        name: "projects/p/databases/(default)/documents/onceTasks/1".to_owned(),
        fields: encode(task, env, &Marks::default()),
        ..Default::default()
    };
    document.encode_to_vec()
}

/// Returns the name of a task's document in an environment.
///
/// # Errors
///
/// Returns the reason if the id cannot be part of a document's name.
pub fn name(env: &str, shared_ids: bool, id: &TaskId) -> Result<String, String> {
    Names::new(env, shared_ids).of(id)
}
