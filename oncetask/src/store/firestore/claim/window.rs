//! Windows: due tasks that were read from a queue and not yet claimed.
//!
//! Two optimisations are here:
//!
//! - A window is kept between claims while it is fresh, which saves the query before each claim. An outdated task
//!   cannot be claimed by mistake, because its conditional write is refused.
//! - The queues of several handlers are read by one query, which saves a query, billed as one read, for each handler
//!   without due tasks.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::Claims;
use super::contention;
use super::paging::{Consumption, MAX_PAGE, PageRead, QueuePage};
use crate::store::Demand;
use crate::store::firestore::claim_cache::{Key, key_of};
use crate::store::firestore::codec::Stored;
use crate::store::firestore::proto::pb;
use crate::store::firestore::query::MAX_IN;
use crate::store::firestore::retry::Failure;
use crate::store::firestore::settings::KeyClaims;

/// The time for which a window is used. A task that another process makes due earlier waits behind the window for at
/// most this time.
const FRESH_FOR: Duration = Duration::from_secs(3);
/// The maximum number of tasks that are kept for the next claim.
const MAX_KEPT: usize = 1024;

/// The due tasks that were read from the queue of a set of kinds, in the order in which to claim them.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) tasks: VecDeque<Stored>,
    /// The position in the queue at which the next page starts, if more tasks may be due.
    pub(super) cursor: Option<Vec<pb::Value>>,
    /// The instant at which the tasks were due.
    pub(super) as_of: DateTime<Utc>,
    /// The instant of the read, on the monotonic clock.
    read: Instant,
    /// The number of documents that were read.
    pub(super) size: usize,
    pub(super) consumption: Consumption,
    /// True if tasks were dropped from the window that may still be free.
    pub(super) has_gaps: bool,
    /// The keys for which a claim was lost, and the keys that other workers own. Their later tasks must not overtake
    /// the one that could not be claimed.
    blocked_keys: HashSet<Key>,
    /// The instant at which to try again to claim blocked keys.
    pub(super) blocked_until: Option<DateTime<Utc>>,
    /// The number of tasks that were removed because their keys are blocked.
    pub(super) blocked: usize,
    /// The next page, while it is being read.
    pub(super) read_ahead: Option<PageRead>,
}

impl Window {
    fn empty(now: DateTime<Utc>) -> Self {
        Self {
            tasks: VecDeque::new(),
            cursor: None,
            as_of: now,
            read: Instant::now(),
            size: 0,
            consumption: Consumption::new(Duration::ZERO),
            has_gaps: false,
            blocked_keys: HashSet::new(),
            blocked_until: None,
            blocked: 0,
            read_ahead: None,
        }
    }

    /// Returns an empty window that is never fresh: the next use reads the queue.
    pub(super) fn unread() -> Self {
        Self::empty(DateTime::<Utc>::MIN_UTC)
    }

    /// Drops the tasks of the window. Keeps the page that is being read ahead, unless the window has tasks with keys:
    /// later tasks of those keys must not overtake them.
    pub(super) fn discard(&mut self) {
        let has_keys = self
            .tasks
            .iter()
            .any(|stored| stored.task.spec.held_key().is_some());
        if self.read_ahead.is_some() && !has_keys {
            self.tasks.clear();
            self.has_gaps = true;
        } else {
            *self = Self::unread();
        }
    }

    /// Removes the tasks of these keys, also from later pages, until the queue is read anew. If `may_be_free` is set,
    /// the queue is read anew before it counts as drained.
    pub(super) fn block_keys(&mut self, keys: Vec<Key>, until: Option<DateTime<Utc>>, may_be_free: bool) {
        if !keys.is_empty() {
            self.blocked_keys.extend(keys);
            self.has_gaps |= may_be_free;
            self.blocked_until = self.blocked_until.max(until);
            self.remove_blocked();
        }
    }

