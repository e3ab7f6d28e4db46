//! The conditional writes that claim tasks.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::Claims;
use super::fill::FillDemand;
use super::selection::Candidate;
use crate::store::firestore::claim_cache::Key;
use crate::store::firestore::codec::Stored;
use crate::store::firestore::documents::update;
use crate::store::firestore::join_all::join_all;
use crate::store::firestore::proto::{Code, pb};
use crate::store::firestore::queries;
use crate::store::firestore::retry::Failure;
use crate::store::firestore::writer::WriteOutcome;
use crate::store::{Claim, ClaimedTask};
use crate::task::{Lease, LeaseToken, transition};

/// A task before and after its claim.
#[derive(Clone, Debug)]
pub(super) struct LeasedTask {
    pub(super) before: Stored,
    pub(super) after: Stored,
    orphaned: bool,
}

impl LeasedTask {
    /// Gives a task a new lease. Nothing is written yet.
    pub(super) fn new(before: Stored, owner: &Arc<str>, now: DateTime<Utc>, duration: TimeDelta) -> Self {
        let mut task = before.task.clone();
        let lease = Lease {
            token: LeaseToken::random(),
            until: now + duration,
            owner: owner.clone(),
            phase: transition::next_phase(&task.state),
        };
        let orphaned = transition::claim(&mut task, lease, now);
        let after = Stored {
            task,
            ..before.clone()
        };
        Self {
            before,
            after,
            orphaned,
        }
    }

    /// Returns the write that claims the task.
    pub(super) fn write(&self) -> pb::Write {
        update(&self.before, &self.after.task, &self.before.marks)
    }
}

/// The result of one round of claims.
#[derive(Debug, Default)]
pub(super) struct ClaimRound {
    pub(super) claims: Vec<Claim>,
    /// The number of claims that were lost because another process was faster.
    pub(super) lost: usize,
    /// The instant at which to try again to claim the keys that other workers own.
    pub(super) retry_at: Option<DateTime<Utc>>,
    /// The keys for which a claim was lost, and the keys that other workers own.
    pub(super) blocked: Vec<Key>,
    pub(super) failure: Option<Failure>,
}

/// An attempt to claim one task, or a group of tasks of one key.
#[derive(Debug)]
pub(super) struct LeaseAttempt {
    pub(super) key: Option<Key>,
    pub(super) tasks: Vec<LeasedTask>,
}

impl FillDemand<'_> {
    /// Claims the candidates: checks the keys that were refused recently, writes the leases, and verifies the keys.
    pub(super) async fn lease(&self, candidates: Vec<Candidate>) -> ClaimRound {
        let mut round = ClaimRound::default();
        let candidates = match self.with_free_keys(candidates, &mut round).await {
            Ok(candidates) => candidates,
            Err(failure) => {
                round.failure = Some(failure);
                return round;
            }
        };
        let attempts = candidates
            .into_iter()
            .map(|candidate| self.attempt(candidate))
            .collect();
        let attempts = self.write(attempts, &mut round).await;
        let mut attempts = self.verify(attempts, &mut round).await;
        attempts.sort_by_key(|attempt| {
            let first = &attempt.tasks[0].before.task;
            first.queue_order()
        });
        for attempt in attempts {
            let claim = self.claim_of(attempt);
            round.claims.push(claim);
        }
        round
    }

    fn attempt(&self, candidate: Candidate) -> LeaseAttempt {
        LeaseAttempt {
            key: candidate.key,
            tasks: candidate
                .tasks
                .into_iter()
                .map(|stored| LeasedTask::new(stored, self.owner, self.now, self.demand.lease))
                .collect(),
        }
    }

    /// Writes the leases, and returns the attempts that succeeded. A group is claimed as a whole or not at all.
    async fn write(&self, attempts: Vec<LeaseAttempt>, round: &mut ClaimRound) -> Vec<LeaseAttempt> {
        let claims = self.claims;
        let (groups, singles): (Vec<_>, Vec<_>) =
            attempts.into_iter().partition(|attempt| attempt.tasks.len() > 1);
        let writes = singles.iter().map(|attempt| attempt.tasks[0].write()).collect();
        let grouped = join_all(groups.into_iter().map(|group| {
            let claims = claims.clone();
            let key = group.key.clone();
            async move { (key, claims.lease_group(group).await) }
        }));
        let (written, grouped) = tokio::join!(claims.documents.writer.write(writes), grouped);
        let mut won = Vec::new();
        let mut settled = Vec::with_capacity(singles.len() + grouped.len());
        for (attempt, written) in singles.into_iter().zip(written) {
            settled.push((attempt.key.clone(), claims.settle(attempt, written).await));
        }
        for (key, result) in settled.into_iter().chain(grouped) {
            match result {
                Ok(Some(attempt)) => won.push(attempt),
                Ok(None) => {
                    round.lost += 1;
                    round.blocked.extend(key);
                }
                Err(failure) => round.failure = Some(failure),
            }
        }
        won
    }

    /// Turns a successful attempt into a claim of this demand, and adds its tasks to the claim cache.
    pub(super) fn claim_of(&self, attempt: LeaseAttempt) -> Claim {
        let claimed = |leased: LeasedTask| {
            let task = leased.after.task.clone();
            self.claims.documents.claim_cache.add(leased.after);
            ClaimedTask {
                task,
                orphaned: leased.orphaned,
            }
        };
        Claim {
            demand: self.index,
            tasks: attempt.tasks.into_iter().map(claimed).collect(),
        }
    }
}

