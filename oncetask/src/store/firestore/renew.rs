//! Extending claims, and storing progress under them.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::codec::Stored;
use super::inner::{Inner, update};
use super::join::join_all;
use super::retry::Failure;
use super::writer::Written;
use crate::store::{Renewal, Renewed};
use crate::task::transition::{self, LeaseLost};

impl Inner {
    pub(super) async fn renew(
        self: Arc<Self>,
        renewals: Vec<Renewal>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Renewed>, Failure> {
        let renew = |renewal: Renewal| {
            let inner = self.clone();
            async move { inner.renew_one(&renewal, now).await }
        };
        join_all(renewals.into_iter().map(renew))
            .await
            .into_iter()
            .collect()
    }

    async fn renew_one(&self, renewal: &Renewal, now: DateTime<Utc>) -> Result<Renewed, Failure> {
        let held = self.held.get(&renewal.id, renewal.token).map(|held| held.stored);
        let mut found = match (held, self.name(&renewal.id)) {
            (Some(stored), _) => Some(stored),
            (None, Ok(name)) => self.read_one(&name).await?,
            (None, Err(_)) => None,
        };
        loop {
            let Some(stored) = found else {
                self.held.remove(&renewal.id, renewal.token);
                return Ok(Renewed::Gone);
            };
            match self.extend(&stored, renewal, now).await? {
                Extended::Held(stored) => {
                    let is_cancelled = stored.task.state.cancelled_at.is_some();
                    self.held.put(*stored, false);
                    return Ok(if is_cancelled {
                        Renewed::Cancelled
                    } else {
                        Renewed::Held
                    });
                }
                Extended::Lost => {
                    self.held.remove(&renewal.id, renewal.token);
                    return Ok(Renewed::Lost);
                }
                // Somebody else wrote the document, or it was us and the reply was lost: then this write
                // changes nothing, and is made all the same.
                Extended::Stale => found = self.read_one(&stored.name).await?,
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
        match self.write_one(update(stored, &task, &stored.marks)).await {
            Written::Stored(update_time) => Ok(Extended::Held(Box::new(Stored {
                task,
                update_time,
                ..stored.clone()
            }))),
            Written::Refused { .. } => Ok(Extended::Stale),
            Written::Failed(failure) => Err(failure),
        }
    }
}

enum Extended {
    Held(Box<Stored>),
    Lost,
    Stale,
}