    /// Returns the instant before which the queue is not read anew. There is one if so many tasks are blocked that
    /// another read would be expensive.
    pub(super) fn reread_not_before(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.blocked_until
            .filter(|until| self.blocked > MAX_PAGE && *until > now)
    }

    fn remove_blocked(&mut self) {
        if self.blocked_keys.is_empty() {
            return;
        }
        let before = self.tasks.len();
        self.tasks
            .retain(|stored| key_of(&stored.task).is_none_or(|key| !self.blocked_keys.contains(&key)));
        self.blocked += before - self.tasks.len();
    }

    /// Returns whether the window may be used at this instant.
    pub(super) fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        let age = now - self.as_of;
        self.read.elapsed() < FRESH_FOR
            && age >= TimeDelta::zero()
            && age.to_std().is_ok_and(|age| age < FRESH_FOR)
    }

    /// Returns whether the window and its later pages contain every task that is due at this instant.
    pub(super) fn is_current(&self, now: DateTime<Utc>) -> bool {
        self.as_of == now && !self.has_gaps
    }

    /// Returns a copy without the page that is being read ahead.
    pub(super) fn snapshot(&self) -> Self {
        Self {
            tasks: self.tasks.clone(),
            cursor: self.cursor.clone(),
            blocked_keys: self.blocked_keys.clone(),
            read_ahead: None,
            ..*self
        }
    }

    /// Sorts the tasks in ring order, from this position on. The tasks of a key keep their order.
    fn rotate_to(&mut self, position: u64) {
        self.tasks.make_contiguous().sort_by_cached_key(|stored| {
            let task = &stored.task;
            let distance = contention::ring_position(stored).wrapping_sub(position);
            (distance, task.queue_order())
        });
    }

    /// Returns the number of tasks that were selected for claims.
    fn used(&self) -> usize {
        self.size.saturating_sub(self.tasks.len() + self.blocked)
    }

    /// Returns whether the window is of no further use: it has neither tasks nor a next page, or more tasks than are
    /// kept.
    pub(super) fn is_spent(&self) -> bool {
        (self.tasks.is_empty() && self.cursor.is_none()) || self.tasks.len() > MAX_KEPT
    }

    /// Returns whether all tasks of the window, and of the page that is being read ahead, are due by this instant.
    pub(super) fn ends_by(&self, at: DateTime<Utc>) -> bool {
        let last = match self.read_ahead {
            Some(_) => Some(self.as_of),
            None => self.tasks.back().and_then(|stored| stored.task.state.due()),
        };
        last.is_some_and(|last| last <= at)
    }

    /// Appends a page.
    pub(super) fn append(&mut self, page: QueuePage) {
        self.size += page.read;
        self.cursor = page.cursor;
        self.tasks.extend(page.tasks);
        self.remove_blocked();
        self.consumption = Consumption::new(page.duration);
    }
}

impl Claims {
    /// Reads the queues of several demands together: one query for those that need a read.
    pub(super) async fn read_queues_together(
        &self,
        demands: &[Demand],
        now: DateTime<Utc>,
    ) -> Result<(), Failure> {
        let needs_read = |demand: &&Demand| {
            let is_queued = demand.max_claims > 0 && !demand.generators_only;
            is_queued && (1..=MAX_IN).contains(&demand.kinds.len()) && !self.needs_no_read(&demand.kinds, now)
        };
        let unread: Vec<_> = demands.iter().filter(needs_read).collect();
        for group in groups_per_query(&unread) {
            // The queue of a single demand is read when the demand is filled.
            if group.len() > 1 {
                self.read_windows(&group, now).await?;
            }
        }
        Ok(())
    }

