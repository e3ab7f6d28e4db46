//! Checks of the owners of resource keys: the verification after each claim, and a check before the claim of a key
//! that another worker owned recently.
//!
//! The check before the claim is an optimisation. It saves a claim and its release, two writes, at the price of a
//! query. It does not replace the verification, which follows the claim in any case.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::Claims;
use super::fill::FillDemand;
use super::lease::{ClaimRound, LeaseAttempt};
use super::next_due::earliest;
use super::selection::Candidate;
pub(super) use crate::store::firestore::claim_cache::Key;
use crate::store::firestore::documents::update;
use crate::store::firestore::join_all::join_all;
use crate::store::firestore::queries;
use crate::store::firestore::query::MAX_IN;
use crate::store::firestore::retry::Failure;
use crate::store::firestore::settings::KeyClaims;
use crate::task::ResourceKey;

/// The pause before the second claim of a key that another worker owns, before it is randomized.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The maximum pause before the next claim of such a key, before it is randomized.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// For each key, the number of consecutive checks that found another owner.
#[derive(Debug, Default)]
pub(super) struct KeyRefusals(HashMap<Key, u32>);

/// A task that owns a key.
#[derive(Clone, Debug)]
struct KeyOwner {
    /// The name of the task's document.
    name: String,
    /// The end of the task's lease.
    until: DateTime<Utc>,
}

type KeyOwners = HashMap<Key, Vec<KeyOwner>>;

impl KeyRefusals {
    /// Records that another worker owns the key until `until`, and returns the instant at which to try again. The
    /// pause doubles each time.
    fn record(&mut self, key: Key, until: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        let times = self.0.entry(key).or_default();
        *times = times.saturating_add(1);
        let pause = FIRST_PAUSE
            .saturating_mul(2_u32.saturating_pow(*times - 1))
            .min(MAX_PAUSE);
        // Random, so that two workers that both yielded do not collide again.
        let pause = pause.mul_f64(0.5 + fastrand::f64());
        let pause = TimeDelta::from_std(pause).unwrap_or_default();
        until.min(now + pause)
    }
}

impl FillDemand<'_> {
    /// Returns the candidates without those whose keys were found to be owned, each with all the tasks that its
    /// claim takes.
    pub(super) async fn with_free_keys(
        &self,
        candidates: Vec<Candidate>,
        round: &mut ClaimRound,
    ) -> Result<Vec<Candidate>, Failure> {
        let suspects: Vec<_> = {
            let shared = self.claims.state.shared();
            let keys = candidates.iter().filter_map(|candidate| candidate.key.clone());
            let always = self.claims.documents.settings.key_claims == KeyClaims::Unverified;
            keys.filter(|key| always || shared.refusals.0.contains_key(key))
                .collect()
        };
        let owners = self.claims.key_owners(&suspects, self.now).await?;
        let mut free = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            match candidate.key.as_ref().and_then(|key| owners.get(key)) {
                Some(owners) => self.refuse(candidate.key.as_ref(), owners, round),
                None => free.push(candidate),
            }
        }
        let (max_group, now) = (self.demand.max_group, self.now);
        let complete = free.into_iter().map(|candidate| {
            let claims = self.claims.clone();
            async move {
                if candidate.incomplete {
                    claims.complete_group(candidate, max_group, now).await
                } else {
                    Ok(candidate)
                }
            }
        });
        join_all(complete).await.into_iter().collect()
    }

    /// Verifies the keys of claims that were just written. Releases each claim whose key another task owns too, and
    /// returns the others.
    pub(super) async fn verify(
        &self,
        attempts: Vec<LeaseAttempt>,
        round: &mut ClaimRound,
    ) -> Vec<LeaseAttempt> {
        if self.claims.documents.settings.key_claims == KeyClaims::Unverified {
            return attempts;
        }
        let keys: Vec<_> = attempts
            .iter()
            .filter_map(|attempt| attempt.key.clone())
            .collect();
        let owners = match self.claims.key_owners(&keys, self.now).await {
            Ok(owners) => owners,
            Err(failure) => {
                // Without an answer the keys may have other owners. A task without a key needs no verification.
                round.failure = Some(failure);
                let (keyed, keyless) = attempts.into_iter().partition(|attempt| attempt.key.is_some());
                self.claims.release(keyed).await;
                return keyless;
            }
        };
        let mut verified = Vec::with_capacity(attempts.len());
        let mut yielded = Vec::new();
        for attempt in attempts {
            let others = other_owners(&attempt, &owners);
            if others.is_empty() {
                if let Some(key) = &attempt.key {
                    self.claims.state.shared().refusals.0.remove(key);
                    self.claims.reset_handoffs(key);
                }
                verified.push(attempt);
            } else {
                self.refuse(attempt.key.as_ref(), &others, round);
                yielded.push(attempt);
            }
        }
        self.claims.release(yielded).await;
        verified
    }

    /// Blocks a key that other tasks own, and plans the next try.
    fn refuse(&self, key: Option<&Key>, owners: &[KeyOwner], round: &mut ClaimRound) {
        let until = owners.iter().map(|owner| owner.until).max();
        if let Some((key, until)) = key.zip(until) {
            let mut shared = self.claims.state.shared();
            let retry_at = shared.refusals.record(key.clone(), until, self.now);
            round.retry_at = earliest(round.retry_at, Some(retry_at));
            round.blocked.push(key.clone());
        }
    }
}

