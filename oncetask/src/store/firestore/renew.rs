//! Extending claims, and storing progress under them.

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
        let held = self
            .documents
            .claim_cache
            .get(&renewal.id, renewal.token)
            .map(|held| held.stored);
        let mut found = match (held, self.documents.name(&renewal.id)) {
            (Some(stored), _) => Some(stored),
            (None, Ok(name)) => self.documents.read_one(&name).await?,
            (None, Err(_)) => None,
        };
        loop {
            let Some(stored) = found else {
                self.documents.claim_cache.remove(&renewal.id, renewal.token);
                return Ok(Renewed::Gone);
            };
            match self.extend(&stored, renewal, now).await? {
                Extended::Held(stored) => {
                    let is_cancelled = stored.task.state.cancelled_at.is_some();
                    self.documents.claim_cache.put(*stored, false);
                    return Ok(if is_cancelled {
                        Renewed::Cancelled
                    } else {
                        Renewed::Held
                    });
                }
                Extended::Lost => {
                    self.documents.claim_cache.remove(&renewal.id, renewal.token);
                    return Ok(Renewed::Lost);
                }
                // Somebody else wrote the document, or it was us and the reply was lost: then this write
                // changes nothing, and is made all the same.
                Extended::Stale => found = self.documents.read_one(&stored.name).await?,
            }
        }
    }

    async fn extend(
        &self,
        stored: &Stored,
        renewal: &Renewal,
        now: DateTime<Utc>,
    ) -> Result<Extended, Failure> {
        let mut task = stored.task.clone();
        let progress = renewal.progress.clone();
        let extended = transition::renew(&mut task.state, renewal.token, renewal.until, progress, now);
        if let Err(LeaseLost) = extended {
            return Ok(Extended::Lost);
        }
        match self
            .documents
            .write_one(update(stored, &task, &stored.marks))
            .await
        {
            WriteOutcome::Stored(update_time) => Ok(Extended::Held(Box::new(Stored {
                task,
                update_time,
                ..stored.clone()
            }))),
            WriteOutcome::Refused { .. } => Ok(Extended::Stale),
            WriteOutcome::Failed(failure) => Err(failure),
        }
    }
}

enum Extended {
    Held(Box<Stored>),
    Lost,
    Stale,
}