    /// Reads the queues of these demands by one query, and gives each demand a window of its tasks.
    async fn read_windows(&self, demands: &[&Demand], now: DateTime<Utc>) -> Result<(), Failure> {
        let kinds: Vec<_> = demands
            .iter()
            .flat_map(|demand| demand.kinds.iter().cloned())
            .collect();
        let slots = demands.iter().map(|demand| demand.max_claims).sum();
        let all = self.read_window(&kinds, slots, now).await?;
        let mut shared = self.state.shared();
        for demand in demands {
            let of_demand = |stored: &&Stored| demand.kinds.iter().any(|kind| kind == stored.task.kind());
            let tasks: VecDeque<_> = all.tasks.iter().filter(of_demand).cloned().collect();
            let window = Window {
                size: tasks.len(),
                tasks,
                // A position in the queue of all kinds is also a position in the queue of each demand.
                cursor: all.cursor.clone(),
                ..Window::empty(now)
            };
            shared.windows.insert(demand.kinds.clone(), window);
        }
        Ok(())
    }

    /// Returns whether the queue of these kinds need not be read now: its window is fresh, or a back-off is under way.
    fn needs_no_read(&self, kinds: &[String], now: DateTime<Utc>) -> bool {
        let mut shared = self.state.shared();
        let window = shared.windows.get(kinds);
        window.is_some_and(|window| window.is_fresh(now))
            || shared.queue(kinds).contention.back_off().is_some()
    }

    /// Returns the kept window of these kinds if it is fresh, and otherwise a new one. The new window is unread during
    /// a back-off.
    pub(super) async fn take_window(
        &self,
        kinds: &[String],
        slots: usize,
        now: DateTime<Utc>,
    ) -> Result<Window, Failure> {
        let kept = self.state.shared().windows.remove(kinds);
        match kept {
            Some(window) if window.is_fresh(now) => return Ok(window),
            Some(mut stale) => {
                let used = stale.used();
                let mut shared = self.state.shared();
                let page_size = &mut shared.queue(kinds).page_size;
                page_size.tasks = used;
                // The page that was read ahead would not have been reached.
                page_size.no_read_ahead |=
                    stale.read_ahead.is_some() && !stale.consumption.runs_short(stale.tasks.len());
            }
            None => {}
        }
        if self.state.shared().queue(kinds).contention.end_page().is_some() {
            return Ok(Window::unread());
        }
        self.read_window(kinds, slots, now).await
    }

    /// Reads a new window of these kinds.
    pub(super) async fn read_window(
        &self,
        kinds: &[String],
        slots: usize,
        now: DateTime<Utc>,
    ) -> Result<Window, Failure> {
        let mut window = Window::empty(now);
        self.read_queue(&mut window, kinds, slots).await?;
        Ok(window)
    }

    /// Brings a window into the order in which to claim its tasks: ring order while other processes claim from the
    /// same queue, and otherwise the order of the queue. The test variants of [`KeyClaims`] use a random order.
    pub(super) fn arrange(&self, kinds: &[String], window: &mut Window) {
        if self.documents.settings.key_claims != KeyClaims::Normal {
            fastrand::shuffle(window.tasks.make_contiguous());
            return;
        }
        let mut shared = self.state.shared();
        let contention = &shared.queue(kinds).contention;
        if contention.is_active() {
            window.rotate_to(contention.ring_position());
        }
    }

    /// Keeps the rest of a window for the next claim.
    pub(super) fn keep_window(&self, kinds: &[String], window: Window) {
        if !window.is_spent() {
            self.state.shared().windows.insert(kinds.to_vec(), window);
        }
    }
}

/// Groups demands so that the kinds of each group fit into one query.
fn groups_per_query<'a>(demands: &[&'a Demand]) -> Vec<Vec<&'a Demand>> {
    let mut groups: Vec<Vec<&Demand>> = Vec::new();
    let mut kinds = 0;
    for demand in demands {
        kinds += demand.kinds.len();
        if groups.is_empty() || kinds > MAX_IN {
            groups.push(Vec::new());
            kinds = demand.kinds.len();
        }
        groups.last_mut().expect("one was just added").push(demand);
    }
    groups
}
