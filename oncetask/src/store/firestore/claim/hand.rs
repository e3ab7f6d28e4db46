//! Handing a resource key on: a claim's end and the claim of the key's next task, in one atomic write.
//!
//! Between the two the key is never free, so that nobody needs to be asked whether somebody else took it:
//! the lease of the first task holds it until the instant of the write, the lease of the next from that
//! instant on. That is true while the first lease has not ended: one that ends soon is not handed on, and the
//! write is made at once or not at all.
//!
//! It is done for a worker of this process that watches the queue, and a bounded number of times in a row:
//! then workers of other processes get their turn. What is not fetched at once is given back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::sleep;

use super::Claims;
use super::keys::Key;
use super::lease::{Attempt, Leased};
use super::turn::Turn;
use crate::store::Demand;
use crate::store::firestore::codec::Stored;
use crate::store::firestore::proto::{Status, pb};
use crate::task::transition;

/// How often in a row a key stays with one worker.
const MAX_IN_A_ROW: u32 = 16;
/// For how long the first lease must last: for longer than the one attempt to write may take, and than clocks
/// differ.
const MARGIN: TimeDelta = TimeDelta::seconds(20);
/// For how long the next claim waits to be fetched, by which its lease is longer.
const FETCH: Duration = Duration::from_secs(1);

/// What is handed on, and to whom.
#[derive(Debug, Default)]
pub(super) struct Hands {
    /// For each kind what was last wanted of it.
    wishes: HashMap<String, Wish>,
    /// For each key how often in a row it was handed on.
    in_a_row: HashMap<Key, u32>,
    ready: Vec<(Instant, Attempt)>,
}

#[derive(Clone, Debug)]
struct Wish {
    owner: Arc<str>,
    lease: TimeDelta,
}

impl Hands {
    /// Notes what a worker demands, so that the next task can be claimed on its behalf. A group is claimed as a
    /// whole, and is not handed on.
    pub(super) fn note(&mut self, owner: &Arc<str>, demands: &[Demand]) {
        let has_room =
            |demand: &&Demand| demand.max_claims > 0 && demand.max_group == 1 && !demand.generators_only;
        for demand in demands.iter().filter(has_room) {
            for kind in &demand.kinds {
                let wish = Wish {
                    owner: owner.clone(),
                    lease: demand.lease,
                };
                self.wishes.insert(kind.clone(), wish);
            }
        }
    }

    fn wish(&self, key: &Key) -> Option<Wish> {
        let row = self.in_a_row.get(key).copied().unwrap_or_default();
        let wish = self.wishes.get(&*key.0);
        wish.filter(|_| row < MAX_IN_A_ROW).cloned()
    }

    fn fetch(&mut self, kinds: &[String], room: usize) -> Vec<Attempt> {
        let mut fetched = Vec::new();
        let ready = std::mem::take(&mut self.ready);
        for (since, attempt) in ready {
            let is_wanted = kinds
                .iter()
                .any(|kind| kind == attempt.tasks[0].after.task.kind());
            if is_wanted && fetched.len() < room && since.elapsed() < FETCH {
                fetched.push(attempt);
            } else {
                self.ready.push((since, attempt));
            }
        }
        fetched
    }

    fn take_back(&mut self, name: &str) -> Option<Attempt> {
        let place = self
            .ready
            .iter()
            .position(|(_, attempt)| attempt.tasks[0].after.name == name);
        place.map(|place| self.ready.swap_remove(place).1)
    }
}

impl Turn<'_> {
    /// The claims that were made on behalf of this worker.
    pub(super) fn fetch(&mut self) {
        let fetched = {
            let mut shared = self.inner.state.shared();
            shared.hands.fetch(&self.demand.kinds, self.room())
        };
        for attempt in fetched {
            self.accept(attempt);
        }
    }
}

impl Claims {
    /// Ends a claim by this write and claims the key's next task with it, if there is one and somebody who
    /// demands it. Returns nothing if that was not tried.
    pub(in crate::store::firestore) async fn hand_on(
        self: &Arc<Self>,
        first: &Stored,
        write: &pb::Write,
        now: DateTime<Utc>,
    ) -> Option<Result<(), Status>> {
        let task = &first.task;
        let key: Key = (task.spec.kind.clone(), task.spec.held_key()?.clone());
        let lasts = task.state.lease.as_ref()?.until - now;
        if lasts < MARGIN
            || !self
                .documents
                .notifier
                .kinds()
                .iter()
                .any(|kind| **kind == *key.0)
        {
            return None;
        }
        let wish = self.state.shared().hands.wish(&key)?;
        let next = self.next_of(&key, now)?;
        let lease = wish.lease + TimeDelta::from_std(FETCH).unwrap_or_default();
        let mut next = Leased::new(next, &wish.owner, now, lease);
        let writes = [write.clone(), next.write()];
        match self.documents.rpc.commit_once(&writes).await {
            Ok(times) => {
                self.documents.rpc.meter.wrote(writes.len());
                next.after.update_time = times.last().copied().unwrap_or_default();
                self.keep_ready(key, next);
                Some(Ok(()))
            }
            Err(status) => {
                // It was taken out of the window: the key's next tasks must not overtake it.
                self.state.shared().shut(key);
                Some(Err(status))
            }
        }
    }

    /// The first task of a key that is due, of those that were read of the queue.
    fn next_of(&self, key: &Key, now: DateTime<Utc>) -> Option<Stored> {
        let (held, _) = self.documents.claim_cache.active(now);
        let mut shared = self.state.shared();
        let of_kind = |(kinds, window): &(&Vec<String>, &mut super::Window)| {
            kinds.iter().any(|kind| **kind == *key.0) && window.is_fresh(now)
        };
        let (_, window) = shared.windows.iter_mut().find(of_kind)?;
        let is_next = |stored: &Stored| {
            let task = &stored.task;
            let of_key = task.kind() == &*key.0 && task.spec.held_key() == Some(&key.1);
            of_key && transition::is_due(&task.state, now) && !held.contains(&stored.name)
        };
        let place = window.tasks.iter().position(is_next)?;
        window.tasks.remove(place)
    }

    /// Keeps a claim for the worker that is about to ask for it.
    fn keep_ready(self: &Arc<Self>, key: Key, next: Leased) {
        let (name, kind) = (next.after.name.clone(), key.0.clone());
        self.documents.claim_cache.add(next.after.clone());
        {
            let mut shared = self.state.shared();
            *shared.hands.in_a_row.entry(key.clone()).or_default() += 1;
            let attempt = Attempt {
                key: Some(key),
                tasks: vec![next],
            };
            shared.hands.ready.push((Instant::now(), attempt));
        }
        self.documents.notifier.notify_due(&kind);
        let inner = Arc::downgrade(self);
        tokio::spawn(async move {
            sleep(2 * FETCH).await;
            let Some(inner) = inner.upgrade() else { return };
            let left = inner.state.shared().hands.take_back(&name);
            if let Some(attempt) = left {
                inner.give_back(vec![attempt]).await;
            }
        });
    }

    /// A key was claimed anew: others had their chance.
    pub(super) fn begin_row(&self, key: &Key) {
        self.state.shared().hands.in_a_row.remove(key);
    }
}
