//! Ending claims.
//!
//! The write demands the state in which the document was last seen, so that at most one end is accepted. If it is
//! refused, the document is read:
//!
//! - If its lease has the token of the claim, another program changed the task, for example cancelled it. The write
//!   is made again.
//! - If its last finished claim has the token, and the answer to an earlier write was lost, that write ended the
//!   claim.
//! - Otherwise the claim is lost.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::codec::{MAX_DOCUMENT_BYTES, Marks, Stored, document_bytes, encode};
use super::documents::update;
use super::join_all::join_all;
use super::operations::Operations;
use super::proto::pb;
use super::retry::{Failure, Recovery, recovery};
use super::writer::WriteOutcome;
use crate::store::Finish;
use crate::task::size_limit::{SizedFinish, finish_to_fit};
use crate::task::transition::LeaseLost;
use crate::task::{Json, Task};

/// A claim that is being ended.
struct EndingClaim {
    /// The task as it was last seen.
    stored: Stored,
    /// True if a write that ends the claim may have been applied although it failed.
    ambiguous: bool,
}

/// The outcome of one write that ends a claim.
enum FinishOutcome {
    /// The end is stored, with this task.
    Stored(Box<Task>),
    /// The task shows another lease, or is done.
    Lost,
    /// The document is not in the state in which it was last seen.
    Refused,
}

impl Operations {
    pub(super) async fn finish(
        self: Arc<Self>,
        finishes: Vec<Finish>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Result<(), LeaseLost>>, Failure> {
        let finish = |finish: Finish| {
            let operations = self.clone();
            async move { operations.finish_one(&finish, now).await }
        };
        join_all(finishes.into_iter().map(finish))
            .await
            .into_iter()
            .collect()
    }

    async fn finish_one(
        &self,
        finish: &Finish,
        now: DateTime<Utc>,
    ) -> Result<Result<(), LeaseLost>, Failure> {
        let ended = self.end_claim(finish, now).await?;
        self.documents.claim_cache.remove(&finish.id, finish.token);
        let Some(task) = ended else {
            tracing::debug!(
                task = %finish.id, token = ?finish.token,
                "the end of a claim was refused, because the claim is lost"
            );
            return Ok(Err(LeaseLost));
        };
        self.notify_finished(&task, finish);
        Ok(Ok(()))
    }

    /// Ends a claim. Returns the task as it is stored, or `None` if the claim is lost.
    async fn end_claim(&self, finish: &Finish, now: DateTime<Utc>) -> Result<Option<Task>, Failure> {
        let Some(mut claim) = self.claim_to_end(finish).await? else {
            return Ok(None);
        };
        loop {
            match self.try_to_end(&mut claim, finish, now).await? {
                FinishOutcome::Stored(task) => return Ok(Some(*task)),
                FinishOutcome::Lost => return Ok(None),
                FinishOutcome::Refused => {}
            }
            match self.documents.read_one(&claim.stored.name).await? {
                Some(found) if claim.ambiguous && found.marks.finished == Some(finish.token) => {
                    return Ok(Some(found.task));
                }
                Some(found) => claim.stored = found,
                None => return Ok(None),
            }
        }
    }

    /// Returns the claim from the cache, or from its document if it was not made through this handle.
    async fn claim_to_end(&self, finish: &Finish) -> Result<Option<EndingClaim>, Failure> {
        if let Some(claim) = self.documents.claim_cache.get(&finish.id, finish.token) {
            return Ok(Some(EndingClaim {
                stored: claim.stored,
                ambiguous: claim.ambiguous,
            }));
        }
        let Ok(name) = self.documents.name(&finish.id) else {
            return Ok(None);
        };
        let found = self.documents.read_one(&name).await?;
        Ok(found.map(|stored| EndingClaim {
            stored,
            ambiguous: false,
        }))
    }

    /// Makes the write that ends a claim, once.
    async fn try_to_end(
        &self,
        claim: &mut EndingClaim,
        finish: &Finish,
        now: DateTime<Utc>,
    ) -> Result<FinishOutcome, Failure> {
        let Ok(task) = self.ended_task(&claim.stored, finish, now) else {
            return Ok(FinishOutcome::Lost);
        };
        let marks = Marks {
            finished: Some(finish.token),
            ..claim.stored.marks.clone()
        };
        let write = update(&claim.stored, &task, &marks);
        if task.is_done() {
            match self.claims.hand_over_key(&claim.stored, &write, now).await {
                None => {}
                Some(Ok(())) => return Ok(FinishOutcome::Stored(Box::new(task))),
                // The write below, which only ends the claim, shows whether this one was applied.
                Some(Err(status)) => {
                    claim.ambiguous |= recovery(status.code()) == Recovery::RetryAmbiguous;
                }
            }
        }
        match self.write_end(write, &finish.spawn).await {
            WriteOutcome::Stored(_) => Ok(FinishOutcome::Stored(Box::new(task))),
            WriteOutcome::Refused { ambiguous } => {
                claim.ambiguous |= ambiguous;
                Ok(FinishOutcome::Refused)
            }
            WriteOutcome::Failed(failure) => {
                let ambiguous = claim.ambiguous || failure.ambiguous;
                self.documents.claim_cache.put(claim.stored.clone(), ambiguous);
                Err(failure)
            }
        }
    }

    async fn write_end(&self, write: pb::Write, occurrences: &[Task]) -> WriteOutcome {
        if occurrences.is_empty() {
            self.documents.write_one(write).await
        } else {
            self.write_with_occurrences(write, occurrences).await
        }
    }

    /// Returns the task after the end of the claim, in a document that is not too large.
    fn ended_task(&self, stored: &Stored, finish: &Finish, now: DateTime<Utc>) -> Result<Task, LeaseLost> {
        let end = SizedFinish {
            token: finish.token,
            verdict: &finish.verdict,
            has_cleanup: finish.cleanup,
            progress: finish.progress.as_ref(),
        };
        let fits = |task: &Task| {
            let fields = encode(task, &self.documents.env, &stored.marks);
            document_bytes(&stored.name, &fields) <= MAX_DOCUMENT_BYTES
        };
        finish_to_fit(&stored.task, end, now, fits, result_too_large)
    }

    /// Notifies the subscribers of this process of the end of the task, and of the tasks that may be due now.
    fn notify_finished(&self, task: &Task, finish: &Finish) {
        let notifier = &self.documents.notifier;
        if task.is_done() {
            notifier.notify_ended(task.id());
        }
        for occurrence in &finish.spawn {
            self.claims.announce_due(occurrence);
        }
        if !task.is_done() {
            self.claims.announce_due(task);
        } else if task.resource_key().is_some() {
            notifier.notify_due(task.kind());
        }
    }
}

fn result_too_large(result: &Json) -> String {
    format!(
        "the result has {} bytes, and its task's document would exceed Firestore's limit of {MAX_DOCUMENT_BYTES} \
         bytes; store the data elsewhere and return its address",
        result.as_str().len()
    )
}
