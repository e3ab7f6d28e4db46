//! The fast path: a task that a listener announced is claimed without reading the queue.
//!
//! The listener receives the whole document of the task that is due first. The claim uses that document, which
//! saves the query before it: the query takes longer than the claim, and a single task would wait for both. This
//! is safe because the claim is a conditional write as always; an outdated document makes it fail.
//!
//! The next claim reads the queue. So a steady flow of announced tasks does not delay the other tasks.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::fill::FillDemand;
use super::selection::Candidate;
use super::window::Window;
use super::{Claims, Shared, SharedNextDue, contention};
use crate::store::firestore::codec::Stored;
use crate::store::firestore::retry::Failure;
use crate::store::{ClaimResponse, Demand};
use crate::task::transition;

impl Claims {
    /// Claims an announced task. Returns `None` if there is none, another process was faster, or the queue must be
    /// read first.
    pub(super) async fn try_fast_path(
        self: &Arc<Self>,
        demands: &[Demand],
        owner: &Arc<str>,
        now: DateTime<Utc>,
        shared_next: &SharedNextDue,
    ) -> Result<Option<ClaimResponse>, Failure> {
        let is_free = |stored: &Stored| {
            transition::is_due(&stored.task.state, now)
                && !self.documents.claim_cache.contains_document(&stored.name)
        };
        let announced = self.listener.take_reported().into_iter().filter(is_free);
        let first = announced
            .filter_map(|stored| {
                let index = demands.iter().position(|demand| accepts(demand, &stored))?;
                Some((index, stored))
            })
            .min_by_key(|(_, stored)| (stored.task.state.due(), stored.task.spec.created_at));
        let Some((index, stored)) = first else {
            return Ok(None);
        };
        let kinds = &demands[index].kinds;
        if !self.state.shared().may_take_fast_path(demands, kinds) {
            return Ok(None);
        }
        let position = contention::ring_position(&stored);
        let fill = FillDemand::new(self, index, &demands[index], owner, now, shared_next);
        let round = fill.lease(vec![Candidate::single(None, stored)]).await;
        {
            let mut shared = self.state.shared();
            let contention = &mut shared.queue(kinds).contention;
            contention.record_round(1, round.lost, position);
        }
        match round.failure {
            Some(failure) => Err(failure),
            None if round.claims.is_empty() => Ok(None),
            None => Ok(Some(ClaimResponse {
                claims: round.claims,
                next_due: vec![Some(now); demands.len()],
            })),
        }
    }
}

/// Returns whether the fast path may claim this task for this demand. The demand needs a second slot, for the tasks
/// that the next claim reads. A task with a key is excluded, because earlier tasks of the key may be due.
fn accepts(demand: &Demand, stored: &Stored) -> bool {
    demand.max_claims > 1
        && demand.kinds.iter().any(|kind| kind == stored.task.kind())
        && stored.task.spec.held_key().is_none()
}

impl Shared {
    /// Returns whether no known task precedes the announced one, no back-off is under way, and the last claim of
    /// these kinds read the queue. If so, records that this claim takes the fast path.
    fn may_take_fast_path(&mut self, demands: &[Demand], kinds: &[String]) -> bool {
        let is_empty = |window: &Window| window.tasks.is_empty() && window.cursor.is_none();
        let queued = demands.iter().all(|demand| !demand.generators_only);
        let may = queued
            && self.windows.values().all(is_empty)
            && self
                .queues
                .values()
                .all(|queue| queue.contention.back_off().is_none());
        may && !std::mem::replace(&mut self.queue(kinds).took_fast_path, true)
    }
}
