//! One claim: when its lease ends, and what its handler is told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::fates::Fates;
use super::lock;
use super::table::Table;
use crate::client::Client;
use crate::runtime::latch::Latch;
use crate::runtime::stretch::Stretch;
use crate::store::{ClaimedTask, Renewal, Renewed};
use crate::task::transition::Phase;
use crate::task::{LeaseToken, Progress, Task, TaskId};

/// The longest margin between the stop of a handler and the end of its stored lease.
const LONGEST_MARGIN: Duration = Duration::from_secs(5);
/// How often progress is stored.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// How long the first progress waits: that of a quick handler is stored with its end.
const FIRST_PROGRESS: Duration = Duration::from_millis(100);
/// How long it waits before it repeats a renewal that failed.
const RETRY: Duration = Duration::from_millis(250);

/// A claim that this worker holds: of one task, or of a group.
#[derive(Debug)]
pub(crate) struct Held {
    pub(super) number: u64,
    /// What is held, as it was claimed.
    tasks: Vec<ClaimedTask>,
    /// Set for the handler to see.
    stop: Latch,
    /// Set when the handler has to be dropped.
    dropped: Latch,
    /// When the attempt may hold its task no longer, however healthy it is.
    limit: Instant,
    /// How long the lease is stored for at a time, unless the store is slow.
    heartbeat: Duration,
    /// What the claim is for: a cleanup handler is not stopped by the cancellation that it cleans up after.
    pub(in crate::runtime) phase: Phase,
    /// Whether the call is over and its verdicts are on their way.
    over: AtomicBool,
    state: Mutex<State>,
    pub(super) table: Arc<Table>,
}

/// What a claim is held for, and how long.
#[derive(Clone, Copy, Debug)]
pub(in crate::runtime) struct Terms {
    pub(in crate::runtime) phase: Phase,
    /// The longest that the attempt may take.
    pub(in crate::runtime) lease: Duration,
    /// For how long the lease is stored at a time.
    pub(in crate::runtime) heartbeat: Duration,
    /// For how long it was stored by the claim.
    pub(in crate::runtime) first: Duration,
}

#[derive(Debug)]
struct State {
    /// Where it stands among those that are held; `None` once it is not.
    listed: Option<Instant>,
    fates: Fates,
    /// When the stored lease ends.
    end: Instant,
    /// How long before that the handler is told to stop.
    margin: Duration,
    /// When a renewal is asked for next; `None` when none will be, or one is on its way.
    renew_at: Option<Instant>,
    /// What was asked for last: until then the lease is to last, and so long it is stored at a time.
    asked: Option<Extension>,
    /// What the answers so far say of the store.
    stretch: Stretch,
    /// When the store is asked whether the claim still holds.
    ask_at: Option<Instant>,
    progress: Option<Progress>,
    progress_at: Option<Instant>,
    progress_stored: Option<Instant>,
}

/// An extension that is on its way, of which there is one at a time.
#[derive(Clone, Copy, Debug)]
struct Extension {
    /// How long the lease lasts from when it was asked for.
    length: Duration,
    /// The same if the attempt's limit did not come first.
    period: Duration,
}

impl Held {
    /// A claim that was sent at `sent`.
    pub(super) fn new(
        number: u64,
        tasks: Vec<ClaimedTask>,
        sent: Instant,
        terms: Terms,
        table: Arc<Table>,
    ) -> Self {
        let Terms { phase, lease, .. } = terms;
        let [heartbeat, first] = [terms.heartbeat, terms.first].map(|length| length.min(lease));
        let (end, limit) = (sent + first, sent + lease);
        let state = State {
            listed: None,
            fates: Fates::default(),
            end,
            margin: margin(first),
            renew_at: (end < limit).then(|| sent + first / 2),
            asked: None,
            stretch: Stretch::of(first),
            ask_at: None,
            progress: None,
            progress_at: None,
            progress_stored: None,
        };
        Self {
            number,
            tasks,
            stop: Latch::default(),
            dropped: Latch::default(),
            limit,
            heartbeat,
            phase,
            over: AtomicBool::new(false),
            state: Mutex::new(state),
            table,
        }
    }

    pub(crate) fn tasks(&self) -> &[ClaimedTask] {
        &self.tasks
    }

    pub(crate) fn client(&self) -> &Client {
        &self.table.client
    }

    /// The number of this attempt of one of its tasks, counted from one.
    pub(crate) fn attempt_of(&self, task: &Task) -> u32 {
        task.state.attempts_in(self.phase)
    }

    /// Tells the handler to stop.
    pub(in crate::runtime) fn stop(&self) {
        self.stop.set();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_set()
    }

    /// Ends when the handler is told to stop.
    pub(crate) async fn stopped(&self) {
        self.stop.wait().await;
    }

