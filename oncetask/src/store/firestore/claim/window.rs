//! What was read of a queue and not claimed yet.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::Claims;
use super::reading::{MOST, Pace, Part, Reading};
use super::rivals;
use crate::store::Demand;
use crate::store::firestore::claim_cache::{Key, key_of};
use crate::store::firestore::codec::Stored;
use crate::store::firestore::proto::pb;
use crate::store::firestore::query::MAX_IN;
use crate::store::firestore::retry::Failure;

/// How long what was read is of use. What changes meanwhile cannot be claimed by mistake; but what other
/// processes make due earlier waits for so long behind it.
const FRESH: Duration = Duration::from_secs(3);
/// How many tasks that cannot be claimed yet are kept.
const MAX_KEPT: usize = 1024;

/// Tasks that were due, in the order in which they are to be claimed.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) tasks: VecDeque<Stored>,
    /// Where the queue goes on, if there may be more that is due.
    pub(super) behind: Option<Vec<pb::Value>>,
    pub(super) as_of: DateTime<Utc>,
    read: Instant,
    /// How many were read so far.
    pub(super) size: usize,
    pub(super) pace: Pace,
    /// Whether some of it was forgotten, or left out, that nobody may have claimed.
    pub(super) has_gaps: bool,
    /// The keys of which a task was refused or lost: the next ones must not overtake it.
    shut: HashSet<Key>,
    /// When to try those again that were refused.
    pub(super) shut_until: Option<DateTime<Utc>>,
    /// How many were left out because of that.
    pub(super) left_out: usize,
    /// What follows, while it is being read.
    pub(super) next: Option<Reading>,
}

impl Window {
    fn empty(now: DateTime<Utc>) -> Self {
        Self {
            tasks: VecDeque::new(),
            behind: None,
            as_of: now,
            read: Instant::now(),
            size: 0,
            pace: Pace::of(Duration::ZERO),
            has_gaps: false,
            shut: HashSet::new(),
            shut_until: None,
            left_out: 0,
            next: None,
        }
    }

    /// One that tells nothing: it is as of no instant at which anybody claims.
    pub(super) fn unread() -> Self {
        Self::empty(DateTime::<Utc>::MIN_UTC)
    }

    /// What was read is of no use. What follows is, if it is being read, and if no key's tasks come before it.
    pub(super) fn forget(&mut self) {
        let has_keys = self
            .tasks
            .iter()
            .any(|stored| stored.task.spec.held_key().is_some());
        if self.next.is_some() && !has_keys {
            self.tasks.clear();
            self.has_gaps = true;
        } else {
            *self = Self::unread();
        }
    }

    /// Leaves out all tasks of these keys, until the queue is read anew. That is soon if one of them may be free.
    pub(super) fn shut(&mut self, keys: Vec<Key>, until: Option<DateTime<Utc>>, may_be_free: bool) {
        if !keys.is_empty() {
            self.shut.extend(keys);
            self.has_gaps |= may_be_free;
            self.shut_until = self.shut_until.max(until);
            self.leave_out_the_shut();
        }
    }

    /// Until when to wait with reading all of it again, as so much was left out that this is dear.
    pub(super) fn is_shut_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.shut_until
            .filter(|until| self.left_out > MOST && *until > now)
    }

    fn leave_out_the_shut(&mut self) {
        if self.shut.is_empty() {
            return;
        }
        let had = self.tasks.len();
        self.tasks
            .retain(|stored| key_of(&stored.task).is_none_or(|key| !self.shut.contains(&key)));
        self.left_out += had - self.tasks.len();
    }

    pub(super) fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        let age = now - self.as_of;
        self.read.elapsed() < FRESH && age >= TimeDelta::zero() && age.to_std().is_ok_and(|age| age < FRESH)
    }

    /// Whether it tells of all that is due at this instant.
    pub(super) fn is_as_of(&self, now: DateTime<Utc>) -> bool {
        self.as_of == now && !self.has_gaps
    }

    /// A copy to look at.
    pub(super) fn peek(&self) -> Self {
        Self {
            tasks: self.tasks.clone(),
            behind: self.behind.clone(),
            shut: self.shut.clone(),
            next: None,
            ..*self
        }
    }

    /// Brings it into the order of the ring from this place on, in which the tasks of a key stay in theirs.
    pub(super) fn turn_to(&mut self, place: u64) {
        self.tasks.make_contiguous().sort_by_cached_key(|stored| {
            let task = &stored.task;
            let ahead = rivals::place_of(stored).wrapping_sub(place);
            (ahead, task.state.due(), task.spec.created_at)
        });
    }

    /// How many of those that were read were chosen.
    pub(super) fn used(&self) -> usize {
        self.size.saturating_sub(self.tasks.len() + self.left_out)
    }

    /// Whether there is anything left of it to look at.
    pub(super) fn is_used_up(&self) -> bool {
        (self.tasks.is_empty() && self.behind.is_none()) || self.tasks.len() > MAX_KEPT
    }

    /// Whether all of it is due before this instant, and what is being read too.
    pub(super) fn is_before(&self, at: DateTime<Utc>) -> bool {
        let last = match self.next {
            Some(_) => Some(self.as_of),
            None => self.tasks.back().and_then(|stored| stored.task.state.due()),
        };
        last.is_some_and(|last| last <= at)
    }

    pub(super) fn add(&mut self, part: Part) {
        self.size += part.read;
        self.behind = part.behind;
        self.tasks.extend(part.tasks);
        self.leave_out_the_shut();
        self.pace = Pace::of(part.took);
    }
}

