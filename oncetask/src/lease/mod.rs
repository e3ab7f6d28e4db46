//! Leases: each worker keeps the leases of its claims, and stops a handler before its lease expires.
//!
//! # The invariant
//!
//! *No handler runs after the lease that is stored for its task has expired.* Another worker may claim the
//! task from that instant on, and the two handlers would run at the same time. A fencing token alone does not
//! prevent that: it refuses the late *write*, but not the late e-mail.
//!
//! So a worker records for every claim the instant at which the stored lease expires **on its own monotonic
//! clock**. It reads that clock *before* it sends the claim or the renewal. Whatever the network does, the
//! stored lease expires no earlier than the recorded instant. Two earlier instants follow from it:
//!
//! ```text
//!  sent ───────────── half: extend ───────────── stop ──── drop ── end
//!   │                       │                      │         │      └ another worker may claim the task
//!   │                       │                      │         └ the handler's future is dropped
//!   │                       │                      └ `Context::cancelled()` fires, so that the handler can clean up
//!   │                       └ the keeper asks for another heartbeat, and repeats that until it is granted
//!   └ the worker reads the monotonic clock, then sends the request
//! ```
//!
//! The margin between *stop* and *end* is a tenth of the stored length, at most five seconds. A worker that
//! was frozen resumes after *drop*. The call compares the clocks before each poll of the handler, so the
//! handler is not polled again.
//!
//! The keeper runs on a thread with its own runtime, so that no handler can starve it. It cannot stop code
//! that never awaits: a handler that blocks its thread should do so in `spawn_blocking` and check
//! [`Context::is_cancelled`](crate::Context::is_cancelled).

mod active_claim;
mod adaptive;
mod claim_status;
mod claim_timeline;
mod deadlines;
mod recent_cancellations;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub(crate) use self::active_claim::{ActiveClaim, LeaseTerms, token};
pub(crate) use self::adaptive::MinLease;
use self::deadlines::Deadlines;
use crate::client::Client;
use crate::spawn::Spawner;
use crate::store::{ClaimedTask, Renewal, Renewed};
use crate::task::TaskId;
use crate::task::transition::Phase;

/// The keeper of the leases of a worker's claims.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    deadlines: Arc<Deadlines>,
}

impl Keeper {
    /// Starts the keeper on its own thread. In a simulation it runs on the current runtime instead.
    pub(crate) fn start(client: Client, spawner: &Spawner) -> std::io::Result<Self> {
        let deadlines = Arc::new(Deadlines::new(client));
        let keeping = run(deadlines.clone(), spawner.clone());
        if spawner.is_simulated() {
            spawner.spawn(keeping);
            return Ok(Self { deadlines });
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        std::thread::Builder::new()
            .name("oncetask-leases".to_owned())
            .spawn(move || runtime.block_on(keeping))?;
        Ok(Self { deadlines })
    }

    /// Keeps the lease of a claim whose request was sent at `sent`, until the returned guard is dropped.
    pub(crate) fn keep(&self, tasks: Vec<ClaimedTask>, sent: Instant, terms: LeaseTerms) -> ClaimGuard {
        let number = self.deadlines.next_number.fetch_add(1, Ordering::Relaxed);
        let claim = Arc::new(ActiveClaim::new(
            number,
            tasks,
            sent,
            terms,
            self.deadlines.clone(),
        ));
        self.deadlines.insert(claim.clone());
        // Checked after the insert, so that a concurrent `stopped()` either finds the claim or has already
        // recorded the id. Cleanup claims are exempt: the cancellation is why they run.
        if terms.phase == Phase::Run && self.was_stopped(&claim) {
            self.deadlines.reschedule(&claim);
        }
        ClaimGuard { claim }
    }

    /// Stops keeping the leases of several claims at once. Their guards are about to be dropped, and would
    /// otherwise take the lock one by one.
    pub(crate) fn release<'a>(&self, guards: impl IntoIterator<Item = &'a ClaimGuard>) {
        self.deadlines
            .remove(guards.into_iter().map(|guard| &*guard.claim));
    }

    /// Returns whether a task of the claim was recently cancelled or deleted, and plans to ask the store if
    /// so.
    fn was_stopped(&self, claim: &ActiveClaim) -> bool {
        if !self.deadlines.has_cancellations.load(Ordering::Relaxed) {
            return false;
        }
        let (recent, now) = (lock(&self.deadlines.recent_cancellations), Instant::now());
        claim.check_if_stopped(|id| recent.contains(id, now))
    }

    /// Asks the store about the active claims of tasks that were cancelled or deleted.
    ///
    /// The notification may be older than a claim: the task may have been cancelled before the claim and
    /// be running its cleanup handler, or may have been reset since. Only the store knows, and only the store tells a
    /// deletion from a cancellation.
    pub(crate) fn stopped(&self, ids: &[TaskId]) {
        if ids.is_empty() {
            return;
        }
        // Recorded before the claims are searched, so that a claim that is inserted during the search finds
        // the ids.
        lock(&self.deadlines.recent_cancellations).add(ids, Instant::now());
        self.deadlines.has_cancellations.store(true, Ordering::Relaxed);
        let ids: HashSet<_> = ids.iter().collect();
        for claim in self.deadlines.all() {
            if claim.check_if_stopped(|id| ids.contains(id)) {
                self.deadlines.reschedule(&claim);
            }
        }
    }

