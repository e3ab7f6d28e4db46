//! Leases: who holds a claim, until when, and how a worker stops itself when it no longer does.
//!
//! # The invariant
//!
//! *No handler runs on after the lease that is stored for its task has ended.* Another worker may take the
//! task from that instant on; a handler that still ran would run beside it. Fencing alone does not help
//! there: it refuses the late *write*, not the late e-mail.
//!
//! So each worker keeps, for every claim, the instant at which the stored lease ends **on its own monotonic
//! clock**, measured from *before* the claim or its renewal was sent: whatever the network did, the stored
//! lease ends no earlier than that. From it two earlier instants follow:
//!
//! ```text
//!  sent ────────────── half: extend ────────────── stop ──── drop ── end
//!   │                        │                       │         │      └ another worker may claim the task
//!   │                        │                       │         └ the handler's future is dropped
//!   │                        │                       └ `Context::cancelled()` fires: last words
//!   │                        └ the keeper asks for another heartbeat, again and again until it is granted
//!   └ the monotonic clock is read, then the request is sent
//! ```
//!
//! The margin between *stop* and *end* is a tenth of the heartbeat, at most five seconds. A worker that was
//! frozen wakes up behind *drop*: the handler's next poll compares the clocks first and does not happen.
//!
//! The keeper runs on a thread with a runtime of its own, where no handler can starve it. What it cannot do
//! is stop code that never awaits: a handler that blocks its thread should do so in `spawn_blocking` and
//! look at [`Context::is_cancelled`](crate::Context::is_cancelled).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::store::{Renewal, Renewed};
use crate::task::{LeaseToken, Progress, TaskId};

/// The longest margin between the stop of a handler and the end of its stored lease.
const LONGEST_MARGIN: Duration = Duration::from_secs(5);
/// How often progress is stored.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// How long the keeper sleeps when nothing is held.
const IDLE: Duration = Duration::from_secs(60);
/// How long it waits before it repeats a renewal that failed.
const RETRY: Duration = Duration::from_millis(250);

/// A claim that this worker holds: of one task, or of a group.
#[derive(Debug)]
pub(crate) struct Held {
    number: u64,
    /// Fires for the handler to see.
    pub(super) stop: CancellationToken,
    /// Fires when the handler has to be dropped.
    pub(super) dropped: CancellationToken,
    /// When the attempt may hold its task no longer, however healthy it is.
    limit: Instant,
    /// How long the lease is stored for at a time.
    heartbeat: Duration,
    state: Mutex<State>,
    keeper: Weak<Table>,
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

/// Keeps leases. Dropped, it forgets them all.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    table: Arc<Table>,
}

/// The claims that are held, by the instant at which each needs attention.
#[derive(Debug)]
struct Table {
    client: Client,
    entries: Mutex<Entries>,
    changed: Notify,
    numbers: AtomicU64,
    closed: CancellationToken,
}

#[derive(Debug, Default)]
struct Entries {
    by_time: BTreeMap<(Instant, u64), Arc<Held>>,
    /// Where each stands in `by_time`.
    times: std::collections::HashMap<u64, Instant>,
    /// Until when the keeper sleeps.
    asleep_until: Option<Instant>,
}

impl Held {
    /// Whether the handler may run: its stored lease has not come close to its end.
    pub(super) fn may_run(&self) -> bool {
        !self.dropped.is_cancelled() && Instant::now() < self.drop_at(lock(&self.state).end)
    }

    /// Whether every task of the claim is known to be lost, so that nothing is to be written.
    pub(super) fn is_lost(&self) -> bool {
        lock(&self.state).tasks.iter().all(|task| task.lost)
    }

