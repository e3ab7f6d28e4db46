//! The writer's cache of the claims that it took.
//!
//! Most claims end soon, in the process that took them, and nothing else changes the task in between. Its
//! state is then still the one that the claim left, and need not be read again: the end of the claim is
//! computed from the cached state. It is written only where the row still has the claim's token and no
//! cancellation. If another process changed a row, the cache is cleared, and the ends are computed again from
//! the rows.

use std::collections::HashMap;

use super::rows::RowState;
use crate::task::{LeaseToken, ResourceKey, Task, TaskId};

/// The maximum number of cached claims. When it is reached, most of them belong to workers that no longer
/// run, so the cache is cleared.
const MAX_CACHED_CLAIMS: usize = 20_000;

/// The claims that have not ended, by their tokens.
#[derive(Debug, Default)]
pub(super) struct ClaimCache(HashMap<LeaseToken, CachedClaim>);

#[derive(Debug)]
struct CachedClaim {
    env: i64,
    id: TaskId,
    state: RowState,
}

impl ClaimCache {
    /// Caches a task that was just claimed. Skips generators, cancelled tasks and tasks with errors.
    pub(super) fn insert(&mut self, env: i64, kind: i64, seq: i64, task: &Task) {
        let Task { spec, state } = task;
        let cacheable = spec.recurrence.is_none() && state.cancelled_at.is_none() && state.errors.is_empty();
        let Some(lease) = state.lease.as_ref().filter(|_| cacheable) else {
            return;
        };
        if self.0.len() >= MAX_CACHED_CLAIMS {
            self.0.clear();
        }
        let claim = CachedClaim {
            env,
            id: spec.id.clone(),
            state: RowState {
                seq,
                kind,
                held_key: spec.held_key().map(ResourceKey::as_str).map(str::to_owned),
                state: state.clone(),
            },
        };
        self.0.insert(lease.token, claim);
    }

    /// Removes a claim, and returns the state that it left; `None` if the claim is not cached or is of
    /// another task.
    pub(super) fn take(&mut self, env: i64, id: &TaskId, token: LeaseToken) -> Option<RowState> {
        let claim = self.0.remove(&token)?;
        (claim.env == env && claim.id == *id).then_some(claim.state)
    }

    /// Removes a claim whose task was changed.
    pub(super) fn remove(&mut self, token: LeaseToken) {
        self.0.remove(&token);
    }

    /// Clears the cache, after a rollback.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
