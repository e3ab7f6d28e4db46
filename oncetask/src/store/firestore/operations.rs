//! The operations on the tasks of one environment: the layer that the store calls.
//!
//! Each operation has a file of its own with its methods: `create.rs`, `change.rs`, `read.rs`, `renew.rs`,
//! `finish.rs` and `occurrences.rs`. Claiming is a layer of its own, [`Claims`].

use std::sync::Arc;

use super::claim::Claims;
use super::documents::Documents;
use super::listen::Listener;

/// The operations on the tasks of one environment.
#[derive(Debug)]
pub(super) struct Operations {
    pub(super) documents: Arc<Documents>,
    pub(super) listener: Arc<Listener>,
    pub(super) claims: Arc<Claims>,
}

impl Operations {
    /// Builds the layers above the documents of an environment.
    pub(super) fn new(documents: Documents) -> Self {
        let documents = Arc::new(documents);
        let listener = Arc::new(Listener::new(documents.clone()));
        let claims = Arc::new(Claims::new(documents.clone(), listener.clone()));
        Self {
            documents,
            listener,
            claims,
        }
    }
}
