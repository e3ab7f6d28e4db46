//! The claims that this process holds: with them at hand a claim is ended by one write and no read.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::codec::Stored;
use crate::task::{LeaseToken, ResourceKey, Task, TaskId};

/// How long a claim is remembered after its lease ended without a word from the worker.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::minutes(10);

/// A kind and a resource key of it.
pub(super) type Key = (Arc<str>, ResourceKey);

/// The key that a task holds while it is claimed.
pub(super) fn key_of(task: &Task) -> Option<Key> {
    task.spec
        .held_key()
        .map(|key| (task.spec.kind.clone(), key.clone()))
}

#[derive(Clone, Debug)]
pub(super) struct Holding {
    pub(super) stored: Stored,
    /// Whether a write that ends the claim may have been made, though it failed.
    pub(super) doubtful: bool,
    since: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Held(Mutex<HashMap<LeaseToken, Holding>>);

impl Held {
    fn claims(&self) -> MutexGuard<'_, HashMap<LeaseToken, Holding>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a task that was just claimed.
    pub(super) fn add(&self, stored: Stored) {
        self.put(stored, false);
    }

    /// Remembers a claim, in the state that it was found in.
    pub(super) fn put(&self, stored: Stored, doubtful: bool) {
        let Some(lease) = &stored.task.state.lease else {
            return;
        };
        let token = lease.token;
        let mut claims = self.claims();
        let since = claims.get(&token).map_or_else(Instant::now, |held| held.since);
        claims.insert(
            token,
            Holding {
                stored,
                doubtful,
                since,
            },
        );
    }

    /// The claim of this task under this token.
    pub(super) fn get(&self, id: &TaskId, token: LeaseToken) -> Option<Holding> {
        let held = self.claims().get(&token).cloned();
        held.filter(|held| held.stored.task.id() == id)
    }

    pub(super) fn remove(&self, id: &TaskId, token: LeaseToken) {
        if self.get(id, token).is_some() {
            self.claims().remove(&token);
        }
    }

    /// Forgets claims that nobody ended, for whoever held them has gone.
    pub(super) fn forget_the_gone(&self, now: DateTime<Utc>) {
        self.claims().retain(|_, held| {
            let lease = held.stored.task.state.lease.as_ref();
            lease.is_some_and(|lease| lease.until + FORGOTTEN_AFTER > now)
        });
    }

    /// The names of the documents that are held, and for each key until when.
    pub(super) fn now_held(&self, now: DateTime<Utc>) -> (HashSet<String>, HashMap<Key, DateTime<Utc>>) {
        let mut names = HashSet::new();
        let mut keys = HashMap::new();
        for held in self.claims().values() {
            let task = &held.stored.task;
            let Some(until) = task.state.due().filter(|until| *until > now) else {
                continue;
            };
            names.insert(held.stored.name.clone());
            if let Some(key) = key_of(task) {
                let ends = keys.entry(key).or_insert(until);
                *ends = until.max(*ends);
            }
        }
        (names, keys)
    }

    pub(super) fn holds(&self, name: &str) -> bool {
        self.claims().values().any(|held| held.stored.name == name)
    }

    /// For how long the oldest claim has been held.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.claims().values().map(|held| held.since.elapsed()).max()
    }
}
