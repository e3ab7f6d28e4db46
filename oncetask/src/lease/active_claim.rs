//! One active claim: its tasks, the signals to its handler, and the renewals of its lease.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::claim_timeline::ClaimTimeline;
use super::deadlines::Deadlines;
use super::lock;
use crate::client::Client;
use crate::latch::Latch;
use crate::store::{ClaimedTask, Renewal, Renewed};
use crate::task::transition::Phase;
use crate::task::{LeaseToken, Progress, Task, TaskId};

/// A claim whose lease this worker keeps: of one task, or of a group.
#[derive(Debug)]
pub(crate) struct ActiveClaim {
    /// The number of the claim, which distinguishes it from the other claims of this worker.
    pub(super) number: u64,
    /// The tasks, as they were when they were claimed.
    tasks: Vec<ClaimedTask>,
    /// The handler that the claim calls.
    phase: Phase,
    /// Set when the handler should stop.
    stop: Latch,
    /// Set when the handler's future must be dropped.
    drop: Latch,
    /// True if the handler has ended, so that the store's answers no longer concern it.
    ended: AtomicBool,
    state: Mutex<ClaimTimeline>,
    pub(super) deadlines: Arc<Deadlines>,
}

/// The purpose and the lengths of a lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeaseTerms {
    pub(crate) phase: Phase,
    /// The maximum duration of the attempt.
    pub(crate) limit: Duration,
    /// The length of the lease that each extension asks for.
    pub(crate) heartbeat: Duration,
    /// The length of the lease that the claim asked for.
    pub(crate) claimed: Duration,
}

impl ActiveClaim {
    /// Returns a claim whose request was sent at `sent`.
    pub(super) fn new(
        number: u64,
        tasks: Vec<ClaimedTask>,
        sent: Instant,
        terms: LeaseTerms,
        deadlines: Arc<Deadlines>,
    ) -> Self {
        Self {
            number,
            tasks,
            phase: terms.phase,
            stop: Latch::default(),
            drop: Latch::default(),
            ended: AtomicBool::new(false),
            state: Mutex::new(ClaimTimeline::new(sent, terms)),
            deadlines,
        }
    }

    /// Returns the tasks, as they were when they were claimed.
    pub(crate) fn tasks(&self) -> &[ClaimedTask] {
        &self.tasks
    }

    /// Returns the handler that the claim calls.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Returns the client of the worker.
    pub(crate) fn client(&self) -> &Client {
        &self.deadlines.client
    }

    /// Returns the number of the current attempt of one of the tasks, counted from one.
    pub(crate) fn attempt_of(&self, task: &Task) -> u32 {
        task.state.attempts_in(self.phase)
    }

    /// Tells the handler to stop.
    pub(crate) fn stop(&self) {
        self.stop.set();
    }

