//! The active claims of a worker, ordered by the instant at which each needs attention next.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::active_claim::ActiveClaim;
use super::lock;
use super::recent_cancellations::RecentCancellations;
use crate::client::Client;
use crate::latch::Latch;

/// The maximum sleep of the keeper. It applies when no deadline is closer.
const MAX_SLEEP: Duration = Duration::from_mins(1);

/// The active claims by deadline, and the state that the keeper shares with the worker's calls.
#[derive(Debug)]
pub(super) struct Deadlines {
    pub(super) client: Client,
    entries: Mutex<Entries>,
    pub(super) recent_cancellations: Mutex<RecentCancellations>,
    /// True if `recent_cancellations` was ever filled. A claim that is inserted after a call of
    /// [`all`](Self::all) sees it set, because the lock of the entries orders the two.
    pub(super) has_cancellations: AtomicBool,
    /// Notified when the earliest deadline may have changed.
    pub(super) changed: Notify,
    /// The number of the next claim.
    pub(super) next_number: AtomicU64,
    pub(super) closed: Latch,
}

#[derive(Debug, Default)]
struct Entries {
    /// The key of each claim is the deadline that the claim itself has recorded.
    by_deadline: BTreeMap<(Instant, u64), Arc<ActiveClaim>>,
    /// The instant until which the keeper sleeps.
    asleep_until: Option<Instant>,
}

impl Deadlines {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            entries: Mutex::default(),
            recent_cancellations: Mutex::default(),
            has_cancellations: AtomicBool::new(false),
            changed: Notify::new(),
            next_number: AtomicU64::new(0),
            closed: Latch::default(),
        }
    }

    /// Returns all active claims.
    pub(super) fn all(&self) -> Vec<Arc<ActiveClaim>> {
        lock(&self.entries).by_deadline.values().cloned().collect()
    }

    /// Adds a claim.
    pub(super) fn insert(&self, claim: Arc<ActiveClaim>) {
        let mut entries = lock(&self.entries);
        let deadline = claim.register();
        entries.by_deadline.insert((deadline, claim.number), claim);
        self.wake_keeper_for(&entries, deadline);
    }

    /// Removes claims. Claims that are not registered are ignored.
    pub(super) fn remove<'a>(&self, claims: impl IntoIterator<Item = &'a ActiveClaim>) {
        let mut entries = lock(&self.entries);
        for claim in claims {
            if let Some(deadline) = claim.unregister() {
                entries.by_deadline.remove(&(deadline, claim.number));
            }
        }
    }

    /// Moves a claim to its next deadline if it is registered.
    pub(super) fn reschedule(&self, claim: &ActiveClaim) {
        let mut entries = lock(&self.entries);
        if let Some((previous, next)) = claim.advance_deadline()
            && let Some(claim) = entries.by_deadline.remove(&(previous, claim.number))
        {
            entries.by_deadline.insert((next, claim.number), claim);
            self.wake_keeper_for(&entries, next);
        }
    }

    fn wake_keeper_for(&self, entries: &Entries, deadline: Instant) {
        if entries.asleep_until.is_none_or(|until| deadline < until) {
            self.changed.notify_one();
        }
    }

    /// Returns the claims that need attention now, and the instant at which the next one does.
    pub(super) fn due(&self, now: Instant) -> (Vec<Arc<ActiveClaim>>, Instant) {
        let mut entries = lock(&self.entries);
        let due: Vec<_> = entries
            .by_deadline
            .iter()
            .take_while(|((deadline, _), _)| *deadline <= now)
            .map(|(_, claim)| claim.clone())
            .collect();
        let mut deadlines = entries.by_deadline.keys().map(|(deadline, _)| *deadline);
        let next = deadlines.find(|deadline| *deadline > now);
        let next = next.unwrap_or(now + MAX_SLEEP).min(now + MAX_SLEEP);
        entries.asleep_until = Some(next);
        (due, next)
    }
}
