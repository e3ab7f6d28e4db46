//! The key hand-off: one atomic write ends a claim of a resource key and claims the key's next task.
//!
//! # Why no verification is needed
//!
//! The key is never free, so no other worker can claim it. The lease of the first task owns the key until the
//! instant of the write, and the lease of the next task owns it from that instant on. That holds only while the
//! first lease has not expired. So a key is handed over only if the first lease lasts for at least
//! [`MIN_REMAINING_LEASE`], and the write is sent once and never repeated.
//!
//! # Fairness
//!
//! A key is handed over only to a worker of this process that has subscribed to the queue, and at most
//! [`MAX_CONSECUTIVE_HANDOFFS`] times in a row. Then the key becomes free, and workers of other processes can
//! claim it. A claim that the worker does not collect at once is released.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::sleep;

use super::Claims;
use super::fill::FillDemand;
use super::key_check::Key;
use super::lease::{LeaseAttempt, LeasedTask};
use super::window::Window;
use crate::store::Demand;
use crate::store::firestore::codec::Stored;
use crate::store::firestore::proto::{Status, pb};
use crate::task::transition;

/// The maximum number of consecutive hand-offs of one key.
const MAX_CONSECUTIVE_HANDOFFS: u32 = 16;
/// The minimum remaining duration of the lease that ends. It exceeds the default time limit of one write plus the
/// difference between two clocks.
const MIN_REMAINING_LEASE: TimeDelta = TimeDelta::seconds(20);
/// The time within which the worker must collect the next claim. It is added to the duration of the lease.
const COLLECT_WITHIN: Duration = Duration::from_secs(1);

/// The state of hand-offs.
#[derive(Debug, Default)]
pub(super) struct Handoffs {
    /// For each kind, the last worker that demanded its tasks.
    recipients: HashMap<String, Recipient>,
    /// For each key, the number of consecutive hand-offs.
    consecutive: HashMap<Key, u32>,
    /// The claims that wait to be collected, each with the instant at which it was made.
    ready: Vec<(Instant, LeaseAttempt)>,
}

/// The worker on whose behalf a task is claimed, and the lease that it asks for.
#[derive(Clone, Debug)]
struct Recipient {
    owner: Arc<str>,
    lease: TimeDelta,
}

impl Handoffs {
    /// Records the demands of a worker, so that a next task can be claimed on its behalf. Demands for groups are
    /// ignored, because a group is claimed as a whole.
    pub(super) fn record_demands(&mut self, owner: &Arc<str>, demands: &[Demand]) {
        let takes_single_tasks =
            |demand: &&Demand| demand.max_claims > 0 && demand.max_group == 1 && !demand.generators_only;
        for demand in demands.iter().filter(takes_single_tasks) {
            for kind in &demand.kinds {
                let recipient = Recipient {
                    owner: owner.clone(),
                    lease: demand.lease,
                };
                self.recipients.insert(kind.clone(), recipient);
            }
        }
    }

    /// Returns the worker to which this key may be handed over.
    fn recipient(&self, key: &Key) -> Option<Recipient> {
        let consecutive = self.consecutive.get(key).copied().unwrap_or_default();
        let recipient = self.recipients.get(&*key.0);
        recipient
            .filter(|_| consecutive < MAX_CONSECUTIVE_HANDOFFS)
            .cloned()
    }

    /// Removes and returns up to `max` claims of these kinds that are still to be collected.
    fn collect(&mut self, kinds: &[String], max: usize) -> Vec<LeaseAttempt> {
        let mut collected = Vec::new();
        let ready = std::mem::take(&mut self.ready);
        for (since, attempt) in ready {
            let is_of_kinds = kinds
                .iter()
                .any(|kind| kind == attempt.tasks[0].after.task.kind());
            if is_of_kinds && collected.len() < max && since.elapsed() < COLLECT_WITHIN {
                collected.push(attempt);
            } else {
                self.ready.push((since, attempt));
            }
        }
        collected
    }

    /// Removes and returns the claim of this document if it was not collected.
    fn take_uncollected(&mut self, name: &str) -> Option<LeaseAttempt> {
        let index = self
            .ready
            .iter()
            .position(|(_, attempt)| attempt.tasks[0].after.name == name);
        index.map(|index| self.ready.swap_remove(index).1)
    }
}

