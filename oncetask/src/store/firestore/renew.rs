//! Renewing claims, and storing progress under them.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::codec::Stored;
use super::documents::update;
use super::join_all::join_all;
use super::operations::Operations;
use super::retry::Failure;
use super::writer::WriteOutcome;
use crate::store::{Renewal, Renewed};
use crate::task::transition::{self, LeaseLost};

/// The outcome of one write that renews a claim.
enum RenewalOutcome {
    /// The claim is renewed, with this document.
    Renewed(Box<Stored>),
    /// The task shows another lease, or is done.
    Lost,
    /// The document is not in the state in which it was last seen.
    Refused,
}

impl Operations {
    pub(super) async fn renew(
        self: Arc<Self>,
        renewals: Vec<Renewal>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Renewed>, Failure> {
        let renew = |renewal: Renewal| {
            let operations = self.clone();
            async move { operations.renew_one(&renewal, now).await }
        };
        join_all(renewals.into_iter().map(renew))
            .await
            .into_iter()
            .collect()
    }

    async fn renew_one(&self, renewal: &Renewal, now: DateTime<Utc>) -> Result<Renewed, Failure> {
        let claim_cache = &self.documents.claim_cache;
        let mut found = self.claim_to_renew(renewal).await?;
        loop {
            let Some(stored) = found else {
                claim_cache.remove(&renewal.id, renewal.token);
                return Ok(Renewed::Gone);
            };
            match self.try_to_renew(&stored, renewal, now).await? {
                RenewalOutcome::Renewed(stored) => {
                    let is_cancelled = stored.task.state.cancelled_at.is_some();
                    claim_cache.put(*stored, false);
                    return Ok(if is_cancelled {
                        Renewed::Cancelled
                    } else {
                        Renewed::Held
                    });
                }
                RenewalOutcome::Lost => {
                    claim_cache.remove(&renewal.id, renewal.token);
                    return Ok(Renewed::Lost);
                }
                // Another program wrote the document, or this write was applied and its answer was lost. In the
                // second case the next write changes nothing.
                RenewalOutcome::Refused => found = self.documents.read_one(&stored.name).await?,
            }
        }
    }

    /// Returns the claim from the cache, or its document.
    async fn claim_to_renew(&self, renewal: &Renewal) -> Result<Option<Stored>, Failure> {
        if let Some(claim) = self.documents.claim_cache.get(&renewal.id, renewal.token) {
            return Ok(Some(claim.stored));
        }
        match self.documents.name(&renewal.id) {
            Ok(name) => self.documents.read_one(&name).await,
            Err(_) => Ok(None),
        }
    }

    /// Makes the write that renews a claim, once.
    async fn try_to_renew(
        &self,
        stored: &Stored,
        renewal: &Renewal,
        now: DateTime<Utc>,
    ) -> Result<RenewalOutcome, Failure> {
        let mut task = stored.task.clone();
        let progress = renewal.progress.clone();
        let renewed = transition::renew(&mut task.state, renewal.token, renewal.until, progress, now);
        if let Err(LeaseLost) = renewed {
            return Ok(RenewalOutcome::Lost);
        }
        let write = update(stored, &task, &stored.marks);
        match self.documents.write_one(write).await {
            WriteOutcome::Stored(update_time) => Ok(RenewalOutcome::Renewed(Box::new(Stored {
                task,
                update_time,
                ..stored.clone()
            }))),
            WriteOutcome::Refused { .. } => Ok(RenewalOutcome::Refused),
            WriteOutcome::Failed(failure) => Err(failure),
        }
    }
}
