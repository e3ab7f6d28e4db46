//! The claims that this process made. With the cached document, one write ends a claim, without a read before it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::codec::Stored;
use crate::task::{LeaseToken, ResourceKey, Task, TaskId};

/// The duration for which a claim is cached after its lease expired without a report.
const RETENTION: TimeDelta = TimeDelta::minutes(10);

/// A kind and one of its resource keys.
pub(super) type Key = (Arc<str>, ResourceKey);

/// Returns the key that a claim of the task owns.
pub(super) fn key_of(task: &Task) -> Option<Key> {
    task.spec
        .held_key()
        .map(|key| (task.spec.kind.clone(), key.clone()))
}

/// A claim of this process.
#[derive(Clone, Debug)]
pub(super) struct CachedClaim {
    /// The task as it was last read or written.
    pub(super) stored: Stored,
    /// True if a write that ends the claim may have been applied although it failed.
    pub(super) ambiguous: bool,
    claimed: Instant,
}

/// The claims of this process, by their lease tokens.
#[derive(Debug, Default)]
pub(super) struct ClaimCache(Mutex<HashMap<LeaseToken, CachedClaim>>);

impl ClaimCache {
    fn claims(&self) -> MutexGuard<'_, HashMap<LeaseToken, CachedClaim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a task that was just claimed.
    pub(super) fn add(&self, stored: Stored) {
        self.put(stored, false);
    }

    /// Adds a claim, or replaces its document.
    pub(super) fn put(&self, stored: Stored, ambiguous: bool) {
        let Some(lease) = &stored.task.state.lease else {
            return;
        };
        let token = lease.token;
        let mut claims = self.claims();
        let claimed = claims
            .get(&token)
            .map_or_else(Instant::now, |claim| claim.claimed);
        let claim = CachedClaim {
            stored,
            ambiguous,
            claimed,
        };
        claims.insert(token, claim);
    }

    /// Returns the claim of this task with this token.
    pub(super) fn get(&self, id: &TaskId, token: LeaseToken) -> Option<CachedClaim> {
        let claim = self.claims().get(&token).cloned();
        claim.filter(|claim| claim.stored.task.id() == id)
    }

    pub(super) fn remove(&self, id: &TaskId, token: LeaseToken) {
        if self.get(id, token).is_some() {
            self.claims().remove(&token);
        }
    }

    /// Removes the claims whose leases expired long ago: their workers have crashed.
    pub(super) fn remove_expired(&self, now: DateTime<Utc>) {
        self.claims().retain(|_, claim| {
            let lease = claim.stored.task.state.lease.as_ref();
            lease.is_some_and(|lease| lease.until + RETENTION > now)
        });
    }

    /// Returns the names of the documents with an active lease, and for each resource key the end of the last active
    /// lease on it.
    pub(super) fn active(&self, now: DateTime<Utc>) -> (HashSet<String>, HashMap<Key, DateTime<Utc>>) {
        let mut names = HashSet::new();
        let mut keys = HashMap::new();
        for claim in self.claims().values() {
            let task = &claim.stored.task;
            let Some(until) = task.state.due().filter(|until| *until > now) else {
                continue;
            };
            names.insert(claim.stored.name.clone());
            if let Some(key) = key_of(task) {
                let ends = keys.entry(key).or_insert(until);
                *ends = until.max(*ends);
            }
        }
        (names, keys)
    }

    /// Returns whether a claim of the document with this name is cached.
    pub(super) fn contains_document(&self, name: &str) -> bool {
        self.claims().values().any(|claim| claim.stored.name == name)
    }

    /// Returns the age of the oldest claim.
    pub(super) fn oldest_age(&self) -> Option<Duration> {
        self.claims().values().map(|claim| claim.claimed.elapsed()).max()
    }
}
