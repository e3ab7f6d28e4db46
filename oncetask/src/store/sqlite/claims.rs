//! Claiming due tasks.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use super::batch_sql::LeaseBatch;
use super::codec::{self, StoredTask};
use super::error::SqliteError;
use super::interner;
use super::queue::{self, DamagedRow, Kind, QueueEntry, QueueItem};
use super::rows;
use super::tx::Tx;
use crate::store::{Claim, ClaimRequest, ClaimResponse, ClaimedTask, Demand};
use crate::task::transition::{self, Phase};
use crate::task::{Lease, Task, damaged};

/// A demand with the numbers of its kinds in the file. A kind that was never stored is left out.
struct ResolvedDemand<'a> {
    env: i64,
    /// The index of the demand in the request.
    index: usize,
    demand: &'a Demand,
    kinds: Vec<Kind>,
    owner: &'a Arc<str>,
    now: DateTime<Utc>,
}

/// Claims the tasks that a request asks for.
pub(super) fn claim(tx: &mut Tx<'_>, env: i64, request: &ClaimRequest) -> Result<ClaimResponse, SqliteError> {
    let mut response = ClaimResponse::default();
    let demands = resolve(env, request, |env, kind| tx.interner.kind(tx.db, env, kind))?;
    for demand in &demands {
        demand.fill(tx, &mut response.claims)?;
    }
    for demand in &demands {
        tx.update_keys()?;
        response.next_due.push(demand.next_due(tx.db)?);
    }
    Ok(response)
}

/// Returns the response to a request if it claims nothing because no task is due, else `None`. This only
/// reads, so it takes no write lock.
pub(super) fn response_if_nothing_due(
    db: &Connection,
    env: &str,
    request: &ClaimRequest,
) -> Result<Option<ClaimResponse>, SqliteError> {
    let mut response = ClaimResponse::default();
    let Some(env) = interner::env(db, env)? else {
        response.next_due.resize(request.demands.len(), None);
        return Ok(Some(response));
    };
    for demand in resolve(env, request, |env, kind| interner::kind(db, env, kind))? {
        let next_due = demand.next_due(db)?;
        if demand.demand.max_claims > 0 && next_due.is_some_and(|due| due <= request.now) {
            return Ok(None);
        }
        response.next_due.push(next_due);
    }
    Ok(Some(response))
}

fn resolve<'a>(
    env: i64,
    request: &'a ClaimRequest,
    mut number: impl FnMut(i64, &'a str) -> rusqlite::Result<Option<i64>>,
) -> Result<Vec<ResolvedDemand<'a>>, SqliteError> {
    let mut resolved = Vec::with_capacity(request.demands.len());
    for (index, demand) in request.demands.iter().enumerate() {
        let mut kinds = Vec::with_capacity(demand.kinds.len());
        for name in &demand.kinds {
            kinds.extend(number(env, name)?.map(|number| Kind {
                number,
                name: name.as_str().into(),
            }));
        }
        resolved.push(ResolvedDemand {
            env,
            index,
            demand,
            kinds,
            owner: &request.owner,
            now: request.now,
        });
    }
    Ok(resolved)
}

