//! The dispatcher's state for one handler: its free slots, its claimed tasks, and the due time of its next
//! task.
//!
//! A generator calls no handler, so its advance needs no slot. A handler without a free slot still claims its
//! generators. Otherwise the occurrences that fall due while it is busy would count as missed.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::prefetch::{PREFETCH_LEASE, PrefetchBuffer};
use crate::handler::Handler;
use crate::store::{Claim, ClaimedTask, Demand};

/// The maximum number of generators in one claim of a handler without a free slot.
const MAX_GENERATORS: usize = 32;
/// The interval at which a handler without a free slot looks for generators that it does not know of.
const GENERATOR_CHECK_INTERVAL: Duration = Duration::from_mins(1);

/// The queue of one handler, as the dispatcher knows it.
pub(super) struct HandlerQueue {
    pub(super) handler: Arc<Handler>,
    /// The names under which the handler's tasks are stored.
    pub(super) kinds: Vec<String>,
    /// The length of a stored lease, unless the store is slow.
    usual_lease: Duration,
    /// The number of free slots.
    pub(super) free_slots: usize,
    /// The claimed tasks that have not begun.
    pub(super) buffer: Arc<PrefetchBuffer>,
    /// The state of the queue of all tasks. It counts while the handler can start tasks.
    tasks: DueState,
    /// The state of the queue of generators. It counts while the handler cannot start tasks.
    generators: DueState,
    /// True if the handler is known to have generators.
    has_generators: bool,
    /// The instant at which the handler last asked for generators only.
    generators_asked_at: Instant,
}

/// The dispatcher's knowledge about the due time of the next task in a queue.
pub(super) struct DueState {
    /// True if a task may be due, so that a claim is worthwhile.
    may_be_due: bool,
    /// The due time of the next task, as the store answered last.
    pub(super) next_due: Option<DateTime<Utc>>,
}

impl HandlerQueue {
    /// Returns the queue of a handler that has not claimed yet. `may_prefetch` tells whether the store allows
    /// prefetching.
    pub(super) fn new(handler: &Arc<Handler>, heartbeat: Duration, may_prefetch: bool) -> Self {
        let config = &handler.config;
        Self {
            handler: handler.clone(),
            kinds: handler.kinds().map(ToOwned::to_owned).collect(),
            usual_lease: config.lease.min(heartbeat),
            free_slots: config.concurrency as usize,
            buffer: Arc::new(PrefetchBuffer::new(config, may_prefetch)),
            tasks: DueState::unknown(),
            generators: DueState::unknown(),
            has_generators: false,
            generators_asked_at: Instant::now(),
        }
    }

    /// Returns whether a claim is worthwhile now.
    pub(super) fn wants_claim(&self) -> bool {
        self.due_state().may_be_due
    }

    /// Returns whether a claim now would be for tasks, and not for generators only.
    pub(super) fn can_take_tasks(&self) -> bool {
        self.free_slots > 0 || self.buffer.is_low()
    }

    /// Returns the state of the queue from which the handler would claim now.
    pub(super) fn due_state(&self) -> &DueState {
        if self.can_take_tasks() {
            &self.tasks
        } else {
            &self.generators
        }
    }

    /// Builds the demand of this handler and returns it with the lease to store. The lease lasts at least
    /// `min_lease`, and at most the handler's own `lease`.
    ///
    /// Prefetching is off while `min_lease` is longer than a prefetch lease: the store is slow, and a crash
    /// would delay prefetched tasks for too long.
    pub(super) fn demand(&self, generators_only: bool, min_lease: Duration) -> (Demand, Duration) {
        let usual = self.usual_lease.max(min_lease).min(self.handler.config.lease);
        let (max_claims, lease) = match self.buffer.prefetch_count() {
            _ if generators_only => (MAX_GENERATORS, usual),
            prefetch if prefetch > 0 && min_lease <= PREFETCH_LEASE => {
                (self.free_slots + prefetch, usual.min(PREFETCH_LEASE))
            }
            _ => (self.free_slots, usual),
        };
        let demand = Demand {
            kinds: self.kinds.clone(),
            max_claims,
            max_group: self.handler.max_group(),
            lease: chrono::TimeDelta::from_std(lease).expect("a lease lasts a day at most"),
            generators_only,
        };
        (demand, lease)
    }

    /// Records the store's answer about the next task that was not claimed.
    pub(super) fn record_next_due(
        &mut self,
        generators_only: bool,
        next_due: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        let state = if generators_only {
            self.generators_asked_at = Instant::now();
            self.has_generators |= next_due.is_some();
            &mut self.generators
        } else {
            &mut self.tasks
        };
        state.next_due = next_due;
        state.may_be_due = next_due.is_some_and(|due| due <= now);
    }

    /// Compares the known due times with the clock.
    pub(super) fn check_due(&mut self, now: DateTime<Utc>) {
        self.tasks.check_due(now);
        self.generators.check_due(now);
        self.generators.may_be_due |= self.generators_asked_at.elapsed() >= GENERATOR_CHECK_INTERVAL;
    }

    /// Records a wake-up by the store: a task may be due.
    pub(super) fn notified(&mut self) {
        self.tasks.may_be_due = true;
        // Most handlers have no generators, so a wake-up alone is not a reason to claim them.
        self.generators.may_be_due |= self.has_generators;
    }

    /// Records that a slot is free.
    pub(super) fn slot_freed(&mut self) {
        // Without a free slot the handler did not claim tasks, so one may have become due.
        self.tasks.may_be_due |= self.free_slots == 0;
        self.free_slots += 1;
    }

    /// Records that the handler has generators, if the claim contains a generator or an occurrence.
    pub(super) fn record_generators(&mut self, claim: &Claim) {
        let recurs = |claimed: &ClaimedTask| {
            claimed.task.spec.recurrence.is_some() || claimed.task.spec.occurrence.is_some()
        };
        if !self.has_generators && claim.tasks.iter().any(recurs) {
            self.has_generators = true;
            self.generators.may_be_due = true;
        }
    }
}

impl DueState {
    const fn unknown() -> Self {
        Self {
            may_be_due: true,
            next_due: None,
        }
    }

    fn check_due(&mut self, now: DateTime<Utc>) {
        self.may_be_due |= self.next_due.is_some_and(|due| due <= now);
    }
}
