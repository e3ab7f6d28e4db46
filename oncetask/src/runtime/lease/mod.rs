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
//! The margin between *stop* and *end* is a tenth of what is stored at a time, at most five seconds. A worker that was
//! frozen wakes up behind *drop*: the handler's next poll compares the clocks first and does not happen.
//!
//! The keeper runs on a thread with a runtime of its own, where no handler can starve it. What it cannot do
//! is stop code that never awaits: a handler that blocks its thread should do so in `spawn_blocking` and
//! look at [`Context::is_cancelled`](crate::Context::is_cancelled).

mod fates;
mod held;
mod stops;
mod table;

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub(crate) use self::held::Held;
pub(super) use self::held::{Terms, token};
use self::table::Table;
use super::drive::Drive;
use crate::client::Client;
use crate::store::{ClaimedTask, Renewal, Renewed};
use crate::task::TaskId;
use crate::task::transition::Phase;

/// Keeps leases. Dropped, it forgets them all.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    table: Arc<Table>,
}

impl Keeper {
    /// Starts the keeper, on a thread of its own unless it is simulated.
    pub(super) fn start(client: Client, drive: &Drive) -> std::io::Result<Self> {
        let table = Arc::new(Table::new(client));
        let keeping = keep(table.clone(), drive.clone());
        if drive.is_simulated() {
            drive.spawn(keeping);
            return Ok(Self { table });
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        std::thread::Builder::new()
            .name("oncetask-leases".to_owned())
            .spawn(move || runtime.block_on(keeping))?;
        Ok(Self { table })
    }

    /// Holds a claim that was sent at `sent`, until what this returns is dropped.
    pub(super) fn hold(&self, tasks: Vec<ClaimedTask>, sent: Instant, terms: Terms) -> Hold {
        let number = self.table.numbers.fetch_add(1, Ordering::Relaxed);
        let held = Arc::new(Held::new(number, tasks, sent, terms, self.table.clone()));
        self.table.insert(held.clone());
        // After it was inserted: who stops it from now on finds it there. A cleanup follows a stop, and is none.
        if terms.phase == Phase::Run && self.was_stopped(&held) {
            self.table.reschedule(&held);
        }
        Hold(held)
    }

    /// Lets go of several claims at once, which are about to be dropped.
    pub(super) fn let_go(&self, holds: &[Hold]) {
        self.table.remove(holds.iter().map(|hold| &*hold.0));
    }

    /// Whether the store is to be asked about a claim because one of its tasks was stopped before it was held.
    fn was_stopped(&self, held: &Held) -> bool {
        if !self.table.has_stops.load(Ordering::Relaxed) {
            return false;
        }
        let (stops, now) = (lock(&self.table.stops), Instant::now());
        held.ask_about(|id| stops.has(id, now))
    }

    /// These tasks were cancelled or deleted: asks the store about the claims that hold them.
    ///
    /// The news may be older than the claim: the task may have been cancelled before, and be cleaned up after
    /// now, or have been reset since. Only the store knows, and also whether it was deleted.
    pub(super) fn stopped(&self, ids: &[TaskId]) {
        if ids.is_empty() {
            return;
        }
        // Before the claims are looked through: one that begins to be held meanwhile finds them.
        lock(&self.table.stops).add(ids, Instant::now());
        self.table.has_stops.store(true, Ordering::Relaxed);
        let ids: HashSet<_> = ids.iter().collect();
        for held in self.table.all() {
            if held.ask_about(|id| ids.contains(id)) {
                self.table.reschedule(&held);
            }
        }
    }

    /// Ends the keeper.
    pub(super) fn close(&self) {
        self.table.closed.set();
    }
}

/// A claim that is kept as long as this lives.
#[derive(Debug)]
pub(super) struct Hold(pub(super) Arc<Held>);

impl Drop for Hold {
    fn drop(&mut self) {
        if self.0.is_listed() {
            self.0.table.remove([&*self.0]);
        }
    }
}

/// The keeper's life.
async fn keep(table: Arc<Table>, drive: Drive) {
    let mut renewing = JoinSet::new();
    let attend = async {
        loop {
            let (due, next) = table.due(Instant::now());
            if let Some(renewal) = attend(&table, &due) {
                drive.spawn_in(&mut renewing, renewal);
            }
            tokio::select! {
                biased;
                () = sleep_until(next) => {}
                () = table.changed.notified() => {}
                Some(_) = renewing.join_next() => {}
            }
        }
    };
    tokio::select! {
        biased;
        () = table.closed.wait() => {}
        () = attend => {}
    }
}

/// Does what these claims need now. Returns their renewals, which are to go on beside it: a store that does not
/// answer must not keep handlers from being stopped.
fn attend(table: &Arc<Table>, due: &[Arc<Held>]) -> Option<impl Future<Output = ()> + Send + use<>> {
    let (now, clock) = (Instant::now(), table.client.clock().now());
    let mut renewals = Vec::new();
    for held in due {
        if held.stop_in_time(now) {
            table.remove([&**held]);
            continue;
        }
        renewals.extend(
            held.renewals(now, clock)
                .into_iter()
                .map(|renewal| (held.clone(), renewal)),
        );
        table.reschedule(held);
    }
    (!renewals.is_empty()).then(|| renew(table.clone(), renewals, now))
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
                    // Its verdict was quicker than the extension.
                    if !held.has_ended() {
                        tracing::warn!(id = %renewal.id, ?answer, "the lease is lost: its handler is stopped");
                    }
                } else if renewal.until.is_some() {
                    held.extended(sent);
                }
                held.told(&renewal.id, answer);
            }
        }
        Err(error) => {
            // One that cannot be stored must not take the others with it: the half without it goes on.
            if let Some(middle) = middle(&held).filter(|_| !error.is_transient()) {
                let mut renewals: Vec<_> = held.into_iter().zip(renewals).collect();
                let rest = renewals.split_off(middle);
                Box::pin(renew(table.clone(), renewals, sent)).await;
                Box::pin(renew(table, rest, sent)).await;
                return;
            }
            tracing::warn!(%error, leases = renewals.len(), "the leases could not be extended; trying again");
            for (held, renewal) in held.iter().zip(&renewals) {
                held.again(renewal);
            }
        }
    }
    for held in held {
        table.reschedule(&held);
    }
}

/// Where these can be parted: a group is extended as a whole, or its handler would outlive the lease of one of its tasks.
fn middle(held: &[Arc<Held>]) -> Option<usize> {
    let boundary = |place: &usize| held[place - 1].number != held[*place].number;
    let half = held.len() / 2;
    (1..held.len())
        .filter(boundary)
        .min_by_key(|place| place.abs_diff(half))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