impl ResolvedDemand<'_> {
    /// Claims up to `max_claims` tasks or groups. Reads the queue again as long as that gives new claims,
    /// because an entry that gave none may have displaced others. An example is a key whose due rows are
    /// damaged.
    fn fill(&self, tx: &mut Tx<'_>, claims: &mut Vec<Claim>) -> Result<(), SqliteError> {
        let mut remaining = self.demand.max_claims;
        let mut progress = true;
        while remaining > 0 && progress {
            tx.update_keys()?;
            progress = false;
            let entries = self.due_entries(tx, remaining)?;
            let mut leases = LeaseBatch::new();
            for (kind, entry) in entries {
                let tasks = match entry.item {
                    QueueItem::Task(stored) => vec![self.lease(tx, *stored, &mut leases)?],
                    QueueItem::Key(key) => self.lease_group(tx, kind, &key, &mut leases)?,
                };
                if !tasks.is_empty() {
                    claims.push(Claim {
                        demand: self.index,
                        tasks,
                    });
                    remaining -= 1;
                    progress = true;
                }
            }
            leases.save(&mut tx.statements, self.lease_until(), self.owner)?;
        }
        Ok(())
    }

    fn lease_until(&self) -> DateTime<Utc> {
        self.now + self.demand.lease
    }

    /// Returns the due time of the first entry that remains in the queues.
    fn next_due(&self, db: &Connection) -> Result<Option<DateTime<Utc>>, SqliteError> {
        let mut first = None;
        for kind in &self.kinds {
            let due = if self.demand.generators_only {
                queue::first_generator_due(db, kind.number)?
            } else {
                queue::head(db, kind.number)?.map(|head| head.due)
            };
            first = first.into_iter().chain(due).min();
        }
        first.map(codec::from_millis).transpose()
    }

    /// Returns the first due entries of all kinds in the queue order, up to `limit`. If some rows are
    /// damaged, defers them and starts again.
    fn due_entries(&self, tx: &mut Tx<'_>, limit: usize) -> Result<Vec<(&Kind, QueueEntry)>, SqliteError> {
        let mut entries = Vec::new();
        for kind in &self.kinds {
            let mut damaged = Vec::new();
            let mut of_kind = if self.demand.generators_only {
                queue::due_generators(tx.db, kind, self.now, limit, &mut damaged)?
            } else {
                queue::due_tasks(tx.db, kind, self.now, limit, &mut damaged)?
            };
            if !damaged.is_empty() {
                self.defer_damaged(tx, kind, None, damaged)?;
                return self.due_entries(tx, limit);
            }
            if !self.demand.generators_only {
                of_kind.append(&mut queue::due_keys(tx.db, kind, self.now, limit)?);
            }
            entries.extend(of_kind.into_iter().map(|entry| (kind, entry)));
        }
        entries.sort_by_key(|(_, entry)| entry.position);
        entries.truncate(limit);
        Ok(entries)
    }

    /// Leases the due tasks of a resource key that one claim takes.
    fn lease_group(
        &self,
        tx: &mut Tx<'_>,
        kind: &Kind,
        key: &str,
        leases: &mut LeaseBatch,
    ) -> Result<Vec<ClaimedTask>, SqliteError> {
        let mut damaged = Vec::new();
        let max_group = self.demand.max_group;
        let group = queue::due_group(tx.db, kind, key, self.now, max_group, &mut damaged)?;
        self.defer_damaged(tx, kind, Some(key), damaged)?;
        tx.mark_changed(kind.number, Some(key));
        group
            .into_iter()
            .map(|stored| self.lease(tx, stored, leases))
            .collect()
    }

    /// Leases one task. Adds the lease to the batch, or writes it at once if the claim changes more than a
    /// batch can.
    fn lease(
        &self,
        tx: &mut Tx<'_>,
        stored: StoredTask,
        leases: &mut LeaseBatch,
    ) -> Result<ClaimedTask, SqliteError> {
        let StoredTask { seq, kind, mut task } = stored;
        let lease = Lease {
            token: leases.token(seq),
            until: self.lease_until(),
            owner: self.owner.clone(),
            phase: transition::next_phase(&task.state),
        };
        let batched = fits_batch(&task, lease.phase);
        let orphaned = transition::claim(&mut task, lease, self.now);
        if batched {
            leases.add(seq);
        } else {
            rows::save_state(&mut tx.statements, seq, &task.state)?;
        }
        tx.claim_cache.insert(self.env, kind, seq, &task);
        Ok(ClaimedTask { task, orphaned })
    }

    /// Defers damaged rows, so that they do not stop the queue.
    fn defer_damaged(
        &self,
        tx: &mut Tx<'_>,
        kind: &Kind,
        key: Option<&str>,
        rows: Vec<DamagedRow>,
    ) -> Result<(), SqliteError> {
        for DamagedRow { seq, reason } in rows {
            let until = damaged::defer(self.now);
            tracing::warn!(kind = &*kind.name, %until, "{reason}; the task is deferred");
            rows::save_damaged_deferral(tx.db, seq, until)?;
            tx.mark_changed(kind.number, key);
        }
        Ok(())
    }
}

/// Returns whether a claim of this task only counts an attempt and sets the lease.
fn fits_batch(task: &Task, phase: Phase) -> bool {
    let Task { spec, state } = task;
    phase == Phase::Run && spec.recurrence.is_none() && state.lease.is_none() && state.attempts < u32::MAX
}
