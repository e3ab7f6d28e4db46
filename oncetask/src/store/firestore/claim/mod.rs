//! Claiming due tasks.
//!
//! # How a claim is made
//!
//! A worker reads a window of due tasks from the head of the queue, outside of any transaction. It claims each
//! task by a conditional write, which requires that the document has not changed since it was read
//! (`update_time`). If two workers read the same task, one write succeeds and the other is refused. There are no
//! locks, so workers never wait for each other.
//!
//! # Resource keys: claim, verify, yield
//!
//! A task owns its resource key while it has a lease that has not expired. At most one claim may own a key. The
//! conditional write alone does not ensure that, because two tasks of one key are two documents. A check before
//! the claim does not ensure it either, because two workers may both check before either of them claims. So a
//! worker proceeds in three steps:
//!
//! 1. *Claim*: it writes its lease into the task.
//! 2. *Verify*: a strongly consistent query returns the other tasks that own the key.
//! 3. *Yield*: if there is such a task, the worker releases its claim. No handler has run.
//!
//! To see that this is safe, let two workers claim two tasks of one key, with writes that are committed at the
//! instants A and B, A before B. The second worker's query runs after B. It sees the first worker's lease, and
//! the second worker yields. The first worker's query may or may not see the second lease. If it does, the first
//! worker yields too, and both try again after pauses of random length. In no case do both run.
//!
//! Workers of the Go library check and claim in one serializable transaction, which takes effect at the instant
//! of its commit. If the commit comes before our claim, our query sees its lease, and we yield. If it comes after
//! our claim, its check sees our lease, and it does not claim.
//!
//! A lease that expires during the verification does not count. Its owner has already stopped the handler,
//! because it measures the lease with its own clock and stops early.
//!
//! A worker that ends a claim of a key may claim the key's next task in the same atomic write. [`key_handoff`]
//! explains why that needs no verification.
//!
//! # Optimisations
//!
//! Everything else makes claims faster or cheaper. None of it weakens the argument above: it only decides which
//! tasks a worker tries to claim, and when. Every claim is still a conditional write, and every claim of a key is
//! verified unless the key was handed over.
//!
//! | optimisation | file | what it saves |
//! | --- | --- | --- |
//! | a window serves several claims | `window.rs` | one query for each claim while the window is fresh |
//! | one query reads the queues of several handlers | `window.rs` | one query and one read for each handler without due tasks |
//! | tasks of a blocked key are removed from the window | `window.rs` | claims of a key that another worker owns |
//! | the page size follows consumption | `paging.rs` | reads of tasks that no claim uses; queries during a backlog |
//! | the next page is read ahead | `paging.rs` | waiting for a query during a backlog |
//! | the fast path | `fast_path.rs` | the query before the claim of a task that a listener announced |
//! | the key hand-off | `key_handoff.rs` | one commit and one verification for each task of a key with a backlog |
//! | a check before the claim of a key that was refused recently | `key_check.rs` | a claim and its release, which are two writes |
//! | contending processes start at different tasks | `contention.rs` | writes that are refused because another process was faster |
//! | slower processes back off | `contention.rs` | reads of tasks that faster processes claim |
//! | the handlers of a request share one next due time | `next_due.rs` | two queries for each handler without due tasks |
//! | the next lease end is cached, and the listener knows the next due time | `next_due.rs` | two queries each time the queue is empty |

mod contention;
mod fast_path;
mod fill;
mod generators;
mod key_check;
mod key_handoff;
mod lease;
mod next_due;
mod paging;
mod selection;
mod window;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::OnceCell;

use self::contention::Contention;
use self::fill::{FillDemand, Filled};
use self::key_check::{Key, KeyRefusals};
use self::key_handoff::Handoffs;
use self::next_due::LeaseEnd;
use self::paging::PageSize;
use self::window::Window;
use super::documents::Documents;
use super::listen::Listener;
use super::query::MAX_IN;
use super::retry::Failure;
use crate::store::{ClaimRequest, ClaimResponse, Demand};
use crate::task::Task;

/// The maximum number of demands in a request that each get their own next due time.
const MAX_EXACT_DEMANDS: usize = 4;
/// The maximum number of tasks that one atomic write claims.
const MAX_GROUP: usize = 2000;

/// The claims of one environment.
#[derive(Debug)]
pub(super) struct Claims {
    documents: Arc<Documents>,
    listener: Arc<Listener>,
    state: ClaimState,
}

/// The state that claims share.
#[derive(Debug, Default)]
struct ClaimState {
    /// Lets one claim run at a time. Two claims of one process would only compete for the same tasks.
    gate: tokio::sync::Mutex<()>,
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// For each set of kinds, the tasks that were read and not yet claimed.
    windows: HashMap<Vec<String>, Window>,
    queues: HashMap<Vec<String>, QueueState>,
    /// The keys that other workers were found to own.
    refusals: KeyRefusals,
    /// For each set of kinds, the end of the lease that expires first.
    lease_ends: HashMap<Vec<String>, LeaseEnd>,
    handoffs: Handoffs,
}