/// Returns the tasks outside of an attempt that own its key.
fn other_owners(attempt: &LeaseAttempt, owners: &KeyOwners) -> Vec<KeyOwner> {
    let ours: HashSet<_> = attempt
        .tasks
        .iter()
        .map(|leased| leased.after.name.as_str())
        .collect();
    let owners = attempt.key.as_ref().and_then(|key| owners.get(key));
    let owners = owners.into_iter().flatten();
    owners
        .filter(|owner| !ours.contains(owner.name.as_str()))
        .cloned()
        .collect()
}

impl Claims {
    /// Reads the tasks that own these keys now. The query is strongly consistent: it sees every lease that was
    /// committed before it.
    async fn key_owners(&self, keys: &[Key], now: DateTime<Utc>) -> Result<KeyOwners, Failure> {
        let mut by_kind: HashMap<&str, Vec<String>> = HashMap::new();
        for (kind, key) in keys {
            by_kind.entry(kind).or_default().push(key.as_str().to_owned());
        }
        let mut owners = KeyOwners::new();
        for (kind, keys) in by_kind {
            for keys in keys.chunks(MAX_IN) {
                let (found, _) = self
                    .documents
                    .query_tasks(&queries::leased_of_keys(&self.documents.env, kind, keys, now))
                    .await?;
                for stored in found {
                    let key: Option<ResourceKey> = stored.task.spec.held_key().cloned();
                    let until = stored.task.state.due().filter(|until| *until > now);
                    if let Some((key, until)) = key.zip(until) {
                        let owners = owners.entry((stored.task.spec.kind, key)).or_default();
                        let name = stored.name;
                        owners.push(KeyOwner { name, until });
                    }
                }
            }
        }
        Ok(owners)
    }

    /// Releases claims: writes back the state before them, as if they had not been made.
    pub(super) async fn release(&self, attempts: Vec<LeaseAttempt>) {
        let leased = attempts.iter().flat_map(|attempt| &attempt.tasks);
        let writes = leased.map(|leased| {
            let before = &leased.before;
            update(&leased.after, &before.task, &before.marks)
        });
        // If a write fails, the lease expires by itself.
        self.documents.writer.write(writes.collect()).await;
        for leased in attempts.iter().flat_map(|attempt| &attempt.tasks) {
            if let Some(lease) = &leased.after.task.state.lease {
                self.documents
                    .claim_cache
                    .remove(leased.after.task.id(), lease.token);
            }
        }
    }
}