    /// Ends when the handler has to be dropped.
    pub(in crate::runtime) async fn dropped(&self) {
        self.dropped.wait().await;
    }

    fn drop_handler(&self) {
        self.dropped.set();
    }

    /// Begins to stand in the table: at its next event, which is returned.
    pub(super) fn enlist(&self) -> Instant {
        let mut state = lock(&self.state);
        let next = state.next_event(self.stop.is_set());
        state.listed = Some(next);
        next
    }

    /// Moves to its next event. Returns where it stood before, and where it stands now; `None` if it is not held.
    pub(super) fn relist(&self) -> Option<(Instant, Instant)> {
        let mut state = lock(&self.state);
        let (before, next) = (state.listed?, state.next_event(self.stop.is_set()));
        state.listed = Some(next);
        Some((before, next))
    }

    /// Notes that it is held no longer. Returns where it stood in the table.
    pub(super) fn unlist(&self) -> Option<Instant> {
        lock(&self.state).listed.take()
    }

    pub(super) fn is_listed(&self) -> bool {
        lock(&self.state).listed.is_some()
    }

    /// Fires what is to fire at this instant. Returns whether the handler has had to be dropped.
    pub(super) fn stop_in_time(&self, now: Instant) -> bool {
        let (stop_at, drop_at) = lock(&self.state).stops();
        if stop_at <= now {
            self.stop();
        }
        let over = drop_at <= now;
        if over {
            self.drop_handler();
        }
        over
    }

    /// Whether the handler may run: its stored lease has not come close to its end.
    pub(in crate::runtime) fn may_run(&self) -> bool {
        !self.dropped.is_set() && Instant::now() < lock(&self.state).stops().1
    }

    /// The handler has ended: its verdicts are on their way, and whatever the store says no longer concerns it.
    pub(in crate::runtime) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// One of these tasks was cancelled or deleted, now or a while ago: the store is to say what that means for
    /// this claim. Returns whether it holds one of them.
    pub(super) fn ask_about(&self, stopped: impl Fn(&TaskId) -> bool) -> bool {
        let concerned = self.tasks.iter().any(|held| stopped(held.task.id()));
        if concerned {
            lock(&self.state).ask_at = Some(Instant::now());
        }
        concerned
    }

    /// Whether every task of the claim is known to be lost, so that nothing is to be written.
    pub(in crate::runtime) fn is_lost(&self) -> bool {
        lock(&self.state).fates.lost() == self.tasks.len()
    }

    /// Whether the attempt has used up the whole time that it may hold its task.
    pub(in crate::runtime) fn reached_limit(&self) -> bool {
        lock(&self.state).end >= self.limit
    }

    /// Notes progress, to be stored within a second.
    pub(crate) fn say(&self, fraction: f64, message: String) {
        {
            let mut state = lock(&self.state);
            state.progress = Some(Progress {
                fraction,
                message,
                at: self.client().clock().now(),
            });
            let earliest = state.progress_stored.map_or_else(
                || Instant::now() + FIRST_PROGRESS,
                |stored| stored + PROGRESS_EVERY,
            );
            state.progress_at.get_or_insert(earliest);
        }
        self.table.reschedule(self);
    }

    /// What the handler said last of its progress, if it said anything: to be stored with its end, and not before.
    pub(in crate::runtime) fn last_words(&self) -> Option<Progress> {
        let mut state = lock(&self.state);
        state.progress_at = None;
        state.progress.take()
    }

    /// What a write is to extend or say now.
    pub(super) fn renewals(&self, now: Instant, clock: chrono::DateTime<chrono::Utc>) -> Vec<Renewal> {
        let mut state = lock(&self.state);
        let extend = state.renew_at.is_some_and(|at| at <= now);
        let tell = state.progress_at.is_some_and(|at| at <= now);
        let ask = state.ask_at.take_if(|at| *at <= now).is_some();
        if !extend && !tell && !ask {
            return Vec::new();
        }
        if extend {
            (state.renew_at, state.asked) = (None, Some(self.extension(&state, now)));
        }
        let until = state.asked.filter(|_| extend).map(|asked| clock + asked.length);
        let progress = if tell { state.progress.clone() } else { None };
        if tell {
            (state.progress_at, state.progress_stored) = (None, Some(now));
        }
        let held = (0..self.tasks.len()).filter(|place| !state.fates.is_lost(*place));
        held.map(|place| Renewal {
            id: self.tasks[place].task.id().clone(),
            token: token(&self.tasks[place].task),
            until,
            progress: progress.clone(),
        })
        .collect()
    }

    fn extension(&self, state: &State, now: Instant) -> Extension {
        let period = self.heartbeat.max(state.stretch.least());
        let length = period.min(self.limit.saturating_duration_since(now));
        Extension { length, period }
    }

