//! Hearing of cancellations, for the handlers of this process that run.

use std::sync::Weak;
use std::time::Duration;

use super::stream::{Heard, Target, listen};
use crate::store::firestore::inner::{Inner, readable};
use crate::store::firestore::queries;

/// For how long a claim is held until somebody listens for its cancellation: short tasks end before.
pub(super) const LONG: Duration = Duration::from_millis(300);

/// Listens for tasks whose cancellation was accepted and that have not ended.
pub(super) async fn follow(inner: Weak<Inner>) {
    let Some(query) = inner
        .upgrade()
        .map(|inner| queries::cancelled(&inner.env).of(&inner.settings.collection))
    else {
        return;
    };
    listen(inner, "cancellations", Target::Query(Box::new(query)), hear).await;
}

fn hear(inner: &Inner, heard: Heard) {
    let Heard::Is(document) = heard else { return };
    if !inner.held.holds(&document.name) {
        return;
    }
    if let Some(stored) = readable(*document) {
        inner.bell.stopped(std::slice::from_ref(stored.task.id()));
    }
}