    /// Ends the keeper. It extends no more leases.
    pub(crate) fn close(&self) {
        self.deadlines.closed.set();
    }
}

/// A guard that keeps the lease of a claim until it is dropped.
#[derive(Debug)]
pub(crate) struct ClaimGuard {
    claim: Arc<ActiveClaim>,
}

impl ClaimGuard {
    /// Returns the claim.
    pub(crate) fn claim(&self) -> &Arc<ActiveClaim> {
        &self.claim
    }
}

impl Drop for ClaimGuard {
    fn drop(&mut self) {
        if self.claim.is_registered() {
            self.claim.deadlines.remove([&*self.claim]);
        }
    }
}

/// Attends to the claims at their deadlines until the keeper is closed.
async fn run(deadlines: Arc<Deadlines>, spawner: Spawner) {
    let mut in_flight = JoinSet::new();
    let attend = async {
        loop {
            let (due, next) = deadlines.due(Instant::now());
            if let Some(renewal) = attend(&deadlines, &due) {
                spawner.spawn_in(&mut in_flight, renewal);
            }
            tokio::select! {
                biased;
                () = sleep_until(next) => {}
                () = deadlines.changed.notified() => {}
                Some(_) = in_flight.join_next() => {}
            }
        }
    };
    tokio::select! {
        biased;
        () = deadlines.closed.wait() => {}
        () = attend => {}
    }
}

/// Stops and drops the handlers whose deadlines have passed. Returns the renewals that are due as a future,
/// which runs concurrently: a store that does not answer must not delay the stop of a handler.
fn attend(
    deadlines: &Arc<Deadlines>,
    due: &[Arc<ActiveClaim>],
) -> Option<impl Future<Output = ()> + Send + use<>> {
    let (now, clock) = (Instant::now(), deadlines.client.clock().now());
    let mut renewals = Vec::new();
    for claim in due {
        if claim.enforce_deadlines(now) {
            deadlines.remove([&**claim]);
            continue;
        }
        let of_claim = claim.take_renewals(now, clock);
        renewals.extend(of_claim.into_iter().map(|renewal| (claim.clone(), renewal)));
        deadlines.reschedule(claim);
    }
    (!renewals.is_empty()).then(|| renew(deadlines.clone(), renewals, now))
}

/// Sends renewals to the store and records its answers.
async fn renew(deadlines: Arc<Deadlines>, renewals: Vec<(Arc<ActiveClaim>, Renewal)>, sent: Instant) {
    let (claims, renewals): (Vec<_>, Vec<_>) = renewals.into_iter().unzip();
    let client = &deadlines.client;
    match client.store().renew(renewals.clone(), client.clock().now()).await {
        Ok(answers) => {
            for ((claim, renewal), answer) in claims.iter().zip(&renewals).zip(answers) {
                record(claim, renewal, answer, sent);
            }
        }
        Err(error) => {
            // A renewal that cannot be stored must not make the others fail: each half is sent by itself.
            if let Some(middle) = middle(&claims).filter(|_| !error.is_transient()) {
                let mut renewals: Vec<_> = claims.into_iter().zip(renewals).collect();
                let rest = renewals.split_off(middle);
                Box::pin(renew(deadlines.clone(), renewals, sent)).await;
                Box::pin(renew(deadlines, rest, sent)).await;
                return;
            }
            tracing::warn!(%error, leases = renewals.len(), "leases could not be extended; retrying");
            for (claim, renewal) in claims.iter().zip(&renewals) {
                claim.retry(renewal);
            }
        }
    }
    for claim in claims {
        deadlines.reschedule(&claim);
    }
}

/// Records the store's answer to one renewal.
fn record(claim: &ActiveClaim, renewal: &Renewal, answer: Renewed, sent: Instant) {
    if matches!(answer, Renewed::Lost | Renewed::Gone) {
        // After the end of the handler, the verdict may simply have been stored before the extension.
        if !claim.has_ended() {
            tracing::warn!(id = %renewal.id, ?answer, "lease lost; stopping the handler");
        }
    } else if renewal.until.is_some() {
        claim.record_extension(sent);
    }
    claim.record_answer(&renewal.id, answer);
}

/// Returns the index closest to the middle that separates two claims. A group is never split: its handler
/// would outlive the lease of one of its tasks.
fn middle(claims: &[Arc<ActiveClaim>]) -> Option<usize> {
    let is_boundary = |index: &usize| claims[index - 1].number != claims[*index].number;
    let half = claims.len() / 2;
    (1..claims.len())
        .filter(is_boundary)
        .min_by_key(|index| index.abs_diff(half))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
