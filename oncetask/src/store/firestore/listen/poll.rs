//! The poll of the queue, which finds the changes that a dead stream did not report.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::store::firestore::documents::Documents;
use crate::store::firestore::queries;
use crate::store::firestore::query::MAX_IN;
use crate::store::firestore::retry::Failure;

/// Notifies all subscribers if a task of these kinds may be due before the next poll. This costs one read for each
/// 30 kinds.
pub(super) async fn poll(documents: Arc<Documents>, kinds: Vec<String>) {
    // Twice the interval, because a poll may be late.
    let horizon = TimeDelta::from_std(documents.settings.poll_every * 2).ok();
    let horizon = horizon.and_then(|horizon| Utc::now().checked_add_signed(horizon));
    for kinds in kinds.chunks(MAX_IN) {
        // An error counts as a due task, because the next claim meets it too and reports it.
        let is_due = match horizon {
            Some(horizon) => is_due_before(&documents, kinds, horizon).await.unwrap_or(true),
            None => true,
        };
        if is_due {
            tracing::trace!(
                store = documents.address,
                "the poll found a task that is or will soon be due"
            );
            return documents.notifier.notify_all();
        }
    }
}

/// Returns whether a task of these kinds can be claimed before this instant. The first unfinished task in the
/// order of due times decides: if it is leased, it was due before it was claimed.
async fn is_due_before(documents: &Documents, kinds: &[String], at: DateTime<Utc>) -> Result<bool, Failure> {
    let query = queries::unfinished_by_due(&documents.env, kinds).limit(1);
    let (found, read) = documents.query_tasks(&query).await?;
    Ok(match &found[..] {
        [] => read > 0,
        [first, ..] => first.task.state.wait_until <= at,
    })
}
