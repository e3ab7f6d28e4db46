//! One claim: when its lease ends, and what its handler is told.

use std::sync::{Mutex, Weak};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lock;
use super::table::Table;
use crate::store::{Renewal, Renewed};
use crate::task::{LeaseToken, Progress, TaskId};

/// The longest margin between the stop of a handler and the end of its stored lease.
const LONGEST_MARGIN: Duration = Duration::from_secs(5);
/// How often progress is stored.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// How long it waits before it repeats a renewal that failed.
const RETRY: Duration = Duration::from_millis(250);

/// A claim that this worker holds: of one task, or of a group.
#[derive(Debug)]
pub(crate) struct Held {
    pub(super) number: u64,
    /// Fires for the handler to see.
    pub(in crate::runtime) stop: CancellationToken,
    /// Fires when the handler has to be dropped.
    pub(in crate::runtime) dropped: CancellationToken,
    /// When the attempt may hold its task no longer, however healthy it is.
    limit: Instant,
    /// How long the lease is stored for at a time.
    heartbeat: Duration,
    state: Mutex<State>,
    pub(super) keeper: Weak<Table>,
}

#[derive(Debug)]
struct State {
    tasks: Vec<HeldTask>,
    /// When the stored lease ends.
    end: Instant,
    /// When a renewal is asked for next; `None` when none will be, or one is on its way.
    renew_at: Option<Instant>,
    progress: Option<Progress>,
    progress_at: Option<Instant>,
    progress_stored: Option<Instant>,
}

#[derive(Debug)]
struct HeldTask {
    id: TaskId,
    token: LeaseToken,
    lost: bool,
    cancelled: bool,
}

impl Held {
    /// A claim that was sent at `sent`, of a lease that is stored in heartbeats.
    pub(super) fn new(
        number: u64,
        tasks: impl IntoIterator<Item = (TaskId, LeaseToken)>,
        sent: Instant,
        (lease, heartbeat): (Duration, Duration),
        keeper: Weak<Table>,
    ) -> Self {
        let heartbeat = heartbeat.min(lease);
        let (end, limit) = (sent + heartbeat, sent + lease);
        let task = |(id, token)| HeldTask {
            id,
            token,
            lost: false,
            cancelled: false,
        };
        let state = State {
            tasks: tasks.into_iter().map(task).collect(),
            end,
            renew_at: (end < limit).then(|| sent + heartbeat / 2),
            progress: None,
            progress_at: None,
            progress_stored: None,
        };
        let (stop, dropped) = (CancellationToken::new(), CancellationToken::new());
        Self {
            number,
            stop,
            dropped,
            limit,
            heartbeat,
            state: Mutex::new(state),
            keeper,
        }
    }

    /// Fires what is to fire at this instant. Returns whether the handler has had to be dropped.
    pub(super) fn stop_in_time(&self, now: Instant) -> bool {
        let end = lock(&self.state).end;
        if self.stop_at(end) <= now {
            self.stop.cancel();
        }
        let over = self.drop_at(end) <= now;
        if over {
            self.dropped.cancel();
        }
        over
    }

    /// Whether the handler may run: its stored lease has not come close to its end.
    pub(in crate::runtime) fn may_run(&self) -> bool {
        !self.dropped.is_cancelled() && Instant::now() < self.drop_at(lock(&self.state).end)
    }

    /// Whether every task of the claim is known to be lost, so that nothing is to be written.
    pub(in crate::runtime) fn is_lost(&self) -> bool {
        lock(&self.state).tasks.iter().all(|task| task.lost)
    }

    /// Whether the attempt has used up the whole time that it may hold its task.
    pub(in crate::runtime) fn reached_limit(&self) -> bool {
        lock(&self.state).end >= self.limit
    }

    /// Notes progress, to be stored within a second.
    pub(crate) fn say(&self, fraction: f64, message: String) {
        let Some(table) = self.keeper.upgrade() else {
            return;
        };
        {
            let mut state = lock(&self.state);
            state.progress = Some(Progress {
                fraction,
                message,
                at: table.client.clock().now(),
            });
            let earliest = state
                .progress_stored
                .map_or_else(Instant::now, |stored| stored + PROGRESS_EVERY);
            state.progress_at.get_or_insert(earliest);
        }
        table.reschedule(self.number);
    }

    fn margin(&self) -> Duration {
        (self.heartbeat / 10).min(LONGEST_MARGIN)
    }

    fn stop_at(&self, end: Instant) -> Instant {
        end - self.margin()
    }

    fn drop_at(&self, end: Instant) -> Instant {
        end - self.margin() / 2
    }

    /// When this claim needs attention next.
    pub(super) fn next_event(&self) -> Instant {
        let state = lock(&self.state);
        let limit = if self.stop.is_cancelled() {
            self.drop_at(state.end)
        } else {
            self.stop_at(state.end)
        };
        [state.renew_at, state.progress_at]
            .into_iter()
            .flatten()
            .fold(limit, Instant::min)
    }

    /// What a write is to extend or say now.
    pub(super) fn renewals(&self, now: Instant, clock: chrono::DateTime<chrono::Utc>) -> Vec<Renewal> {
        let mut state = lock(&self.state);
        let extend = state.renew_at.is_some_and(|at| at <= now);
        let tell = state.progress_at.is_some_and(|at| at <= now);
        if !extend && !tell {
            return Vec::new();
        }
        let until = extend.then(|| clock + self.extension(now));
        if extend {
            state.renew_at = None;
        }
        let progress = if tell { state.progress.clone() } else { None };
        if tell {
            (state.progress_at, state.progress_stored) = (None, Some(now));
        }
        let held = state.tasks.iter().filter(|task| !task.lost);
        held.map(|task| Renewal {
            id: task.id.clone(),
            token: task.token,
            until,
            progress: progress.clone(),
        })
        .collect()
    }

    fn extension(&self, now: Instant) -> Duration {
        self.heartbeat.min(self.limit.saturating_duration_since(now))
    }

    /// The lease was extended by a request sent at `sent`.
    pub(super) fn extended(&self, sent: Instant) {
        let mut state = lock(&self.state);
        state.end = sent + self.extension(sent);
        state.renew_at = (state.end < self.limit).then(|| sent + self.heartbeat / 2);
    }

    pub(super) fn renew_again(&self) {
        let mut state = lock(&self.state);
        if state.end < self.limit {
            state.renew_at = Some(Instant::now() + RETRY.min(self.heartbeat / 10));
        }
    }

    /// What the store said of one task. The handler is told when it concerns every task of the call.
    pub(super) fn told(&self, id: &TaskId, renewed: Renewed) {
        let mut state = lock(&self.state);
        for task in state.tasks.iter_mut().filter(|task| task.id == *id) {
            match renewed {
                Renewed::Held => {}
                Renewed::Cancelled => task.cancelled = true,
                Renewed::Lost | Renewed::Gone => task.lost = true,
            }
        }
        if state.tasks.iter().all(|task| task.lost || task.cancelled) {
            self.stop.cancel();
        }
        if state.tasks.iter().all(|task| task.lost) {
            self.dropped.cancel();
        }
    }
}