impl FillDemand<'_> {
    /// Adds the claims that hand-offs made on behalf of this worker.
    pub(super) fn collect_handed_over(&mut self) {
        let collected = {
            let mut shared = self.claims.state.shared();
            shared.handoffs.collect(&self.demand.kinds, self.free_slots())
        };
        for attempt in collected {
            self.accept(attempt);
        }
    }
}

impl Claims {
    /// Ends a claim with this write, and claims the key's next task in the same atomic write. Returns `None`
    /// without writing anything if the task has no key, its lease ends too soon, no next task is known, or no
    /// worker may receive the key.
    pub(in crate::store::firestore) async fn hand_over_key(
        self: &Arc<Self>,
        first: &Stored,
        write: &pb::Write,
        now: DateTime<Utc>,
    ) -> Option<Result<(), Status>> {
        let task = &first.task;
        let key: Key = (task.spec.kind.clone(), task.spec.held_key()?.clone());
        let remaining = task.state.lease.as_ref()?.until - now;
        if remaining < MIN_REMAINING_LEASE
            || !self
                .documents
                .notifier
                .kinds()
                .iter()
                .any(|kind| **kind == *key.0)
        {
            return None;
        }
        let recipient = self.state.shared().handoffs.recipient(&key)?;
        let next = self.take_next_of_key(&key, now)?;
        let lease = recipient.lease + TimeDelta::from_std(COLLECT_WITHIN).unwrap_or_default();
        let mut next = LeasedTask::new(next, &recipient.owner, now, lease);
        let writes = [write.clone(), next.write()];
        match self.documents.rpc.commit_once(&writes).await {
            Ok(times) => {
                self.documents.rpc.meter.wrote(writes.len());
                next.after.update_time = times.last().copied().unwrap_or_default();
                self.offer(key, next);
                Some(Ok(()))
            }
            Err(status) => {
                // The next task is no longer in the window: later tasks of the key must not overtake it.
                self.state.shared().block_key(key);
                Some(Err(status))
            }
        }
    }

    /// Removes the first due task of a key from the window of its kind, and returns it.
    fn take_next_of_key(&self, key: &Key, now: DateTime<Utc>) -> Option<Stored> {
        let (claimed, _) = self.documents.claim_cache.active(now);
        let mut shared = self.state.shared();
        let of_kind = |(kinds, window): &(&Vec<String>, &mut Window)| {
            kinds.iter().any(|kind| **kind == *key.0) && window.is_fresh(now)
        };
        let (_, window) = shared.windows.iter_mut().find(of_kind)?;
        let is_next = |stored: &Stored| {
            let task = &stored.task;
            let of_key = task.kind() == &*key.0 && task.spec.held_key() == Some(&key.1);
            of_key && transition::is_due(&task.state, now) && !claimed.contains(&stored.name)
        };
        let index = window.tasks.iter().position(is_next)?;
        window.tasks.remove(index)
    }

    /// Keeps a claim for its worker and notifies the worker. Releases the claim later if it was not collected.
    fn offer(self: &Arc<Self>, key: Key, next: LeasedTask) {
        let (name, kind) = (next.after.name.clone(), key.0.clone());
        self.documents.claim_cache.add(next.after.clone());
        {
            let mut shared = self.state.shared();
            *shared.handoffs.consecutive.entry(key.clone()).or_default() += 1;
            let attempt = LeaseAttempt {
                key: Some(key),
                tasks: vec![next],
            };
            shared.handoffs.ready.push((Instant::now(), attempt));
        }
        self.documents.notifier.notify_due(&kind);
        let claims = Arc::downgrade(self);
        tokio::spawn(async move {
            sleep(2 * COLLECT_WITHIN).await;
            let Some(claims) = claims.upgrade() else { return };
            let uncollected = claims.state.shared().handoffs.take_uncollected(&name);
            if let Some(attempt) = uncollected {
                claims.release(vec![attempt]).await;
            }
        });
    }

    /// Starts counting the hand-offs of a key again: it was free, so other processes had a chance to claim it.
    pub(super) fn reset_handoffs(&self, key: &Key) {
        self.state.shared().handoffs.consecutive.remove(key);
    }
}