impl Claims {
    /// Reads the queues of several handlers at once, so that to find nothing costs one read.
    pub(super) async fn look_ahead(&self, demands: &[Demand], now: DateTime<Utc>) -> Result<(), Failure> {
        let unknown = |demand: &&Demand| {
            let is_queued = demand.max_claims > 0 && !demand.generators_only;
            is_queued && (1..=MAX_IN).contains(&demand.kinds.len()) && !self.is_known(&demand.kinds, now)
        };
        let unknown: Vec<_> = demands.iter().filter(unknown).collect();
        for some in in_queries(&unknown) {
            if some.len() > 1 {
                self.look_ahead_for(&some, now).await?;
            }
        }
        Ok(())
    }

    async fn look_ahead_for(&self, demands: &[&Demand], now: DateTime<Utc>) -> Result<(), Failure> {
        let kinds: Vec<_> = demands
            .iter()
            .flat_map(|demand| demand.kinds.iter().cloned())
            .collect();
        let room = demands.iter().map(|demand| demand.max_claims).sum();
        let all = self.window_of_now(&kinds, room, now).await?;
        let mut shared = self.state.shared();
        for demand in demands {
            let of_want = |stored: &&Stored| demand.kinds.iter().any(|kind| kind == stored.task.kind());
            let tasks: VecDeque<_> = all.tasks.iter().filter(of_want).cloned().collect();
            let window = Window {
                size: tasks.len(),
                tasks,
                // A place in the order of all of them is one in the order of each.
                behind: all.behind.clone(),
                ..Window::empty(now)
            };
            shared.windows.insert(demand.kinds.clone(), window);
        }
        Ok(())
    }

    /// Whether there is no need to read this queue now.
    fn is_known(&self, kinds: &[String], now: DateTime<Utc>) -> bool {
        let mut shared = self.state.shared();
        let window = shared.windows.get(kinds);
        window.is_some_and(|window| window.is_fresh(now)) || shared.queue(kinds).rivals.away().is_some()
    }

    /// The window of these kinds: what is left of the last one, or a new one; it is not read while the queue is left to
    /// others.
    pub(super) async fn window(
        &self,
        kinds: &[String],
        room: usize,
        now: DateTime<Utc>,
    ) -> Result<Window, Failure> {
        let kept = self.state.shared().windows.remove(kinds);
        match kept {
            Some(window) if window.is_fresh(now) => return Ok(window),
            Some(mut stale) => {
                let used = stale.used();
                let mut shared = self.state.shared();
                let appetite = &mut shared.queue(kinds).appetite;
                appetite.tasks = used;
                // Nobody would have come to what was read ahead.
                appetite.is_slow |= stale.next.is_some() && !stale.pace.is_short(stale.tasks.len());
            }
            None => {}
        }
        if self.state.shared().queue(kinds).rivals.leave().is_some() {
            return Ok(Window::unread());
        }
        self.window_of_now(kinds, room, now).await
    }

    /// A new window of these kinds.
    pub(super) async fn window_of_now(
        &self,
        kinds: &[String],
        room: usize,
        now: DateTime<Utc>,
    ) -> Result<Window, Failure> {
        let mut window = Window::empty(now);
        self.read_queue(&mut window, kinds, room).await?;
        Ok(window)
    }
}

/// Wants whose kinds one query can ask for together.
fn in_queries<'a>(demands: &[&'a Demand]) -> Vec<Vec<&'a Demand>> {
    let mut queries: Vec<Vec<&Demand>> = Vec::new();
    let mut kinds = 0;
    for demand in demands {
        kinds += demand.kinds.len();
        if queries.is_empty() || kinds > MAX_IN {
            queries.push(Vec::new());
            kinds = demand.kinds.len();
        }
        queries.last_mut().expect("one was just added").push(demand);
    }
    queries
}
