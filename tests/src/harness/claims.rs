//! Calls of a [`Store`] as a worker makes them, and readers of their results.

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::store::{Claim, ClaimRequest, ClaimedTask, Demand, Finish, Renewal, Store};
use oncetask::task::transition::Verdict;
use oncetask::task::{Json, LeaseToken, ResourceKey, Task, TaskSpec};

/// The lease of a claim whose test does not choose one.
pub const LEASE: TimeDelta = TimeDelta::seconds(60);

/// Returns a task of a kind that is created and due now.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "the payload is valid JSON")]
pub fn task(id: &str, kind: &str) -> Task {
    let now = Utc::now();
    let payload = Json::parse(r#"{"n":1}"#).expect("valid JSON");
    Task::new(TaskSpec::new(id.into(), kind, payload, now), now)
}

/// Returns a task of a kind and a resource key that is created and due now.
#[must_use]
pub fn keyed_task(id: &str, kind: &str, key: &str) -> Task {
    let mut task = task(id, kind);
    task.spec.resource_key = ResourceKey::new(key);
    task
}

/// Returns this number of tasks of a kind, created and due now.
#[must_use]
pub fn tasks(count: usize, kind: &str) -> Vec<Task> {
    (0..count)
        .map(|n| task(&format!("{kind}:{n:05}"), kind))
        .collect()
}

/// Returns a request for due tasks of a kind, one task in each claim.
#[must_use]
pub fn request(kind: &str, max_claims: usize) -> ClaimRequest {
    let demand = Demand::new([kind], LEASE).max_claims(max_claims);
    ClaimRequest::new("test", Utc::now(), vec![demand])
}

/// Claims due tasks of a kind.
///
/// # Panics
///
/// Panics if the store fails.
pub async fn claim(store: &dyn Store, kind: &str, max_claims: usize) -> Vec<ClaimedTask> {
    let response = store.claim(request(kind, max_claims)).await;
    let claims = response.expect("the store answers").claims;
    claims.into_iter().flat_map(|claim| claim.tasks).collect()
}

/// Returns the end of a claim with this verdict, for a task type without a cleanup handler.
#[must_use]
pub fn finish(claimed: &ClaimedTask, verdict: Verdict) -> Finish {
    Finish::new(claimed.task.id().clone(), token(claimed), verdict)
}

/// Returns the end of a claim whose handler completed without a result.
#[must_use]
pub fn complete(claimed: &ClaimedTask) -> Finish {
    finish(claimed, Verdict::Complete(None))
}

/// Returns the extension of a claim to this instant.
#[must_use]
pub fn extension(claimed: &ClaimedTask, until: DateTime<Utc>) -> Renewal {
    Renewal::new(claimed.task.id().clone(), token(claimed), Some(until))
}

/// Returns the lease token of a claim.
///
/// # Panics
///
/// Panics if the task has no lease.
#[must_use]
pub fn token(claimed: &ClaimedTask) -> LeaseToken {
    let lease = claimed.task.state.lease.as_ref();
    lease.expect("a claimed task has a lease").token
}

/// Returns the end of a task's lease.
#[must_use]
pub fn leased_until(task: &Task) -> Option<DateTime<Utc>> {
    task.state.lease.as_ref().map(|lease| lease.until)
}

/// Returns the ids of the claimed tasks in claim order.
#[must_use]
pub fn ids(claims: &[Claim]) -> Vec<&str> {
    let tasks = claims.iter().flat_map(|claim| &claim.tasks);
    tasks.map(|claimed| claimed.task.id().as_str()).collect()
}
