//! Filling one demand: claiming tasks from the queue, window by window.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::contention;
use super::lease::LeaseAttempt;
use super::next_due::earliest;
use super::selection::{OwnClaims, Selection, select};
use super::window::Window;
use super::{Claims, SharedNextDue};
use crate::store::firestore::listen::Next;
use crate::store::firestore::retry::Failure;
use crate::store::{Claim, Demand};

/// The maximum number of rounds for one demand. Several rounds are needed when other processes claimed the chosen
/// tasks, or when tasks cannot be claimed yet.
const MAX_ROUNDS: usize = 16;
/// The minimum number of due tasks that count as a backlog.
const MIN_BACKLOG: usize = 8;
/// If a task can be claimed within this time, the next due time is not read: the caller claims again soon anyway.
const SOON: TimeDelta = TimeDelta::milliseconds(50);

/// The operation that fills one demand.
pub(super) struct FillDemand<'a> {
    pub(super) claims: &'a Arc<Claims>,
    /// The index of the demand in the request.
    pub(super) index: usize,
    pub(super) demand: &'a Demand,
    pub(super) owner: &'a Arc<str>,
    pub(super) now: DateTime<Utc>,
    shared_next: &'a SharedNextDue,
    pub(super) filled: Filled,
}

/// The result of filling a demand.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) claims: Vec<Claim>,
    pub(super) next_due: Option<DateTime<Utc>>,
    /// True if no due task is left.
    pub(super) drained: bool,
    pub(super) failure: Option<Failure>,
}

impl Filled {
    pub(super) fn nothing() -> Self {
        Self {
            claims: Vec::new(),
            next_due: None,
            drained: true,
            failure: None,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.claims.extend(other.claims);
        self.next_due = earliest(self.next_due, other.next_due);
        self.drained &= other.drained;
        self.failure = self.failure.take().or(other.failure);
    }
}

impl<'a> FillDemand<'a> {
    pub(super) fn new(
        claims: &'a Arc<Claims>,
        index: usize,
        demand: &'a Demand,
        owner: &'a Arc<str>,
        now: DateTime<Utc>,
        shared_next: &'a SharedNextDue,
    ) -> Self {
        Self {
            claims,
            index,
            demand,
            owner,
            now,
            shared_next,
            filled: Filled::nothing(),
        }
    }

    /// Fills the demand. After a failure the result still contains the claims that were made before it.
    pub(super) async fn run(mut self) -> Filled {
        let result = if self.demand.generators_only {
            self.fill_with_generators().await
        } else {
            self.fill().await
        };
        if let Err(failure) = result {
            self.filled.failure = Some(failure);
            self.filled.drained = false;
            self.filled.next_due = Some(self.now);
        }
        self.filled
    }

    /// Returns the number of claims that the demand still lacks.
    pub(super) fn free_slots(&self) -> usize {
        self.demand.max_claims - self.filled.claims.len()
    }

    /// Adds the claim of a successful attempt to the result.
    pub(super) fn accept(&mut self, attempt: LeaseAttempt) {
        let claim = self.claim_of(attempt);
        self.filled.claims.push(claim);
    }

