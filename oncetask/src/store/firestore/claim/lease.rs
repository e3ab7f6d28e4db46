//! The writes that claim.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::Claims;
use super::pick::Pick;
use super::turn::Turn;
use super::window::Window;
use crate::store::firestore::claim_cache::Key;
use crate::store::firestore::codec::Stored;
use crate::store::firestore::documents::update;
use crate::store::firestore::join_all::join_all;
use crate::store::firestore::proto::{Code, pb};
use crate::store::firestore::queries;
use crate::store::firestore::retry::Failure;
use crate::store::firestore::settings::KeyClaims;
use crate::store::firestore::writer::WriteOutcome;
use crate::store::{Claim, ClaimedTask};
use crate::task::{Lease, LeaseToken, transition};

/// A task before and after it was claimed.
#[derive(Clone, Debug)]
pub(super) struct Leased {
    pub(super) before: Stored,
    pub(super) after: Stored,
    orphaned: bool,
}

impl Leased {
    /// A task that is to be claimed.
    pub(super) fn new(before: Stored, owner: &Arc<str>, now: DateTime<Utc>, lasts: TimeDelta) -> Self {
        let mut task = before.task.clone();
        let lease = Lease {
            token: LeaseToken::random(),
            until: now + lasts,
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

    /// The write that claims it.
    pub(super) fn write(&self) -> pb::Write {
        update(&self.before, &self.after.task, &self.before.marks)
    }
}

/// What came of a round of claims.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) claims: Vec<Claim>,
    /// How many others were faster with.
    pub(super) lost: usize,
    /// When to try those again whose key somebody else holds.
    pub(super) later: Option<DateTime<Utc>>,
    /// The keys of which a task was refused, or lost.
    pub(super) shut: Vec<Key>,
    pub(super) failure: Option<Failure>,
}

/// A claim that is being made.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) key: Option<Key>,
    pub(super) tasks: Vec<Leased>,
}

impl Turn<'_> {
    /// Claims what was picked.
    pub(super) async fn lease(&self, picks: Vec<Pick>) -> Round {
        let mut round = Round::default();
        let picks = match self.free_keys(picks, &mut round).await {
            Ok(picks) => picks,
            Err(failure) => {
                round.failure = Some(failure);
                return round;
            }
        };
        let attempts = picks.into_iter().map(|pick| self.attempt(pick)).collect();
        let attempts = self.write(attempts, &mut round).await;
        let mut attempts = self.verify(attempts, &mut round).await;
        attempts.sort_by_key(|attempt| {
            let first = &attempt.tasks[0].before.task;
            (first.state.due(), first.spec.created_at)
        });
        for attempt in attempts {
            let claim = self.claim_of(attempt);
            round.claims.push(claim);
        }
        round
    }

    fn attempt(&self, pick: Pick) -> Attempt {
        Attempt {
            key: pick.key,
            tasks: pick
                .tasks
                .into_iter()
                .map(|stored| Leased::new(stored, self.owner, self.now, self.demand.lease))
                .collect(),
        }
    }

    /// Makes the writes, and returns the attempts that got all that they wanted. A group is claimed whole or
    /// not at all.
    async fn write(&self, attempts: Vec<Attempt>, round: &mut Round) -> Vec<Attempt> {
        let inner = self.inner;
        let (groups, singles): (Vec<_>, Vec<_>) =
            attempts.into_iter().partition(|attempt| attempt.tasks.len() > 1);
        let writes = singles.iter().map(|attempt| attempt.tasks[0].write()).collect();
        let grouped = join_all(groups.into_iter().map(|group| {
            let inner = inner.clone();
            let key = group.key.clone();
            async move { (key, inner.lease_group(group).await) }
        }));
        let (written, grouped) = tokio::join!(inner.documents.writer.write(writes), grouped);
        let mut won = Vec::new();
        let mut settled = Vec::with_capacity(singles.len() + grouped.len());
        for (attempt, written) in singles.into_iter().zip(written) {
            settled.push((attempt.key.clone(), inner.settle(attempt, written).await));
        }
        for (key, outcome) in settled.into_iter().chain(grouped) {
            match outcome {
                Ok(Some(attempt)) => won.push(attempt),
                Ok(None) => {
                    round.lost += 1;
                    round.shut.extend(key);
                }
                Err(failure) => round.failure = Some(failure),
            }
        }
        won
    }

    pub(super) fn claim_of(&self, attempt: Attempt) -> Claim {
        let claimed = |leased: Leased| {
            let task = leased.after.task.clone();
            self.inner.documents.claim_cache.add(leased.after);
            ClaimedTask {
                task,
                orphaned: leased.orphaned,
            }
        };
        Claim {
            demand: self.place,
            tasks: attempt.tasks.into_iter().map(claimed).collect(),
        }
    }
}

