//! One handler's turn: its room is filled from its queue, window by window.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::lease::Attempt;
use super::outlook::earliest;
use super::pick::{Mine, Picked, pick};
use super::rivals;
use super::{Ahead, Claims};
use crate::store::firestore::retry::Failure;
use crate::store::{Claim, Demand};

/// How often a turn goes on when all that it chose was taken by others, or cannot be claimed.
const MAX_ROUNDS: usize = 16;

/// From how many due tasks on they are a backlog.
const BACKLOG: usize = 8;
/// What is due so soon is not worth asking what else will be.
const SOON: TimeDelta = TimeDelta::milliseconds(50);

/// Room that is being filled.
pub(super) struct Turn<'a> {
    pub(super) inner: &'a Arc<Claims>,
    /// The place of the demand in the request.
    pub(super) place: usize,
    pub(super) demand: &'a Demand,
    pub(super) owner: &'a Arc<str>,
    pub(super) now: DateTime<Utc>,
    ahead: &'a Ahead,
    pub(super) taken: Taken,
}

/// What came of a turn.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) claims: Vec<Claim>,
    pub(super) next_due: Option<DateTime<Utc>>,
    /// Whether nothing is left that is due.
    pub(super) drained: bool,
    pub(super) failure: Option<Failure>,
}

impl Taken {
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

impl<'a> Turn<'a> {
    pub(super) fn new(
        inner: &'a Arc<Claims>,
        place: usize,
        demand: &'a Demand,
        owner: &'a Arc<str>,
        now: DateTime<Utc>,
        ahead: &'a Ahead,
    ) -> Self {
        Self {
            inner,
            place,
            demand,
            owner,
            now,
            ahead,
            taken: Taken::nothing(),
        }
    }

    pub(super) async fn take(mut self) -> Taken {
        let filled = if self.demand.generators_only {
            self.fill_with_generators().await
        } else {
            self.fill().await
        };
        if let Err(failure) = filled {
            self.taken.failure = Some(failure);
            self.taken.drained = false;
            self.taken.next_due = Some(self.now);
        }
        self.taken
    }

    pub(super) fn room(&self) -> usize {
        self.demand.max_claims - self.taken.claims.len()
    }

    /// Adds a claim to what was taken.
    pub(super) fn accept(&mut self, attempt: Attempt) {
        let claim = self.claim_of(attempt);
        self.taken.claims.push(claim);
    }

    async fn fill(&mut self) -> Result<(), Failure> {
        self.fetch();
        let Demand {
            kinds,
            max_group: group,
            ..
        } = self.demand;
        let mut window = self.inner.window(kinds, self.room(), self.now).await?;
        // For how long the queue is left to others.
        let mut away = None;
        let mut later = None;
        let mut outlook = None;
        // Whether the last claim was of so many that more may have come.
        let mut is_backlog = false;
        // Whether all of the queue has been looked at.
        let mut seen_all = false;
        for _ in 0..MAX_ROUNDS {
            if self.room() == 0 {
                break;
            }
            self.inner.arrange(kinds, &mut window);
            let Picked { picks, later: wait } =
                pick(&mut window, self.room(), *group, &self.mine(), self.now);
            later = earliest(later, wait);
            if picks.is_empty() {
                away = self.inner.state.shared().queue(kinds).rivals.leave();
                if away.is_some() {
                    window.next = None;
                    break;
                } else if is_backlog && !self.taken.claims.is_empty() && window.tasks.is_empty() {
                    // What was taken can begin while more is read: the caller asks again at once.
                    break;
                } else if window.behind.is_some() {
                    self.inner.read_queue(&mut window, kinds, self.room()).await?;
                } else if window.is_as_of(self.now) {
                    seen_all = true;
                    break;
                } else if let Some(until) = window.is_shut_until(self.now) {
                    later = earliest(later, Some(until));
                    seen_all = true;
                    break;
                } else {
                    // It was read a while ago, if at all: more may be due by now.
                    window = self.inner.window_of_now(kinds, self.room(), self.now).await?;
                }
                continue;
            }
            let chosen = picks.len();
            let last = rivals::place_of(&picks[chosen - 1].tasks[0]);
            if chosen + window.tasks.len() >= BACKLOG {
                self.inner.listener.backlog_found();
            }
            let is_complete = window.is_as_of(self.now) && window.behind.is_none();
            is_backlog = chosen >= BACKLOG && !is_complete;
            let leased = if window.is_used_up() && !is_backlog {
                // Nothing follows: when to look again is asked while the claims are made.
                let (leased, ahead) = tokio::join!(self.lease(picks), self.outlook());
                outlook = ahead.ok();
                leased
            } else {
                self.lease(picks).await
            };
            self.taken.claims.extend(leased.claims);
            later = earliest(later, leased.later);
            window.shut(leased.shut, leased.later, leased.lost > 0);
            if let Some(failure) = leased.failure {
                return Err(failure);
            }
            let is_stale = {
                let mut shared = self.inner.state.shared();
                shared.queue(kinds).rivals.note(chosen, leased.lost, last)
            };
            if is_stale {
                window.forget();
            } else {
                self.inner.read_ahead(&mut window, kinds, self.demand.max_claims);
            }
            if leased.lost > 0 && !self.taken.claims.is_empty() {
                // What was taken can begin, and more room has likely become free: the caller asks again at once.
                break;
            }
        }
        let left = if self.room() == 0 {
            is_backlog || window.has_gaps || window.behind.is_some() || {
                let rest = pick(&mut window.peek(), usize::MAX, 1, &self.mine(), self.now);
                later = earliest(later, rest.later);
                !rest.picks.is_empty()
            }
        } else {
            !seen_all
        };
        later = earliest(later, window.shut_until);
        self.inner.keep(kinds, window);
        self.taken.drained = !left;
        self.taken.next_due = match (later, outlook) {
            _ if left => Some(self.now + away.unwrap_or_default()),
            (Some(soon), _) if soon - self.now < SOON => later,
            (_, Some(ahead)) => earliest(later, ahead),
            (_, None) => earliest(later, self.outlook().await?),
        };
        Ok(())
    }

    async fn outlook(&self) -> Result<Option<DateTime<Utc>>, Failure> {
        let Ahead { kinds, next, exact } = self.ahead;
        let ask = || self.inner.outlook_for_all(kinds, self.now);
        match *next.get_or_try_init(ask).await? {
            Some(_) if *exact => self.inner.outlook_for_all(&self.demand.kinds, self.now).await,
            of_all => Ok(of_all),
        }
    }

    fn mine(&self) -> Mine {
        let (names, keys) = self.inner.documents.claim_cache.active(self.now);
        Mine { names, keys }
    }
}