impl Claims {
    /// Returns the attempt at a single task if its write succeeded, and `None` if another process was faster.
    async fn settle(
        &self,
        mut attempt: LeaseAttempt,
        written: WriteOutcome,
    ) -> Result<Option<LeaseAttempt>, Failure> {
        match written {
            WriteOutcome::Stored(at) => {
                attempt.tasks[0].after.update_time = at;
                Ok(Some(attempt))
            }
            WriteOutcome::Refused { ambiguous: false } => Ok(None),
            WriteOutcome::Refused { ambiguous: true } => self.resolve_ambiguous(attempt).await,
            WriteOutcome::Failed(failure) if failure.ambiguous => match self.resolve_ambiguous(attempt).await
            {
                Ok(Some(attempt)) => Ok(Some(attempt)),
                // Our token proves that the write was applied. Its absence does not prove the opposite.
                _ => Err(failure),
            },
            WriteOutcome::Failed(failure) => Err(failure),
        }
    }

    /// Claims a group in one atomic write. Returns `None` if another process was faster with one of its tasks.
    async fn lease_group(&self, mut group: LeaseAttempt) -> Result<Option<LeaseAttempt>, Failure> {
        let writes: Vec<_> = group.tasks.iter().map(LeasedTask::write).collect();
        match self.documents.rpc.commit(&writes).await {
            Ok(reply) => {
                self.documents.rpc.meter.wrote(writes.len());
                for (leased, at) in group.tasks.iter_mut().zip(reply.value) {
                    leased.after.update_time = at;
                }
                Ok(Some(group))
            }
            Err(failure) if failure.ambiguous => match self.resolve_ambiguous(group).await {
                Ok(Some(group)) => Ok(Some(group)),
                Ok(None) if is_refusal(&failure) => Ok(None),
                _ => Err(failure),
            },
            Err(failure) if is_refusal(&failure) => {
                self.documents.rpc.meter.refused();
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Reads the documents of an attempt whose reply was lost. Returns the attempt if every document shows our
    /// lease token.
    async fn resolve_ambiguous(&self, mut attempt: LeaseAttempt) -> Result<Option<LeaseAttempt>, Failure> {
        let names: Vec<_> = attempt
            .tasks
            .iter()
            .map(|leased| leased.before.name.clone())
            .collect();
        let mut read = self.documents.read(&names).await?;
        for leased in &mut attempt.tasks {
            let name = leased.before.name.as_str();
            let found = read
                .remove(name)
                .and_then(|stored| self.documents.in_this_env(name, stored));
            let token = |stored: &Stored| stored.task.state.lease.as_ref().map(|lease| lease.token);
            match found {
                Some(found) if token(&found) == token(&leased.after) => leased.after = found,
                _ => return Ok(None),
            }
        }
        Ok(Some(attempt))
    }

    /// Reads the due tasks of a candidate's key and adds them to the group, up to `max_group` tasks.
    pub(super) async fn complete_group(
        &self,
        mut candidate: Candidate,
        max_group: usize,
        now: DateTime<Utc>,
    ) -> Result<Candidate, Failure> {
        let Some((kind, key)) = &candidate.key else {
            return Ok(candidate);
        };
        let query = queries::due_of_key(&self.documents.env, kind, key, now).limit(max_group);
        let (found, _) = self.documents.query_tasks(&query).await?;
        candidate.tasks.truncate(1);
        for stored in found {
            let belongs =
                stored.task.spec.held_key().is_some() && transition::is_due(&stored.task.state, now);
            if belongs && stored.name != candidate.tasks[0].name && candidate.accepts(&stored, max_group) {
                candidate.tasks.push(stored);
            }
        }
        candidate.sort();
        Ok(candidate)
    }
}

/// Returns whether the failure means that a document was not in the state that a write required.
fn is_refusal(failure: &Failure) -> bool {
    matches!(
        failure.code,
        Code::FailedPrecondition | Code::NotFound | Code::AlreadyExists
    )
}
