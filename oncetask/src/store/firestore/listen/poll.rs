//! Looking now and then, should a stream have died silently.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::store::firestore::find::MAX_IN;
use crate::store::firestore::inner::Inner;
use crate::store::firestore::queries;
use crate::store::firestore::retry::Failure;

/// Wakes everybody if a task of these kinds may be due before the next look. Where none is, one read tells.
pub(super) async fn poll(inner: Arc<Inner>, kinds: Vec<String>) {
    // Twice the pause: it is a little longer than is asked for, now and then.
    let next = TimeDelta::from_std(inner.settings.poll_every * 2).ok();
    let soon = next.and_then(|next| Utc::now().checked_add_signed(next));
    for kinds in kinds.chunks(MAX_IN) {
        // Whoever claims meets what went wrong here, and reports it.
        let is_due = match soon {
            Some(soon) => is_due_before(&inner, kinds, soon).await.unwrap_or(true),
            None => true,
        };
        if is_due {
            tracing::trace!(store = inner.address, "polling: something is, or will be due");
            return inner.notifier.notify_all();
        }
    }
}

/// Whether one of these tasks can be claimed before this instant. A task that is held was due before it was claimed, so that
/// the first in the order of due times tells, whether the lease of another has ended or not.
async fn is_due_before(inner: &Inner, kinds: &[String], at: DateTime<Utc>) -> Result<bool, Failure> {
    let (found, read) = inner.find(&queries::open(&inner.env, kinds).limit(1)).await?;
    Ok(match &found[..] {
        [] => read > 0,
        [first, ..] => first.task.state.wait_until <= at,
    })
}
