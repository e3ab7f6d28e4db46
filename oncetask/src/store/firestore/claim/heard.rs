//! Claiming what a listener has just told of.
//!
//! A listener tells the whole task that is due first. It is claimed by what was told, without reading the queue: that
//! takes longer than the claim itself, and whoever waits for one task waits for both. The queue is read right
//! afterwards, so that nothing waits behind what comes new all the time.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::pick::Pick;
use super::turn::Turn;
use super::window::Window;
use super::{Ahead, Claims, Shared, rivals};
use crate::store::firestore::codec::Stored;
use crate::store::firestore::retry::Failure;
use crate::store::{ClaimResponse, Demand};
use crate::task::transition;

impl Claims {
    /// Claims the task that was heard of. `None` if there is none, others were faster, or the queue is to be read.
    pub(super) async fn claim_heard(
        self: &Arc<Self>,
        demands: &[Demand],
        owner: &Arc<str>,
        now: DateTime<Utc>,
        ahead: &Ahead,
    ) -> Result<Option<ClaimResponse>, Failure> {
        let is_free = |stored: &Stored| {
            transition::is_due(&stored.task.state, now)
                && !self.documents.claim_cache.contains_document(&stored.name)
        };
        let heard = self.listener.take_reported().into_iter().filter(is_free);
        let first = heard
            .filter_map(|stored| Some((demands.iter().position(|demand| is_for(demand, &stored))?, stored)))
            .min_by_key(|(_, stored)| (stored.task.state.due(), stored.task.spec.created_at));
        let Some((place, stored)) = first else {
            return Ok(None);
        };
        let kinds = &demands[place].kinds;
        if !self.state.shared().may_claim_heard(demands, kinds) {
            return Ok(None);
        }
        let at = rivals::place_of(&stored);
        let turn = Turn::new(self, place, &demands[place], owner, now, ahead);
        let leased = turn.lease(vec![Pick::alone(None, stored)]).await;
        self.state.shared().queue(kinds).rivals.note(1, leased.lost, at);
        match leased.failure {
            Some(failure) => Err(failure),
            None if leased.claims.is_empty() => Ok(None),
            None => Ok(Some(ClaimResponse {
                claims: leased.claims,
                next_due: vec![Some(now); demands.len()],
            })),
        }
    }
}

/// Whether this demand takes this task by itself, and has room for what is read afterwards. A key may have more tasks, in
/// an order of their own.
fn is_for(demand: &Demand, stored: &Stored) -> bool {
    demand.max_claims > 1
        && demand.kinds.iter().any(|kind| kind == stored.task.kind())
        && stored.task.spec.held_key().is_none()
}

impl Shared {
    /// Whether nothing comes before what was heard of, as far as is known, and it is time for it.
    fn may_claim_heard(&mut self, demands: &[Demand], kinds: &[String]) -> bool {
        let is_empty = |window: &Window| window.tasks.is_empty() && window.behind.is_none();
        let queued = demands.iter().all(|demand| !demand.generators_only);
        let may = queued
            && self.windows.values().all(is_empty)
            && self.queues.values().all(|queue| queue.rivals.away().is_none());
        may && !std::mem::replace(&mut self.queue(kinds).by_hearing, true)
    }
}