impl Claims {
    /// The attempt, if it was successful.
    async fn settle(&self, mut attempt: Attempt, written: WriteOutcome) -> Result<Option<Attempt>, Failure> {
        match written {
            WriteOutcome::Stored(at) => {
                attempt.tasks[0].after.update_time = at;
                Ok(Some(attempt))
            }
            WriteOutcome::Refused { ambiguous: false } => Ok(None),
            WriteOutcome::Refused { ambiguous: true } => self.look_up(attempt).await,
            WriteOutcome::Failed(failure) if failure.ambiguous => {
                // Whatever the document says: that the claim is ours if it shows our token.
                match self.look_up(attempt).await {
                    Ok(Some(attempt)) => Ok(Some(attempt)),
                    _ => Err(failure),
                }
            }
            WriteOutcome::Failed(failure) => Err(failure),
        }
    }

    /// Claims a group in one atomic write.
    async fn lease_group(&self, mut group: Attempt) -> Result<Option<Attempt>, Failure> {
        let writes: Vec<_> = group.tasks.iter().map(Leased::write).collect();
        match self.documents.rpc.commit(&writes).await {
            Ok(reply) => {
                self.documents.rpc.meter.wrote(writes.len());
                for (leased, at) in group.tasks.iter_mut().zip(reply.value) {
                    leased.after.update_time = at;
                }
                Ok(Some(group))
            }
            Err(failure) if failure.ambiguous => match self.look_up(group).await {
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

    /// The claim as the documents show it, when the reply was lost: ours are those with our token.
    async fn look_up(&self, mut attempt: Attempt) -> Result<Option<Attempt>, Failure> {
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

    /// Brings the window into the order in which to claim: while others are about, from our place on.
    pub(super) fn arrange(&self, kinds: &[String], window: &mut Window) {
        if self.documents.settings.key_claims != KeyClaims::Normal {
            fastrand::shuffle(window.tasks.make_contiguous());
            return;
        }
        let mut shared = self.state.shared();
        let rivals = &shared.queue(kinds).rivals;
        if rivals.are_about() {
            window.turn_to(rivals.place());
        }
    }

    /// Keeps what is left of a window for the next claim.
    pub(super) fn keep(&self, kinds: &[String], window: Window) {
        if !window.is_used_up() {
            self.state.shared().windows.insert(kinds.to_vec(), window);
        }
    }

    /// All the tasks of a key that are due, as far as one claim holds them.
    pub(super) async fn whole_group(
        &self,
        mut pick: Pick,
        group: usize,
        now: DateTime<Utc>,
    ) -> Result<Pick, Failure> {
        let Some((kind, key)) = &pick.key else {
            return Ok(pick);
        };
        let find = queries::due_of_key(&self.documents.env, kind, key, now).limit(group);
        let (found, _) = self.documents.query_tasks(&find).await?;
        pick.tasks.truncate(1);
        for stored in found {
            let belongs =
                stored.task.spec.held_key().is_some() && transition::is_due(&stored.task.state, now);
            if belongs && stored.name != pick.tasks[0].name && pick.takes(&stored, group) {
                pick.tasks.push(stored);
            }
        }
        pick.order();
        Ok(pick)
    }
}

fn is_refusal(failure: &Failure) -> bool {
    matches!(
        failure.code,
        Code::FailedPrecondition | Code::NotFound | Code::AlreadyExists
    )
}
