//! The stream of the head of a queue.

use std::sync::Weak;

use super::Listener;
use super::state::QueueHead;
use super::stream::{ListenEvent, Target, listen};
use crate::store::firestore::codec::Stored;
use crate::store::firestore::proto::Timestamp;
use crate::store::firestore::queries;

/// Listens to the head of the queue of at most [`MAX_IN`](crate::store::firestore::query::MAX_IN) kinds.
pub(super) async fn follow(listener: Weak<Listener>, kinds: Vec<String>) {
    let Some(query) = listener
        .upgrade()
        .map(|listener| queries::head(&listener.documents.env, &kinds))
    else {
        return;
    };
    let mut tracker = HeadTracker {
        listener: listener.clone(),
        kinds,
        head: None,
        notified: None,
    };
    let on_event = |listener: &Listener, event: ListenEvent| tracker.apply(listener, event);
    listen(listener, "the queue", Target::Queue(Box::new(query)), on_event).await;
}

/// Tracks the head of a queue. Dropping it removes the head from the listener's state.
struct HeadTracker {
    listener: Weak<Listener>,
    kinds: Vec<String>,
    head: Option<QueueHead>,
    /// The name and the version of the last document that subscribers were notified of. The emulator reports every
    /// document again after each write to the collection.
    notified: Option<(String, Timestamp)>,
}

impl HeadTracker {
    fn apply(&mut self, listener: &Listener, event: ListenEvent) {
        match event {
            ListenEvent::Changed(document) => {
                if let Some(stored) = listener.documents.decode_or_warn(*document) {
                    self.set_head(listener, &stored);
                }
            }
            ListenEvent::Removed(name) => {
                if self.head.as_ref().is_some_and(|head| head.name == name) {
                    self.head = None;
                }
            }
            ListenEvent::Reset => {
                self.head = None;
                listener.state().heads.remove(&self.kinds);
            }
            ListenEvent::UpToDate => {
                listener
                    .state()
                    .heads
                    .insert(self.kinds.clone(), self.head.clone());
            }
        }
    }

    fn set_head(&mut self, listener: &Listener, stored: &Stored) {
        let name = stored.name.clone();
        self.head = Some(QueueHead {
            due: stored.task.state.wait_until,
            name: name.clone(),
        });
        let version = Some((name, stored.update_time));
        let is_claimed = listener.documents.claim_cache.contains_document(&stored.name);
        if self.notified != version && !is_claimed {
            let kind = stored.task.kind();
            listener.state().reported.insert(kind.to_owned(), stored.clone());
            listener.documents.notifier.notify_due(kind);
        }
        self.notified = version;
    }
}

impl Drop for HeadTracker {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.upgrade() {
            listener.state().heads.remove(&self.kinds);
        }
    }
}
