//! Who holds a resource key: asked before a claim where it was held lately, and after every claim.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::Claims;
use super::lease::{Attempt, Round};
use super::outlook::earliest;
use super::pick::Pick;
use super::turn::Turn;
pub(super) use crate::store::firestore::claim_cache::Key;
use crate::store::firestore::documents::update;
use crate::store::firestore::join_all::join_all;
use crate::store::firestore::queries;
use crate::store::firestore::query::MAX_IN;
use crate::store::firestore::retry::Failure;
use crate::store::firestore::settings::KeyClaims;
use crate::task::ResourceKey;

/// After how long to try again for a key that somebody else holds: at first, and at the most.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// How often in a row each key was found in somebody else's hands.
#[derive(Debug, Default)]
pub(super) struct Refusals(HashMap<Key, u32>);

/// For each key the documents under which it is held, and until when.
type Holders = HashMap<Key, Vec<(String, DateTime<Utc>)>>;

impl Refusals {
    /// Notes that the key is held, and returns when to try again.
    fn note(&mut self, key: Key, ends: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        let times = self.0.entry(key).or_default();
        *times = times.saturating_add(1);
        let (first, longest) = PATIENCE;
        let wait = first
            .saturating_mul(2_u32.saturating_pow(*times - 1))
            .min(longest);
        // Not in step with whoever else waits for it.
        let wait = wait.mul_f64(0.5 + fastrand::f64());
        let wait = TimeDelta::from_std(wait).unwrap_or_default();
        ends.min(now + wait)
    }
}

impl Turn<'_> {
    /// The picks whose keys are free, as far as is known, each with all the tasks that it is to hold.
    pub(super) async fn free_keys(&self, picks: Vec<Pick>, round: &mut Round) -> Result<Vec<Pick>, Failure> {
        let suspects: Vec<_> = {
            let shared = self.inner.state.shared();
            let keys = picks.iter().filter_map(|pick| pick.key.clone());
            let always = self.inner.documents.settings.key_claims == KeyClaims::Unverified;
            keys.filter(|key| always || shared.refusals.0.contains_key(key))
                .collect()
        };
        let holders = self.inner.holders(&suspects, self.now).await?;
        let mut free = Vec::with_capacity(picks.len());
        for pick in picks {
            match pick.key.as_ref().and_then(|key| holders.get(key)) {
                Some(held) => self.refuse(pick.key.as_ref(), held, round),
                None => free.push(pick),
            }
        }
        let (group, now) = (self.demand.max_group, self.now);
        let whole = free.into_iter().map(|pick| {
            let inner = self.inner.clone();
            async move {
                if pick.incomplete {
                    inner.whole_group(pick, group, now).await
                } else {
                    Ok(pick)
                }
            }
        });
        join_all(whole).await.into_iter().collect()
    }

    /// Asks who holds the keys that were just claimed, and gives those back that somebody else holds too.
    pub(super) async fn verify(&self, attempts: Vec<Attempt>, round: &mut Round) -> Vec<Attempt> {
        if self.inner.documents.settings.key_claims == KeyClaims::Unverified {
            return attempts;
        }
        let keys: Vec<_> = attempts
            .iter()
            .filter_map(|attempt| attempt.key.clone())
            .collect();
        let holders = match self.inner.holders(&keys, self.now).await {
            Ok(holders) => holders,
            Err(failure) => {
                // Nobody can say that these keys are ours.
                round.failure = Some(failure);
                let (keyed, free) = attempts.into_iter().partition(|attempt| attempt.key.is_some());
                self.inner.give_back(keyed).await;
                return free;
            }
        };
        let mut verified = Vec::with_capacity(attempts.len());
        let mut yielded = Vec::new();
        for attempt in attempts {
            let others = others(&attempt, &holders);
            if others.is_empty() {
                if let Some(key) = &attempt.key {
                    self.inner.state.shared().refusals.0.remove(key);
                    self.inner.begin_row(key);
                }
                verified.push(attempt);
            } else {
                self.refuse(attempt.key.as_ref(), &others, round);
                yielded.push(attempt);
            }
        }
        self.inner.give_back(yielded).await;
        verified
    }

    fn refuse(&self, key: Option<&Key>, held: &[(String, DateTime<Utc>)], round: &mut Round) {
        let ends = held.iter().map(|(_, ends)| *ends).max();
        if let Some((key, ends)) = key.zip(ends) {
            let mut shared = self.inner.state.shared();
            let again = shared.refusals.note(key.clone(), ends, self.now);
            round.later = earliest(round.later, Some(again));
            round.shut.push(key.clone());
        }
    }
}

/// Who else holds the key of a claim.
fn others(attempt: &Attempt, holders: &Holders) -> Vec<(String, DateTime<Utc>)> {
    let ours: HashSet<_> = attempt
        .tasks
        .iter()
        .map(|leased| leased.after.name.as_str())
        .collect();
    let held = attempt.key.as_ref().and_then(|key| holders.get(key));
    let held = held.into_iter().flatten();
    held.filter(|(name, _)| !ours.contains(name.as_str()))
        .cloned()
        .collect()
}

impl Claims {
    /// Who holds these keys now.
    async fn holders(&self, keys: &[Key], now: DateTime<Utc>) -> Result<Holders, Failure> {
        let mut by_kind: HashMap<&str, Vec<String>> = HashMap::new();
        for (kind, key) in keys {
            by_kind.entry(kind).or_default().push(key.as_str().to_owned());
        }
        let mut holders = Holders::new();
        for (kind, keys) in by_kind {
            for keys in keys.chunks(MAX_IN) {
                let (found, _) = self
                    .documents
                    .query_tasks(&queries::leased_of_keys(&self.documents.env, kind, keys, now))
                    .await?;
                for stored in found {
                    let key: Option<ResourceKey> = stored.task.spec.held_key().cloned();
                    let ends = stored.task.state.due().filter(|ends| *ends > now);
                    if let Some((key, ends)) = key.zip(ends) {
                        let held = holders.entry((stored.task.spec.kind, key)).or_default();
                        held.push((stored.name, ends));
                    }
                }
            }
        }
        Ok(holders)
    }

    /// Takes claims back, as if they had not been made.
    pub(super) async fn give_back(&self, attempts: Vec<Attempt>) {
        let leased = attempts.iter().flat_map(|attempt| &attempt.tasks);
        let writes = leased.map(|leased| {
            let before = &leased.before;
            update(&leased.after, &before.task, &before.marks)
        });
        // One that fails is a lease that ends by itself.
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