    /// Claims tasks in rounds until the demand is filled, the queue is drained, or another round is not worth its
    /// cost. Each round either claims tasks of the window or reads more of the queue.
    ///
    /// The function is long because its decisions share many local variables.
    async fn fill(&mut self) -> Result<(), Failure> {
        self.collect_handed_over();
        let Demand { kinds, max_group, .. } = self.demand;
        let mut window = self
            .claims
            .take_window(kinds, self.free_slots(), self.now)
            .await?;
        let mut back_off = None;
        // The earliest instant at which a task that is due but cannot be claimed now can be claimed.
        let mut claimable_at = None;
        // The next due time of the queue, if it was read while claims were written.
        let mut queue_due = Next::Unknown;
        // True if the last round found a backlog, so that more tasks may have become due.
        let mut is_backlog = false;
        let mut saw_whole_queue = false;
        for _ in 0..MAX_ROUNDS {
            if self.free_slots() == 0 {
                break;
            }
            self.claims.arrange(kinds, &mut window);
            let own = self.own_claims();
            let Selection {
                candidates,
                claimable_at: at,
            } = select(&mut window, self.free_slots(), *max_group, &own, self.now);
            claimable_at = earliest(claimable_at, at);
            if candidates.is_empty() {
                back_off = self.claims.state.shared().queue(kinds).contention.end_page();
                if back_off.is_some() {
                    window.read_ahead = None;
                    break;
                } else if is_backlog && !self.filled.claims.is_empty() && window.tasks.is_empty() {
                    // The claimed tasks can start now. The caller claims again at once, and more is read then.
                    break;
                } else if window.cursor.is_some() {
                    self.claims
                        .read_queue(&mut window, kinds, self.free_slots())
                        .await?;
                } else if window.is_current(self.now) {
                    saw_whole_queue = true;
                    break;
                } else if let Some(until) = window.reread_not_before(self.now) {
                    claimable_at = earliest(claimable_at, Some(until));
                    saw_whole_queue = true;
                    break;
                } else {
                    // The window is from an earlier instant, or was never read. More tasks may be due by now.
                    window = self
                        .claims
                        .read_window(kinds, self.free_slots(), self.now)
                        .await?;
                }
                continue;
            }
            let tried = candidates.len();
            let last = contention::ring_position(&candidates[tried - 1].tasks[0]);
            if tried + window.tasks.len() >= MIN_BACKLOG {
                self.claims.listener.backlog_found();
            }
            let is_complete = window.is_current(self.now) && window.cursor.is_none();
            is_backlog = tried >= MIN_BACKLOG && !is_complete;
            let round = if window.is_spent() && !is_backlog {
                // These are the last due tasks. The next due time is that of other tasks, so it can be read while
                // these are claimed, which saves the time of a request.
                let (round, next_due) = tokio::join!(self.lease(candidates), self.next_due());
                queue_due = next_due.map_or(Next::Unknown, Next::known);
                round
            } else {
                self.lease(candidates).await
            };
            self.filled.claims.extend(round.claims);
            claimable_at = earliest(claimable_at, round.retry_at);
            window.block_keys(round.blocked, round.retry_at, round.lost > 0);
            if let Some(failure) = round.failure {
                return Err(failure);
            }
            let is_stale = self.record_round(tried, round.lost, last);
            if is_stale {
                window.discard();
            } else {
                self.claims
                    .start_read_ahead(&mut window, kinds, self.demand.max_claims);
            }
            if round.lost > 0 && !self.filled.claims.is_empty() {
                // The claimed tasks can start now. The caller claims again at once, probably for more slots.
                break;
            }
        }
        let has_more = if self.free_slots() == 0 {
            is_backlog || window.has_gaps || window.cursor.is_some() || {
                let rest = self.claimable_tasks(&window);
                claimable_at = earliest(claimable_at, rest.claimable_at);
                !rest.candidates.is_empty()
            }
        } else {
            !saw_whole_queue
        };
        claimable_at = earliest(claimable_at, window.blocked_until);
        self.claims.keep_window(kinds, window);
        self.filled.drained = !has_more;
        self.filled.next_due = if has_more {
            Some(self.now + back_off.unwrap_or_default())
        } else {
            self.next_claimable(claimable_at, queue_due).await?
        };
        Ok(())
    }

    /// Records a round of claims that ended at this ring position. Returns whether the rest of the window is stale.
    fn record_round(&self, tried: usize, lost: usize, last: u64) -> bool {
        let mut shared = self.claims.state.shared();
        let queue = shared.queue(&self.demand.kinds);
        queue.contention.record_round(tried, lost, last)
    }

    /// Returns the tasks that a further claim could take from a window, without taking them.
    fn claimable_tasks(&self, window: &Window) -> Selection {
        let mut window = window.snapshot();
        select(&mut window, usize::MAX, 1, &self.own_claims(), self.now)
    }

    /// Returns the instant of the next claim after the queue was drained: the earlier of `claimable_at` and the next
    /// due time of the queue. The latter is read only if it is unknown and matters.
    async fn next_claimable(
        &self,
        claimable_at: Option<DateTime<Utc>>,
        queue_due: Next,
    ) -> Result<Option<DateTime<Utc>>, Failure> {
        if claimable_at.is_some_and(|at| at - self.now < SOON) {
            return Ok(claimable_at);
        }
        let queue_due = match queue_due {
            Next::At(due) => Some(due),
            Next::Never => None,
            Next::Unknown => self.next_due().await?,
        };
        Ok(earliest(claimable_at, queue_due))
    }

    /// Returns the due time of the next task that is not due now. The demands of a request share one result. If
    /// there are few demands and some task will be due, each demand reads the due time of its own kinds.
    async fn next_due(&self) -> Result<Option<DateTime<Utc>>, Failure> {
        let SharedNextDue { kinds, next, exact } = self.shared_next;
        let read = || self.claims.next_due(kinds, self.now);
        match *next.get_or_try_init(read).await? {
            Some(_) if *exact => self.claims.next_due(&self.demand.kinds, self.now).await,
            of_all => Ok(of_all),
        }
    }

    fn own_claims(&self) -> OwnClaims {
        let (names, keys) = self.claims.documents.claim_cache.active(self.now);
        OwnClaims { names, keys }
    }
}
