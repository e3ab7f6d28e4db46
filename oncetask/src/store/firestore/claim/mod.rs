//! Claiming tasks.
//!
//! # How a claim is made, and why it is safe
//!
//! Due tasks are read outside of any transaction, a window of them at a time, and each is claimed by a write
//! that demands the state that was read (`update_time`). Of two workers that read a task one writes it; the
//! other's write is refused. Nothing is locked, so that workers do not wait for each other; who loses many
//! documents keeps out of the others' way, and leaves the queue to them while they are faster: see [`rivals`].
//!
//! # Resource keys
//!
//! A key is held while a task of it has a lease that has not ended. Looking first and claiming then would let
//! two workers look before either claims. So a worker claims FIRST, and then asks with a strongly consistent
//! query who else holds the key; if anybody does, it gives its claim back and has run nothing.
//!
//! Let two workers claim two tasks of one key, and let the writes be committed at the instants A and B, A
//! first. The second worker asks after B, so that its query sees the first one's lease, and it yields. The
//! first may see the second's lease or not; if it does, it yields too, and both try again at other instants.
//! In no order do both run.
//!
//! Workers of the Go library look and claim in one transaction, which is serializable: it is as if it were
//! done at the instant of its commit. If that is before our claim, our query sees its lease, and we yield. If
//! it is after our claim, what it looked at includes our lease, and it does not claim.
//!
//! A worker that ends a task of a key may claim the key's next task in the same atomic write: see [`hand`].
//!
//! A lease that ends while a worker asks is no lease: its holder has stopped its handler before, by its own
//! clock.

mod generators;
mod hand;
mod heard;
mod keys;
mod lease;
mod outlook;
mod pick;
mod reading;
mod rivals;
mod turn;
mod window;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::OnceCell;

use self::keys::{Key, Refusals};
use self::outlook::Outlook;
use self::reading::Appetite;
use self::rivals::Rivals;
use self::turn::{Taken, Turn};
use self::window::Window;
use super::documents::Documents;
use super::listen::Listener;
use super::query::MAX_IN;
use super::retry::Failure;
use crate::store::{ClaimRequest, ClaimResponse, Demand};
use crate::task::Task;

/// For how many handlers the next instant is asked one by one.
const FEW: usize = 4;
/// How many tasks one atomic write claims at the most.
const MAX_GROUP: usize = 2000;

/// The claims of one environment.
#[derive(Debug)]
pub(super) struct Claims {
    documents: Arc<Documents>,
    listener: Arc<Listener>,
    state: ClaimState,
}

/// What claims know of the queue.
#[derive(Debug, Default)]
struct ClaimState {
    /// One claim at a time: two would only take each other's tasks.
    gate: tokio::sync::Mutex<()>,
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// For each set of kinds what was read of its queue and not claimed yet.
    windows: HashMap<Vec<String>, Window>,
    queues: HashMap<Vec<String>, Queue>,
    /// The keys that somebody else was found to hold.
    refusals: Refusals,
    /// For each set of kinds when the next lease ends.
    outlooks: HashMap<Vec<String>, Outlook>,
    hands: hand::Hands,
}

/// What is known of the queue of a set of kinds.
#[derive(Debug, Default)]
struct Queue {
    appetite: Appetite,
    rivals: Rivals,
    /// Whether the last claim was of what was heard of.
    by_hearing: bool,
}

/// When the next task of a request's kinds is due, once somebody has asked.
#[derive(Debug)]
struct Ahead {
    kinds: Vec<String>,
    next: OnceCell<Option<DateTime<Utc>>>,
    /// Whether each handler is told its own instant, at the price of asking for each.
    exact: bool,
}

impl ClaimState {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claims {
    pub(super) fn new(documents: Arc<Documents>, listener: Arc<Listener>) -> Self {
        Self {
            documents,
            listener,
            state: ClaimState::default(),
        }
    }