/// The history of this process's claims from the queue of one set of kinds.
#[derive(Debug, Default)]
struct QueueState {
    page_size: PageSize,
    contention: Contention,
    /// True if the last claim took the fast path.
    took_fast_path: bool,
}

/// The due time of the next task of a request's kinds, read when it is first needed.
#[derive(Debug)]
struct SharedNextDue {
    kinds: Vec<String>,
    next: OnceCell<Option<DateTime<Utc>>>,
    /// True if each demand gets its own due time, at the cost of two queries for each.
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

    /// Claims tasks for each demand of a request.
    pub(super) async fn claim(self: Arc<Self>, request: ClaimRequest) -> Result<ClaimResponse, Failure> {
        let _in_progress = self.listener.begin_claim();
        let _gate = self.state.gate.lock().await;
        let ClaimRequest { owner, now, demands } = request;
        self.documents.claim_cache.remove_expired(now);
        self.state.shared().handoffs.record_demands(&owner, &demands);
        let shared_next = SharedNextDue::of(&demands);
        if let Some(response) = self.try_fast_path(&demands, &owner, now, &shared_next).await? {
            return Ok(response);
        }
        self.read_queues_together(&demands, now).await?;
        let mut response = ClaimResponse::default();
        let mut drained = Vec::with_capacity(demands.len());
        for (index, demand) in demands.iter().enumerate() {
            if !demand.generators_only {
                self.state.shared().queue(&demand.kinds).took_fast_path = false;
            }
            let filled = self.fill_demand(index, demand, &owner, now, &shared_next).await;
            match filled.failure {
                Some(failure) if response.claims.is_empty() && filled.claims.is_empty() => {
                    return Err(failure);
                }
                // The claims that were made must reach the caller. If the error persists, the next call returns it.
                Some(failure) => tracing::warn!(
                    "claiming stopped early, and the tasks claimed so far are returned: {}",
                    failure.message
                ),
                None => {}
            }
            response.claims.extend(filled.claims);
            response.next_due.push(filled.next_due);
            drained.push(filled.drained);
        }
        let contended = self.state.shared().may_be_contended();
        self.listener.record_claim(&demands, &drained, contended);
        // A task that was announced during this call was read by it, or else the announcement has notified the
        // caller, which claims again at once.
        self.listener.take_reported();
        Ok(response)
    }

    /// Claims tasks for one demand. A demand with more kinds than fit into one query is filled in parts.
    async fn fill_demand(
        self: &Arc<Self>,
        index: usize,
        demand: &Demand,
        owner: &Arc<str>,
        now: DateTime<Utc>,
        shared_next: &SharedNextDue,
    ) -> Filled {
        let mut all = Filled::nothing();
        for kinds in demand.kinds.chunks(MAX_IN) {
            let part = Demand {
                kinds: kinds.to_vec(),
                max_claims: demand.max_claims - all.claims.len(),
                max_group: demand.max_group.min(MAX_GROUP),
                ..demand.clone()
            };
            let fill = FillDemand::new(self, index, &part, owner, now, shared_next);
            let filled = Box::pin(fill.run()).await;
            all.add(filled);
        }
        all
    }

    /// Handles a task that this process wrote and that may become due: notifies the workers, and discards the
    /// windows that the task may belong to.
    pub(super) fn announce_due(&self, task: &Task) {
        if let Some(due) = task.state.due() {
            self.state.shared().discard_windows_over(task.kind(), due);
            self.documents.notifier.notify_due(task.kind());
        }
    }
}

impl SharedNextDue {
    fn of(demands: &[Demand]) -> Self {
        let queued = demands.iter().filter(|demand| !demand.generators_only);
        let mut kinds: Vec<_> = queued.flat_map(|demand| demand.kinds.iter().cloned()).collect();
        kinds.sort_unstable();
        Self {
            kinds,
            next: OnceCell::new(),
            exact: (2..=MAX_EXACT_DEMANDS).contains(&demands.len()),
        }
    }
}

impl Shared {
    fn queue(&mut self, kinds: &[String]) -> &mut QueueState {
        self.queues.entry(kinds.to_vec()).or_default()
    }

    /// Returns whether other processes seem to have claimed from the same queues recently.
    fn may_be_contended(&self) -> bool {
        self.queues.values().any(|queue| queue.contention.is_suspected())
    }

    /// Blocks a key in the window of its kind until the queue is read again.
    fn block_key(&mut self, key: Key) {
        let of_kind = |(kinds, _): &(&Vec<String>, &mut Window)| kinds.iter().any(|kind| **kind == *key.0);
        if let Some((_, window)) = self.windows.iter_mut().find(of_kind) {
            window.block_keys(vec![key], None, true);
        }
    }

    /// Discards the windows of this kind that reach beyond this due time: a new task with this due time would be
    /// missing from them.
    fn discard_windows_over(&mut self, kind: &str, due: DateTime<Utc>) {
        self.windows
            .retain(|kinds, window| !kinds.iter().any(|of| of == kind) || window.ends_by(due));
    }
}
