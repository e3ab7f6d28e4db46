//! Ending claims.
//!
//! The precondition is the state that the claim left, so that what is accepted is accepted once. When it
//! fails the document is looked at: it still shows our token when somebody else merely cancelled the task,
//! and then the write is made again; it shows our token as the one that was ended when the reply to this
//! very write was lost; else the claim is lost.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::claim_cache::CachedClaim;
use super::codec::{MAX_DOCUMENT_BYTES, Marks, Stored, document_bytes, encode};
use super::documents::update;
use super::join_all::join_all;
use super::occurrences::Spawned;
use super::operations::Operations;
use super::retry::{Failure, Recovery, recovery};
use super::writer::WriteOutcome;
use crate::store::Finish;
use crate::task::transition::{self, LeaseLost, Verdict};
use crate::task::{Json, Progress, Task};

/// How much of each error is kept when all of them together are too much.
const SHORT_ERROR_BYTES: usize = 200;

impl Operations {
    pub(super) async fn finish(
        self: Arc<Self>,
        finishes: Vec<Finish>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Result<(), LeaseLost>>, Failure> {
        let finish = |finish: Finish| {
            let operations = self.clone();
            async move { operations.finish_one(finish, now).await }
        };
        join_all(finishes.into_iter().map(finish))
            .await
            .into_iter()
            .collect()
    }

    async fn finish_one(
        self: &Arc<Self>,
        finish: Finish,
        now: DateTime<Utc>,
    ) -> Result<Result<(), LeaseLost>, Failure> {
        let (id, token) = (finish.id.clone(), finish.token);
        let ended = self.end(&finish, now).await;
        if let Ok(ended) = &ended {
            self.documents.claim_cache.remove(&id, token);
            if let Err(LeaseLost) = ended {
                tracing::debug!(task = %id, ?token, "the end of a claim was refused: it is lost");
            }
        }
        ended
    }

    async fn end(
        self: &Arc<Self>,
        finish: &Finish,
        now: DateTime<Utc>,
    ) -> Result<Result<(), LeaseLost>, Failure> {
        let (mut stored, mut ambiguous) = match self.documents.claim_cache.get(&finish.id, finish.token) {
            Some(CachedClaim {
                stored, ambiguous, ..
            }) => (stored, ambiguous),
            None => match self.claimed_elsewhere(finish).await? {
                Some(stored) => (stored, false),
                None => return Ok(Err(LeaseLost)),
            },
        };
        loop {
            let Ok(task) = self.ended(&stored, finish, now) else {
                return Ok(Err(LeaseLost));
            };
            let marks = Marks {
                finished: Some(finish.token),
                ..stored.marks.clone()
            };
            let write = update(&stored, &task, &marks);
            if task.is_done() {
                match self.claims.hand_over_key(&stored, &write, now).await {
                    None => {}
                    Some(Ok(())) => {
                        self.finished(&task, &[]);
                        return Ok(Ok(()));
                    }
                    // Whether it was made all the same is seen when it is made alone.
                    Some(Err(status)) => ambiguous |= recovery(status.code()) == Recovery::RetryAmbiguous,
                }
            }
            let written = if finish.spawn.is_empty() {
                self.documents.write_one(write).await
            } else {
                self.write_with_occurrences(write, &finish.spawn).await
            };
            match written {
                WriteOutcome::Stored(_) => {
                    self.finished(&task, &finish.spawn);
                    return Ok(Ok(()));
                }
                WriteOutcome::Refused { ambiguous: now } => ambiguous |= now,
                WriteOutcome::Failed(failure) => {
                    self.documents
                        .claim_cache
                        .put(stored, ambiguous || failure.ambiguous);
                    return Err(failure);
                }
            }
            match self.documents.read_one(&stored.name).await? {
                Some(found) if ambiguous && found.marks.finished == Some(finish.token) => {
                    self.finished(&found.task, &finish.spawn);
                    return Ok(Ok(()));
                }
                Some(found) => stored = found,
                None => return Ok(Err(LeaseLost)),
            }
        }
    }

    /// The document of a claim that was not made through this handle.
    async fn claimed_elsewhere(&self, finish: &Finish) -> Result<Option<Stored>, Failure> {
        match self.documents.name(&finish.id) {
            Ok(name) => self.documents.read_one(&name).await,
            Err(_) => Ok(None),
        }
    }

    /// What the end of the claim makes of the task, in a document that is not too large for Firestore.
    fn ended(&self, stored: &Stored, finish: &Finish, now: DateTime<Utc>) -> Result<Task, LeaseLost> {
        let end = |verdict: Verdict, progress: Option<Progress>| {
            let mut task = stored.task.clone();
            transition::set_progress(&mut task.state, finish.token, progress)?;
            transition::finish(&mut task.state, finish.token, verdict, finish.cleanup, now).map(|()| task)
        };
        let mut task = end(finish.verdict.clone(), finish.progress.clone())?;
        if finish.progress.is_some() && !self.fits(stored, &task) {
            task = end(finish.verdict.clone(), None)?;
        }
        if self.fits(stored, &task) {
            return Ok(task);
        }
        let mut task = match &finish.verdict {
            Verdict::Complete(Some(result)) => {
                let error = too_large(result);
                end(Verdict::Fail { error }, None)?
            }
            _ => task,
        };
        while !self.fits(stored, &task) && task.state.errors.len() > 2 {
            task.state.errors.remove(1);
        }
        if !self.fits(stored, &task) {
            for error in &mut task.state.errors {
                let end = error.error.floor_char_boundary(SHORT_ERROR_BYTES);
                error.error.truncate(end);
            }
        }
        Ok(task)
    }

    fn fits(&self, stored: &Stored, task: &Task) -> bool {
        let fields = encode(task, &self.documents.env, &stored.marks);
        document_bytes(&stored.name, &fields) <= MAX_DOCUMENT_BYTES
    }

    /// Tells those who wait in this process: for the end of the task, and for what may be claimed now.
    fn finished(&self, task: &Task, spawned: &[Task]) {
        if task.is_done() {
            self.documents.notifier.notify_ended(task.id());
        }
        for task in spawned {
            self.claims.announce_due(task);
        }
        if !task.is_done() {
            self.claims.announce_due(task);
        } else if task.resource_key().is_some() {
            self.documents.notifier.notify_due(task.kind());
        }
    }

    async fn write_with_occurrences(&self, write: super::proto::pb::Write, spawn: &[Task]) -> WriteOutcome {
        match self.spawn(write, spawn).await {
            Ok(Spawned::Stored(at)) => WriteOutcome::Stored(at),
            Ok(Spawned::Refused { ambiguous }) => WriteOutcome::Refused { ambiguous },
            Err(failure) => WriteOutcome::Failed(failure),
        }
    }
}

fn too_large(result: &Json) -> String {
    format!(
        "the result has {} bytes, which with the rest of the task is more than Firestore's limit of \
         {MAX_DOCUMENT_BYTES} for a document; store the data elsewhere and return its address",
        result.as_str().len()
    )
}