    /// Returns whether the handler was told to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_set()
    }

    /// Waits until the handler is told to stop.
    pub(crate) async fn stopped(&self) {
        self.stop.wait().await;
    }

    /// Waits until the handler's future must be dropped.
    pub(crate) async fn dropped(&self) {
        self.drop.wait().await;
    }

    /// Returns whether the handler may be polled: the stored lease is not about to expire.
    pub(crate) fn may_run(&self) -> bool {
        !self.drop.is_set() && Instant::now() < lock(&self.state).drop_at()
    }

    /// Records that the handler has ended. The store's answers no longer concern it.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Returns whether the handler has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Returns whether the leases of all tasks are known to be lost, so that nothing may be written.
    pub(crate) fn is_lost(&self) -> bool {
        lock(&self.state).status.lost() == self.tasks.len()
    }

    /// Returns whether the attempt has used all of the time that its handler allows.
    pub(crate) fn reached_limit(&self) -> bool {
        lock(&self.state).reached_limit()
    }

    /// Sets the progress. It is stored within a second.
    pub(crate) fn set_progress(&self, fraction: f64, message: String) {
        let at = self.client().clock().now();
        lock(&self.state).set_progress(Progress {
            fraction,
            message,
            at,
        });
        self.deadlines.reschedule(self);
    }

    /// Takes the last progress, which is stored with the verdict and no longer with a renewal.
    pub(crate) fn take_progress(&self) -> Option<Progress> {
        lock(&self.state).take_progress()
    }

    /// Records that the claim is registered under its next deadline. Returns that deadline.
    pub(super) fn register(&self) -> Instant {
        let mut state = lock(&self.state);
        let next = state.next_deadline(self.is_stopped());
        state.registered = Some(next);
        next
    }

    /// Moves the claim to its next deadline. Returns the previous and the next one; `None` if the claim is
    /// not registered.
    pub(super) fn advance_deadline(&self) -> Option<(Instant, Instant)> {
        let mut state = lock(&self.state);
        let (previous, next) = (state.registered?, state.next_deadline(self.is_stopped()));
        state.registered = Some(next);
        Some((previous, next))
    }

    /// Marks the claim as unregistered and returns its last deadline.
    pub(super) fn unregister(&self) -> Option<Instant> {
        lock(&self.state).registered.take()
    }

    /// Returns whether the claim is registered.
    pub(super) fn is_registered(&self) -> bool {
        lock(&self.state).registered.is_some()
    }

    /// Tells the handler to stop and drops it once the deadlines for that have passed. Returns whether the
    /// handler is dropped.
    pub(super) fn enforce_deadlines(&self, now: Instant) -> bool {
        let (stop_at, drop_at) = {
            let state = lock(&self.state);
            (state.stop_at(), state.drop_at())
        };
        if stop_at <= now {
            self.stop();
        }
        let expired = drop_at <= now;
        if expired {
            self.drop.set();
        }
        expired
    }

    /// Plans to ask the store about the claim if one of its tasks was cancelled or deleted. Returns whether
    /// one was.
    pub(super) fn check_if_stopped(&self, stopped: impl Fn(&TaskId) -> bool) -> bool {
        let concerned = self.tasks.iter().any(|claimed| stopped(claimed.task.id()));
        if concerned {
            lock(&self.state).check_at(Instant::now());
        }
        concerned
    }

    /// Takes the renewals that are due: one for each task whose lease is not lost.
    pub(super) fn take_renewals(&self, now: Instant, clock: DateTime<Utc>) -> Vec<Renewal> {
        let mut state = lock(&self.state);
        let Some(due) = state.take_due(now) else {
            return Vec::new();
        };
        let until = due.length.map(|length| clock + length);
        let leased = (0..self.tasks.len()).filter(|index| !state.status.is_lost(*index));
        leased
            .map(|index| {
                let task = &self.tasks[index].task;
                Renewal::new(task.id().clone(), token(task), until).progress(due.progress.clone())
            })
            .collect()
    }

    /// Records that the store granted the extension that was sent at `sent`.
    pub(super) fn record_extension(&self, sent: Instant) {
        lock(&self.state).record_extension(sent);
    }

    /// Plans to repeat a renewal that failed.
    pub(super) fn retry(&self, failed: &Renewal) {
        lock(&self.state).retry(failed);
    }

    /// Records the store's answer about one task. Stops or drops the handler if the answer holds for all
    /// tasks of the call.
    pub(super) fn record_answer(&self, id: &TaskId, answer: Renewed) {
        let Some(index) = self.tasks.iter().position(|claimed| claimed.task.id() == id) else {
            return;
        };
        let mut state = lock(&self.state);
        state.status.record(index, answer, self.phase);
        let all = self.tasks.len();
        if state.status.stopped() == all {
            self.stop();
        }
        if state.status.gone() == all {
            // No other worker can claim a deleted task, so the handler has one margin to stop by itself.
            state.end_soon();
        } else if state.status.lost() == all {
            self.drop.set();
        }
    }
}

/// Returns the token of a claimed task's lease.
pub(crate) fn token(task: &Task) -> LeaseToken {
    let lease = task.state.lease.as_ref();
    lease
        .map(|lease| lease.token)
        .expect("a claimed task has a lease")
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::lease::testing::claimed;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_group_is_extended_as_a_whole_and_a_lost_task_is_not() {
        let sent = Instant::now();
        let terms = LeaseTerms {
            phase: Phase::Run,
            limit: 600 * SECOND,
            heartbeat: 5 * SECOND,
            claimed: 5 * SECOND,
        };
        let deadlines = Arc::new(Deadlines::new(Client::in_memory()));
        let tasks = ["a", "b"].map(|id| claimed(id, false)).into();
        let claim = ActiveClaim::new(1, tasks, sent, terms, deadlines);
        let epoch = DateTime::<Utc>::UNIX_EPOCH;
        let extended = |now| {
            let renewals = claim.take_renewals(now, epoch);
            let extension = |renewal: Renewal| (renewal.id.to_string(), renewal.until.unwrap() - epoch);
            renewals.into_iter().map(extension).collect::<Vec<_>>()
        };
        let (a, b) = ("a".to_owned(), "b".to_owned());
        let five = TimeDelta::seconds(5);
        let now = sent + 3 * SECOND;
        assert_eq!(extended(now), [(a, five), (b.clone(), five)]);
        claim.record_extension(now);
        claim.record_answer(&"a".into(), Renewed::Lost);
        assert!(!claim.is_stopped() && !claim.is_lost());
        assert_eq!(extended(now + 3 * SECOND), [(b, five)]);
    }
}