    /// Whether the attempt has used up the whole time that it may hold its task.
    pub(super) fn reached_limit(&self) -> bool {
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
    fn next_event(&self) -> Instant {
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
    fn renewals(&self, now: Instant, clock: chrono::DateTime<chrono::Utc>) -> Vec<Renewal> {
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
    fn extended(&self, sent: Instant) {
        let mut state = lock(&self.state);
        state.end = sent + self.extension(sent);
        state.renew_at = (state.end < self.limit).then(|| sent + self.heartbeat / 2);
    }

    fn renew_again(&self) {
        let mut state = lock(&self.state);
        if state.end < self.limit {
            state.renew_at = Some(Instant::now() + RETRY.min(self.heartbeat / 10));
        }
    }

    /// What the store said of one task. The handler is told when it concerns every task of the call.
    fn told(&self, id: &TaskId, renewed: Renewed) {
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

impl Keeper {
    /// Starts the keeper's thread.
    pub(super) fn start(client: Client) -> std::io::Result<Self> {
        let table = Arc::new(Table {
            client,
            entries: Mutex::default(),
            changed: Notify::new(),
            numbers: AtomicU64::new(0),
            closed: CancellationToken::new(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let keeping = table.clone();
        std::thread::Builder::new()
            .name("oncetask-leases".to_owned())
            .spawn(move || runtime.block_on(keep(&keeping)))?;
        Ok(Self { table })
    }

    /// Holds a claim that was sent at `sent`, until the last clone of what this returns is dropped.
    pub(super) fn hold(
        &self,
        tasks: impl IntoIterator<Item = (TaskId, LeaseToken)>,
        sent: Instant,
        lease: Duration,
        heartbeat: Duration,
    ) -> Hold {
        let heartbeat = heartbeat.min(lease);
        let (end, limit) = (sent + heartbeat, sent + lease);
        let task = |(id, token)| HeldTask {
            id,
            token,
            lost: false,
            cancelled: false,
        };
        let held = Arc::new(Held {
            number: self.table.numbers.fetch_add(1, Ordering::Relaxed),
            stop: CancellationToken::new(),
            dropped: CancellationToken::new(),
            limit,
            heartbeat,
            state: Mutex::new(State {
                tasks: tasks.into_iter().map(task).collect(),
                end,
                renew_at: (end < limit).then(|| sent + heartbeat / 2),
                progress: None,
                progress_at: None,
                progress_stored: None,
            }),
            keeper: Arc::downgrade(&self.table),
        });
        self.table.insert(held.clone());
        Hold(held)
    }

    /// These tasks were cancelled or deleted: tells the handlers that run them.
    pub(super) fn stopped(&self, ids: &[TaskId]) {
        let held: Vec<_> = lock(&self.table.entries).by_time.values().cloned().collect();
        for held in held {
            ids.iter().for_each(|id| held.told(id, Renewed::Cancelled));
        }
    }

    /// Ends the keeper's thread.
    pub(super) fn close(&self) {
        self.table.closed.cancel();
    }
}

/// A claim that is kept as long as this lives.
#[derive(Debug)]
pub(super) struct Hold(pub(super) Arc<Held>);

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(table) = self.0.keeper.upgrade() {
            lock(&table.entries).remove(self.0.number);
        }
    }
}

impl Table {
    fn insert(&self, held: Arc<Held>) {
        let at = held.next_event();
        let mut entries = lock(&self.entries);
        entries.times.insert(held.number, at);
        entries.by_time.insert((at, held.number), held);
        self.wake_for(&entries, at);
    }

    /// Moves a claim to where its next event belongs.
    fn reschedule(&self, number: u64) {
        let mut entries = lock(&self.entries);
        if let Some(held) = entries.remove(number) {
            let at = held.next_event();
            entries.times.insert(number, at);
            entries.by_time.insert((at, number), held);
            self.wake_for(&entries, at);
        }
    }

    fn wake_for(&self, entries: &Entries, at: Instant) {
        if entries.asleep_until.is_none_or(|until| at < until) {
            self.changed.notify_one();
        }
    }

    /// The claims that need attention, and when the next one will.
    fn due(&self, now: Instant) -> (Vec<Arc<Held>>, Instant) {
        let mut entries = lock(&self.entries);
        let due: Vec<_> = entries
            .by_time
            .iter()
            .take_while(|((at, _), _)| *at <= now)
            .map(|(_, held)| held.clone())
            .collect();
        let next = entries.by_time.keys().map(|(at, _)| *at).find(|at| *at > now);
        let next = next.unwrap_or(now + IDLE).min(now + IDLE);
        entries.asleep_until = Some(next);
        (due, next)
    }
}

impl Entries {
    fn remove(&mut self, number: u64) -> Option<Arc<Held>> {
        let at = self.times.remove(&number)?;
        self.by_time.remove(&(at, number))
    }
}

/// The keeper's life.
async fn keep(table: &Arc<Table>) {
    let renewing = tokio::task::LocalSet::new();
    let attend = async {
        loop {
            let (due, next) = table.due(Instant::now());
            attend(table, &due);
            tokio::select! {
                () = sleep_until(next) => {}
                () = table.changed.notified() => {}
            }
        }
    };
    tokio::select! {
        () = renewing.run_until(attend) => {}
        () = table.closed.cancelled() => {}
    }
}

/// Does what these claims need now. Renewals go on beside it: a store that does not answer must not keep
/// handlers from being stopped.
fn attend(table: &Arc<Table>, due: &[Arc<Held>]) {
    let (now, clock) = (Instant::now(), table.client.clock().now());
    let mut renewals = Vec::new();
    for held in due {
        let end = lock(&held.state).end;
        if held.stop_at(end) <= now {
            held.stop.cancel();
        }
        if held.drop_at(end) <= now {
            held.dropped.cancel();
            lock(&table.entries).remove(held.number);
            continue;
        }
        renewals.extend(
            held.renewals(now, clock)
                .into_iter()
                .map(|renewal| (held.clone(), renewal)),
        );
        table.reschedule(held.number);
    }
    if !renewals.is_empty() {
        tokio::task::spawn_local(renew(table.clone(), renewals, now));
    }
}

async fn renew(table: Arc<Table>, renewals: Vec<(Arc<Held>, Renewal)>, sent: Instant) {
    let (held, renewals): (Vec<_>, Vec<_>) = renewals.into_iter().unzip();
    let answers = table
        .client
        .store()
        .renew(renewals.clone(), table.client.clock().now())
        .await;
    match answers {
        Ok(answers) => {
            for ((held, renewal), answer) in held.iter().zip(&renewals).zip(answers) {
                if matches!(answer, Renewed::Lost | Renewed::Gone) {
                    tracing::warn!(id = %renewal.id, ?answer, "the lease is lost: its handler is stopped");
                } else if renewal.until.is_some() {
                    held.extended(sent);
                }
                held.told(&renewal.id, answer);
            }
        }
        Err(error) => {
            tracing::warn!(%error, leases = renewals.len(), "the leases could not be extended; trying again");
            let extended = held
                .iter()
                .zip(&renewals)
                .filter(|(_, renewal)| renewal.until.is_some());
            extended.for_each(|(held, _)| held.renew_again());
        }
    }
    held.iter().for_each(|held| table.reschedule(held.number));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
