//! What the dispatcher knows of one handler: how much room it has, and when it is worth asking for work.
//!
//! A generator's turn calls no handler and needs no slot: a handler that has none free still claims the turns
//! of its generators, or what falls due while it is busy would count as missed.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::lanes::{self, Queue};
use crate::registry::Runnable;
use crate::store::{Claim, ClaimedTask, Demand};

/// How many generators take their turns without a slot after one claim.
const TURNS: usize = 32;
/// How often a handler without a free slot asks for generators that it does not know of.
const UNKNOWN_TURNS: Duration = Duration::from_mins(1);

/// The room for the tasks of one handler.
pub(super) struct Room {
    pub(super) kinds: Vec<String>,
    /// How long its leases are stored for at a time, unless the store is slow.
    lease: Duration,
    /// The longest that they may be.
    limit: Duration,
    group: usize,
    /// Slots that no lane has.
    pub(super) free: usize,
    /// What was claimed and has not begun.
    pub(super) queue: Arc<Queue>,
    /// What it claims while a slot is free.
    tasks: Outlook,
    /// What it claims while none is: its generators.
    turns: Outlook,
    /// Whether it is known to have generators.
    recurs: bool,
    /// When it last asked for generators only.
    asked_for_turns: Instant,
}

/// What is known of a queue.
pub(super) struct Outlook {
    /// Whether something may be due.
    look: bool,
    /// When the next task is due, as far as is known.
    pub(super) due: Option<DateTime<Utc>>,
}

impl Room {
    pub(super) fn of(runnable: &Runnable, heartbeat: Duration, ahead: bool) -> Self {
        let names = std::iter::once(&runnable.kind).chain(runnable.aliases);
        let group = if runnable.grouped {
            runnable.config.max_group
        } else {
            1
        };
        Self {
            kinds: names.map(ToString::to_string).collect(),
            lease: runnable.config.lease.min(heartbeat),
            limit: runnable.config.lease,
            group: group as usize,
            free: runnable.config.concurrency as usize,
            queue: Arc::new(Queue::new(&runnable.config, ahead)),
            tasks: Outlook::unknown(),
            turns: Outlook::unknown(),
            recurs: false,
            asked_for_turns: Instant::now(),
        }
    }

    pub(super) fn demands(&self) -> bool {
        self.outlook().look
    }

    /// Whether it would claim tasks now, not only generators.
    pub(super) fn claims_tasks(&self) -> bool {
        self.free > 0 || self.queue.is_low()
    }

    /// What is known of the queue from which it would claim now.
    pub(super) fn outlook(&self) -> &Outlook {
        if self.claims_tasks() {
            &self.tasks
        } else {
            &self.turns
        }
    }

    /// What to ask for, and how long its leases last: so long at the least, as far as an attempt may. Of a store that
    /// takes longer than a lease ahead lasts nothing is claimed ahead, for that would not be for seconds.
    pub(super) fn demand(&self, generators_only: bool, least: Duration) -> (Demand, Duration) {
        let usual = self.lease.max(least).min(self.limit);
        let (claims, lease) = match self.queue.room_ahead() {
            _ if generators_only => (TURNS, usual),
            ahead if ahead > 0 && least <= lanes::LEASE => (self.free + ahead, usual.min(lanes::LEASE)),
            _ => (self.free, usual),
        };
        let demand = Demand {
            kinds: self.kinds.clone(),
            max_claims: claims,
            max_group: self.group,
            lease: chrono::TimeDelta::from_std(lease).expect("a lease lasts a day at most"),
            generators_only,
        };
        (demand, lease)
    }

    /// Notes what the store said of the rest.
    pub(super) fn answered(&mut self, turns: bool, due: Option<DateTime<Utc>>, now: DateTime<Utc>) {
        let outlook = if turns {
            self.asked_for_turns = Instant::now();
            self.recurs |= due.is_some();
            &mut self.turns
        } else {
            &mut self.tasks
        };
        outlook.due = due;
        outlook.look = due.is_some_and(|due| due <= now);
    }

    /// The clock has moved on: what was said to be due later may be due now.
    pub(super) fn look_at_due(&mut self, now: DateTime<Utc>) {
        self.tasks.look_at_due(now);
        self.turns.look_at_due(now);
        self.turns.look |= self.asked_for_turns.elapsed() >= UNKNOWN_TURNS;
    }

    /// The store rang.
    pub(super) fn rung(&mut self) {
        self.tasks.look = true;
        // Most have no generators: not each ring is worth asking for some.
        self.turns.look |= self.recurs;
    }

    /// A slot got free.
    pub(super) fn slot_freed(&mut self) {
        // A handler that was busy has not looked for a while.
        self.tasks.look |= self.free == 0;
        self.free += 1;
    }

    /// A generator, or what one spawned, tells that there are generators.
    pub(super) fn learn(&mut self, claim: &Claim) {
        let recurs = |claimed: &ClaimedTask| {
            claimed.task.spec.recurrence.is_some() || claimed.task.spec.occurrence.is_some()
        };
        let news = claim.tasks.iter().any(recurs) && !std::mem::replace(&mut self.recurs, true);
        self.turns.look |= news;
    }
}

impl Outlook {
    const fn unknown() -> Self {
        Self {
            look: true,
            due: None,
        }
    }

    fn look_at_due(&mut self, now: DateTime<Utc>) {
        self.look |= self.due.is_some_and(|due| due <= now);
    }
}
