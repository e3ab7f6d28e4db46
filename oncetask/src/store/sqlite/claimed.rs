//! What the writer remembers of the tasks that it claimed.
//!
//! Most claims end soon, in the process that took them, and nothing else happens to the task meanwhile. Then its
//! state is what the claim made of it, and it need not be found and read again: what is remembered decides what
//! becomes of the task, and that is written only if the row still shows the claim's token and no cancellation. If
//! one does not, because of another process, all is forgotten, and the ends are written anew by what the rows say.

use std::collections::HashMap;

use super::rows::Held;
use crate::task::{LeaseToken, ResourceKey, Task, TaskId};

/// How many claims are remembered. More are those of workers that went away: all are forgotten then.
const MOST: usize = 20_000;

/// Claims that have not ended, by their tokens.
#[derive(Debug, Default)]
pub(super) struct ClaimCache(HashMap<LeaseToken, (i64, TaskId, Held)>);

impl ClaimCache {
    /// Remembers a task that was just claimed, if it is a plain one.
    pub(super) fn note(&mut self, env: i64, kind: i64, seq: i64, task: &Task) {
        let Task { spec, state } = task;
        let plain = spec.recurrence.is_none() && state.cancelled_at.is_none() && state.errors.is_empty();
        let Some(lease) = state.lease.as_ref().filter(|_| plain) else {
            return;
        };
        if self.0.len() >= MOST {
            self.0.clear();
        }
        let held = Held {
            seq,
            kind,
            key: spec.held_key().map(ResourceKey::as_str).map(str::to_owned),
            state: state.clone(),
        };
        self.0.insert(lease.token, (env, spec.id.clone(), held));
    }

    /// What a task was when this claim was taken. It is forgotten.
    pub(super) fn take(&mut self, env: i64, id: &TaskId, token: LeaseToken) -> Option<Held> {
        let (of, task, held) = self.0.remove(&token)?;
        (of == env && task == *id).then_some(held)
    }

    /// Something else happens to the task.
    pub(super) fn forget(&mut self, token: LeaseToken) {
        self.0.remove(&token);
    }

    /// What was noted in a transaction that was rolled back is not so.
    pub(super) fn forget_all(&mut self) {
        self.0.clear();
    }
}