    /// The lease was extended by a request sent at `sent`. Of a group each task says so.
    pub(super) fn extended(&self, sent: Instant) {
        let mut state = lock(&self.state);
        let Some(Extension { length, period }) = state.asked.take() else {
            return;
        };
        state.stretch.took(sent.elapsed(), period);
        state.end = sent + length;
        state.margin = margin(period);
        state.renew_at = (state.end < self.limit).then(|| sent + period / 2);
    }

    /// What a write could not extend, say or ask is tried again.
    pub(super) fn again(&self, failed: &Renewal) {
        let mut state = lock(&self.state);
        let soon = Instant::now() + RETRY.min(self.heartbeat / 10);
        if failed.until.is_some() && state.end < self.limit {
            state.renew_at = Some(soon);
        }
        if failed.progress.is_some() && state.progress.is_some() {
            state.progress_at.get_or_insert(soon);
        }
        if failed.until.is_none() && failed.progress.is_none() {
            state.ask_at.get_or_insert(soon);
        }
    }

    /// What the store said of one task. The handler is told when it concerns every task of the call.
    pub(super) fn told(&self, id: &TaskId, renewed: Renewed) {
        let Some(place) = self.tasks.iter().position(|held| held.task.id() == id) else {
            return;
        };
        let mut state = lock(&self.state);
        state.fates.note(place, renewed, self.phase);
        let all = self.tasks.len();
        if state.fates.stopped() == all {
            self.stop();
        }
        if state.fates.gone() == all {
            // Nobody else may have it, so there is time for last words.
            state.end = state.end.min(Instant::now() + state.margin);
            state.renew_at = None;
        } else if state.fates.lost() == all {
            self.drop_handler();
        }
    }
}

impl State {
    /// When the handler is told to stop, and when it is dropped.
    fn stops(&self) -> (Instant, Instant) {
        (self.end - self.margin, self.end - self.margin / 2)
    }

    /// When this claim needs attention next.
    fn next_event(&self, is_stopped: bool) -> Instant {
        let (stop_at, drop_at) = self.stops();
        let limit = if is_stopped { drop_at } else { stop_at };
        [self.renew_at, self.ask_at, self.progress_at]
            .into_iter()
            .flatten()
            .fold(limit, Instant::min)
    }
}

/// What a claim of this task shows.
pub(in crate::runtime) fn token(task: &Task) -> LeaseToken {
    let lease = task.state.lease.as_ref();
    lease
        .map(|lease| lease.token)
        .expect("a claimed task has a lease")
}

fn margin(stored: Duration) -> Duration {
    (stored / 10).min(LONGEST_MARGIN)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::*;
    use crate::runtime::execute::tests::claimed;

    const SECOND: Duration = Duration::from_secs(1);

    fn held(heartbeat: Duration, first: Duration) -> (Held, Instant) {
        let sent = Instant::now();
        let terms = Terms {
            phase: Phase::Run,
            lease: 600 * SECOND,
            heartbeat,
            first,
        };
        let table = Arc::new(Table::new(Client::in_memory()));
        let tasks = ["a", "b"].map(|id| claimed(id, false)).into();
        (Held::new(1, tasks, sent, terms, table), sent)
    }

    /// The seconds for which each task is to be extended at this instant.
    fn asks(held: &Held, now: Instant) -> Vec<i64> {
        let epoch = DateTime::<Utc>::UNIX_EPOCH;
        let until = |renewal: Renewal| renewal.until.map(|until| until - epoch);
        let renewals = held.renewals(now, epoch).into_iter().filter_map(until);
        renewals.map(|length: TimeDelta| length.num_seconds()).collect()
    }

    #[test]
    fn a_lease_that_was_long_for_a_slow_store_gets_shorter_when_it_answers_in_time() {
        let (held, sent) = held(5 * SECOND, 40 * SECOND);
        let mut now = sent;
        for (after, length) in [(20, 40), (20, 20), (10, 10), (5, 5), (3, 5)] {
            now += after * SECOND;
            assert_eq!(asks(&held, now), [length, length]);
            // Each task of the group says so.
            held.extended(now);
            held.extended(now);
            assert_eq!(
                lock(&held.state).end,
                now + u32::try_from(length).unwrap() * SECOND
            );
        }
    }

    #[test]
    fn one_extension_is_on_its_way_at_a_time() {
        let (held, sent) = held(5 * SECOND, 5 * SECOND);
        assert_eq!(asks(&held, sent + 2 * SECOND), [0; 0]);
        assert_eq!(asks(&held, sent + 3 * SECOND), [5, 5]);
        assert_eq!(asks(&held, sent + 4 * SECOND), [0; 0]);
    }
}
