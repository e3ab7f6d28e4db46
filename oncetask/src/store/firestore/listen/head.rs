//! Hearing of the head of the queue: the task that is due first, of those that nobody holds.

use std::sync::Weak;

use chrono::{DateTime, Utc};

use super::stream::{Heard, Target, listen};
use crate::store::firestore::codec::Stored;
use crate::store::firestore::inner::Inner;
use crate::store::firestore::proto::Timestamp;
use crate::store::firestore::queries;

/// The head of a queue.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Head {
    pub(super) name: String,
    pub(super) due: DateTime<Utc>,
}

/// Listens for the head of the queue of these kinds, at most 30.
pub(super) async fn follow(inner: Weak<Inner>, kinds: Vec<String>) {
    let Some(query) = inner.upgrade().map(|inner| queries::head(&inner.env, &kinds)) else {
        return;
    };
    let known = Known {
        inner: inner.clone(),
        kinds,
        head: None,
        rung: None,
    };
    let mut known = known;
    let hear = |inner: &Inner, heard: Heard| known.hear(inner, heard);
    listen(inner, "the queue", Target::Queue(Box::new(query)), hear).await;
}

/// What is known of a queue. Dropped, nothing is.
struct Known {
    inner: Weak<Inner>,
    kinds: Vec<String>,
    head: Option<Head>,
    /// The state of a document for which somebody was woken. The emulator tells everything again after each
    /// write to the collection.
    rung: Option<(String, Timestamp)>,
}

impl Known {
    fn hear(&mut self, inner: &Inner, heard: Heard) {
        match heard {
            Heard::Is(document) => {
                if let Some(stored) = inner.readable(*document) {
                    self.is(inner, &stored);
                }
            }
            Heard::Gone(name) => {
                if self.head.as_ref().is_some_and(|head| head.name == name) {
                    self.head = None;
                }
            }
            Heard::Void => {
                self.head = None;
                inner.ears.state().heads.remove(&self.kinds);
            }
            Heard::UpToDate => {
                inner
                    .ears
                    .state()
                    .heads
                    .insert(self.kinds.clone(), self.head.clone());
            }
        }
    }

    fn is(&mut self, inner: &Inner, stored: &Stored) {
        let name = stored.name.clone();
        self.head = Some(Head {
            due: stored.task.state.wait_until,
            name: name.clone(),
        });
        let state = Some((name, stored.update_time));
        if self.rung != state && !inner.held.holds(&stored.name) {
            inner.ears.hear(stored);
            inner.notifier.notify_due(stored.task.kind());
        }
        self.rung = state;
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.upgrade() {
            inner.ears.state().heads.remove(&self.kinds);
        }
    }
}
