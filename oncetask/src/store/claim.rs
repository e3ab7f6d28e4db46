//! The request for claims and its response.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::task::Task;

/// A worker's request for tasks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClaimRequest {
    /// The worker's name, for display.
    pub owner: Arc<str>,
    /// The time on the worker's clock.
    pub now: DateTime<Utc>,
    /// One demand for each handler that asks for tasks or generators.
    pub demands: Vec<Demand>,
}

impl ClaimRequest {
    /// Returns a request of this worker at this instant.
    #[must_use]
    pub fn new(owner: impl Into<Arc<str>>, now: DateTime<Utc>, demands: Vec<Demand>) -> Self {
        Self {
            owner: owner.into(),
            now,
            demands,
        }
    }
}

/// The tasks that one handler asks for.
///
/// ```
/// use chrono::TimeDelta;
/// use oncetask::store::Demand;
///
/// let demand = Demand::new(["SendEmail"], TimeDelta::seconds(60)).max_claims(10);
/// assert_eq!((demand.max_claims, demand.max_group), (10, 1));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Demand {
    /// The kinds under which the handler's tasks are stored: its name and its aliases.
    pub kinds: Vec<String>,
    /// The maximum number of claims.
    pub max_claims: usize,
    /// The maximum number of tasks of one resource key in one claim. Tasks without a key and cancelled tasks are
    /// claimed one at a time.
    pub max_group: usize,
    /// The duration of each lease, from `now` on.
    pub lease: TimeDelta,
    /// True if the demand is for generators only. A generator calls no handler, so a handler without a free slot
    /// still asks for its generators. `next_due` then gives the due time of the next generator, or an earlier
    /// instant.
    pub generators_only: bool,
}

impl Demand {
    /// Returns a demand for one claim of one task, generators included.
    #[must_use]
    pub fn new<K: Into<String>>(kinds: impl IntoIterator<Item = K>, lease: TimeDelta) -> Self {
        Self {
            kinds: kinds.into_iter().map(Into::into).collect(),
            max_claims: 1,
            max_group: 1,
            lease,
            generators_only: false,
        }
    }

    /// Sets the maximum number of claims.
    #[must_use]
    pub fn max_claims(mut self, max_claims: usize) -> Self {
        self.max_claims = max_claims;
        self
    }

    /// Sets the maximum number of tasks of one resource key in one claim.
    #[must_use]
    pub fn max_group(mut self, max_group: usize) -> Self {
        self.max_group = max_group;
        self
    }

    /// Asks for generators only.
    #[must_use]
    pub fn generators_only(mut self) -> Self {
        self.generators_only = true;
        self
    }
}

/// The answer to a [`ClaimRequest`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ClaimResponse {
    /// The claims.
    pub claims: Vec<Claim>,
    /// For each [`Demand`], the due time of the next task that this call did not claim; `None` if there is none.
    /// An instant at or before the request's `now` means that more tasks are or may be due. While a store leaves
    /// those tasks to faster processes, the instant may lie up to a few seconds after `now`.
    pub next_due: Vec<Option<DateTime<Utc>>>,
}

impl ClaimResponse {
    /// Returns an answer with these claims, and with the next due time for each demand.
    #[must_use]
    pub fn new(claims: Vec<Claim>, next_due: Vec<Option<DateTime<Utc>>>) -> Self {
        Self { claims, next_due }
    }
}

/// One claim: a task, or a group of tasks of one resource key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Claim {
    /// The index of the [`Demand`] in the request.
    pub demand: usize,
    /// The tasks, all of one phase, ordered by due time. Each has a lease with its own token.
    pub tasks: Vec<ClaimedTask>,
}

impl Claim {
    /// Returns a claim of these tasks for the demand with this index.
    #[must_use]
    pub fn new(demand: usize, tasks: Vec<ClaimedTask>) -> Self {
        Self { demand, tasks }
    }
}

/// One task of a claim.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClaimedTask {
    /// The task as it is now stored, with the new lease.
    pub task: Task,
    /// True if the previous attempt was orphaned: its lease expired without a report.
    pub orphaned: bool,
}

impl ClaimedTask {
    /// Returns a claimed task. `orphaned` is the result of
    /// [`transition::claim`](crate::task::transition::claim).
    #[must_use]
    pub fn new(task: Task, orphaned: bool) -> Self {
        Self { task, orphaned }
    }
}
