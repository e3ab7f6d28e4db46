//! Cancellations of the tasks whose handlers run in this process.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Listener;
use super::stream::{ListenEvent, Target, listen};
use crate::store::firestore::codec::Stored;
use crate::store::firestore::queries;

/// The minimum age of a claim for which cancellations are listened to. Most handlers end before that.
pub(super) const LONG_CLAIM: Duration = Duration::from_millis(300);

/// The interval between two queries for cancellations while a backlog is worked off. A stream would report every
/// write.
pub(super) const QUERY_INTERVAL: Duration = Duration::from_millis(500);

/// Listens for tasks whose cancellation was accepted and that have not ended.
pub(super) async fn follow(listener: Weak<Listener>) {
    let Some(query) = listener
        .upgrade()
        .map(|listener| queries::cancelled(&listener.documents.env))
    else {
        return;
    };
    let on_event = |listener: &Listener, event: ListenEvent| {
        let ListenEvent::Changed(document) = event else {
            return;
        };
        if let Some(stored) = listener.documents.decode_or_warn(*document) {
            listener.notify_cancelled(&stored);
        }
    };
    listen(
        listener,
        "cancellations",
        Target::Query(Box::new(query)),
        on_event,
    )
    .await;
}

/// Queries the tasks whose cancellation was accepted and that have not ended, once.
pub(super) async fn query(listener: Arc<Listener>) {
    let documents = &listener.documents;
    // An error is ignored, because the query is repeated soon.
    if let Ok((found, _)) = documents.query_tasks(&queries::cancelled(&documents.env)).await {
        for stored in &found {
            listener.notify_cancelled(stored);
        }
    }
}

impl Listener {
    /// Notifies the worker of this process that runs the task, once.
    fn notify_cancelled(&self, stored: &Stored) {
        let documents = &self.documents;
        let is_claimed = documents.claim_cache.contains_document(&stored.name);
        if is_claimed && self.state().notified_cancellations.insert(stored.name.clone()) {
            documents
                .notifier
                .notify_stopped(std::slice::from_ref(stored.task.id()));
        }
    }
}