    pub(super) async fn claim(self: Arc<Self>, request: ClaimRequest) -> Result<ClaimResponse, Failure> {
        let _looking = self.listener.begin_claim();
        let _gate = self.state.gate.lock().await;
        let ClaimRequest { owner, now, demands } = request;
        self.documents.claim_cache.remove_expired(now);
        self.state.shared().hands.note(&owner, &demands);
        let queued = demands.iter().filter(|demand| !demand.generators_only);
        let mut kinds: Vec<_> = queued.flat_map(|demand| demand.kinds.iter().cloned()).collect();
        kinds.sort_unstable();
        let ahead = Ahead {
            kinds,
            next: OnceCell::new(),
            exact: (2..=FEW).contains(&demands.len()),
        };
        if let Some(claimed) = self.claim_heard(&demands, &owner, now, &ahead).await? {
            return Ok(claimed);
        }
        self.look_ahead(&demands, now).await?;
        let mut claimed = ClaimResponse::default();
        let mut drained = Vec::with_capacity(demands.len());
        for (place, demand) in demands.iter().enumerate() {
            if !demand.generators_only {
                self.state.shared().queue(&demand.kinds).by_hearing = false;
            }
            let taken = self.turn(place, demand, &owner, now, &ahead).await;
            match taken.failure {
                // What was claimed must reach the caller; the next call will meet the trouble again.
                Some(failure) if claimed.claims.is_empty() && taken.claims.is_empty() => return Err(failure),
                Some(failure) => tracing::warn!("claiming went wrong half-way: {}", failure.message),
                None => {}
            }
            claimed.claims.extend(taken.claims);
            claimed.next_due.push(taken.next_due);
            drained.push(taken.drained);
        }
        let contended = self.state.shared().may_be_contended();
        self.listener.record_claim(&demands, &drained, contended);
        // What was heard meanwhile is read already, or else rang: the caller looks again at once.
        self.listener.take_reported();
        Ok(claimed)
    }

    /// What one demand gets. One that has more kinds than a query holds gets it part by part.
    async fn turn(
        self: &Arc<Self>,
        place: usize,
        demand: &Demand,
        owner: &Arc<str>,
        now: DateTime<Utc>,
        ahead: &Ahead,
    ) -> Taken {
        let mut all = Taken::nothing();
        for kinds in demand.kinds.chunks(MAX_IN) {
            let part = Demand {
                kinds: kinds.to_vec(),
                max_claims: demand.max_claims - all.claims.len(),
                max_group: demand.max_group.min(MAX_GROUP),
                ..demand.clone()
            };
            let turn = Turn::new(self, place, &part, owner, now, ahead);
            let taken = Box::pin(turn.take()).await;
            all.add(taken);
        }
        all
    }

    /// A task of this process may become due: what was read of its queue may no longer be its head.
    pub(super) fn expect(&self, task: &Task) {
        if let Some(due) = task.state.due() {
            self.state.shared().forget_behind(task.kind(), due);
            self.documents.notifier.notify_due(task.kind());
        }
    }
}

impl Shared {
    fn queue(&mut self, kinds: &[String]) -> &mut Queue {
        self.queues.entry(kinds.to_vec()).or_default()
    }

    /// Whether others who claim were noticed lately.
    fn may_be_contended(&self) -> bool {
        self.queues.values().any(|queue| queue.rivals.may_be_about())
    }

    /// A task of this key is to be read again, before others of the key are claimed.
    fn shut(&mut self, key: Key) {
        let of_kind = |(kinds, _): &(&Vec<String>, &mut Window)| kinds.iter().any(|kind| **kind == *key.0);
        if let Some((_, window)) = self.windows.iter_mut().find(of_kind) {
            window.shut(vec![key], None, true);
        }
    }

    fn forget_behind(&mut self, kind: &str, due: DateTime<Utc>) {
        self.windows
            .retain(|kinds, window| !kinds.iter().any(|of| of == kind) || window.is_before(due));
    }
}
