//! Hearing of cancellations, for the handlers of this process that run.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::stream::{Heard, Target, listen};
use crate::store::firestore::codec::Stored;
use crate::store::firestore::inner::Inner;
use crate::store::firestore::queries;

/// For how long a claim is held until somebody listens for its cancellation: short tasks end before.
pub(super) const LONG: Duration = Duration::from_millis(300);

/// How often to ask for cancellations while a backlog is worked off: a stream would be told of every step.
pub(super) const ASK: Duration = Duration::from_millis(500);

/// Listens for tasks whose cancellation was accepted and that have not ended.
pub(super) async fn follow(inner: Weak<Inner>) {
    let Some(query) = inner.upgrade().map(|inner| queries::cancelled(&inner.env)) else {
        return;
    };
    let hear = |inner: &Inner, heard: Heard| {
        let Heard::Is(document) = heard else { return };
        if let Some(stored) = inner.readable(*document) {
            tell(inner, &stored);
        }
    };
    listen(inner, "cancellations", Target::Query(Box::new(query)), hear).await;
}

/// Asks for them once.
pub(super) async fn ask(inner: Arc<Inner>) {
    // What fails now is asked again soon.
    if let Ok((found, _)) = inner.find(&queries::cancelled(&inner.env)).await {
        for stored in &found {
            tell(&inner, stored);
        }
    }
}

/// Tells the handler, once.
fn tell(inner: &Inner, stored: &Stored) {
    if inner.held.holds(&stored.name) && inner.ears.state().told.insert(stored.name.clone()) {
        inner
            .notifier
            .notify_stopped(std::slice::from_ref(stored.task.id()));
    }
}
