//! Handles of a store. Every method checks the promises that hold for each call, such as one result for each item.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use oncetask::StoreError;
use oncetask::store::{
    Action, Claim, ClaimRequest, ClaimResponse, ClaimedTask, Demand, Filter, Finish, Insert, Page, Query,
    Renewal, Renewed, Store, Subscription, Topic,
};
use oncetask::task::transition::{Change, LeaseLost, Verdict};
use oncetask::task::{Task, TaskId};

use super::{Draft, KIND, at, demand, extension, finish, ids, up_to};
use crate::conformance::Harness;

/// The environment of a handle unless the case chooses another.
const ENV: &str = "TEST";

/// The store of one case.
pub(crate) struct Backend(Box<dyn Harness>);

impl Backend {
    pub(crate) fn new(harness: Box<dyn Harness>) -> Self {
        Self(harness)
    }

    /// Opens a handle, as another process would.
    pub(crate) async fn open(&self) -> StoreHandle {
        self.open_in(ENV).await
    }

    /// Opens a handle on an environment.
    pub(crate) async fn open_in(&self, env: &str) -> StoreHandle {
        StoreHandle(self.0.open(env).await)
    }
}

/// A handle on one environment of the store.
#[derive(Clone)]
pub(crate) struct StoreHandle(pub(crate) Arc<dyn Store>);

impl StoreHandle {
    /// Creates tasks whose ids do not exist yet.
    pub(crate) async fn create(&self, tasks: impl IntoIterator<Item = impl Into<Task>>) {
        let inserts = self.insert(tasks).await;
        for insert in inserts {
            assert_eq!(insert, Insert::New);
        }
    }

    /// Creates tasks and returns the results.
    pub(crate) async fn insert(&self, tasks: impl IntoIterator<Item = impl Into<Task>>) -> Vec<Insert> {
        let tasks: Vec<Task> = tasks.into_iter().map(Into::into).collect();
        let count = tasks.len();
        let inserts = succeeded(self.0.create(tasks).await);
        assert_eq!(inserts.len(), count, "one result for each task");
        inserts
    }

    /// Returns the task with this id, if it is stored.
    pub(crate) async fn find(&self, id: impl AsRef<str>) -> Option<Task> {
        let mut found = self.get([id]).await;
        found.pop().flatten()
    }

    /// Returns the task with this id, which must be stored.
    pub(crate) async fn task(&self, id: impl AsRef<str>) -> Task {
        let found = self.find(&id).await;
        found.unwrap_or_else(|| panic!("`{}` is not stored", id.as_ref()))
    }

    pub(crate) async fn get(&self, ids: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Option<Task>> {
        let ids: Vec<TaskId> = ids.into_iter().map(|id| id.as_ref().into()).collect();
        let count = ids.len();
        let found = succeeded(self.0.get(ids).await);
        assert_eq!(found.len(), count, "one result for each id");
        found
    }

    /// Claims tasks for one demand.
    pub(crate) async fn claim(&self, demand: Demand, now: DateTime<Utc>) -> Vec<Claim> {
        let max_claims = demand.max_claims;
        let claims = self.claim_all(vec![demand], now).await.claims;
        assert!(
            claims.len() <= max_claims,
            "{} claims for a demand of {max_claims}",
            claims.len()
        );
        claims
    }

    /// Claims tasks for several demands.
    pub(crate) async fn claim_all(&self, demands: Vec<Demand>, now: DateTime<Utc>) -> ClaimResponse {
        let count = demands.len();
        let request = ClaimRequest::new("worker", now, demands);
        let response = succeeded(self.0.claim(request).await);
        assert_eq!(
            response.next_due.len(),
            count,
            "one next due time for each demand"
        );
        for claim in &response.claims {
            assert!(!claim.tasks.is_empty(), "a claim without tasks");
        }
        response
    }

    /// Claims one task. A task must be due.
    pub(crate) async fn claim_one(&self, now: DateTime<Utc>) -> ClaimedTask {
        let mut claims = self.claim(demand(KIND), now).await;
        let mut claim = claims.pop().expect("a task is due");
        assert_eq!(claim.tasks.len(), 1, "a group for a demand of single tasks");
        claim.tasks.remove(0)
    }

    /// Creates a task and claims it.
    pub(crate) async fn create_and_claim(&self, draft: Draft, now: DateTime<Utc>) -> ClaimedTask {
        self.create([draft]).await;
        self.claim_one(now).await
    }

    /// Creates a task, claims it and completes it.
    pub(crate) async fn create_and_complete(&self, draft: Draft, now: DateTime<Utc>) {
        let claimed = self.create_and_claim(draft, now).await;
        assert_eq!(self.finish(&claimed, Verdict::Complete(None), now).await, Ok(()));
    }

    /// Checks that no task can be claimed.
    pub(crate) async fn assert_nothing_due(&self, now: DateTime<Utc>) {
        let claims = self.claim(up_to(10), now).await;
        assert_eq!(ids(&claims), [] as [&str; 0], "no task is due");
    }

    /// Ends a claim of a task whose type has no cleanup handler.
    pub(crate) async fn finish(
        &self,
        claimed: &ClaimedTask,
        verdict: Verdict,
        now: DateTime<Utc>,
    ) -> Result<(), LeaseLost> {
        self.finish_one(finish(claimed, verdict), now).await
    }

    pub(crate) async fn finish_one(&self, finish: Finish, now: DateTime<Utc>) -> Result<(), LeaseLost> {
        self.finish_all(vec![finish], now).await.remove(0)
    }

    pub(crate) async fn finish_all(
        &self,
        finishes: Vec<Finish>,
        now: DateTime<Utc>,
    ) -> Vec<Result<(), LeaseLost>> {
        let count = finishes.len();
        let results = succeeded(self.0.finish(finishes, now).await);
        assert_eq!(results.len(), count, "one result for each finish");
        results
    }

    /// Extends the lease of a claim to an instant.
    pub(crate) async fn extend(
        &self,
        claimed: &ClaimedTask,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Renewed {
        self.renew(extension(claimed, until), now).await
    }

    pub(crate) async fn renew(&self, renewal: Renewal, now: DateTime<Utc>) -> Renewed {
        self.renew_all(vec![renewal], now).await.remove(0)
    }

    pub(crate) async fn renew_all(&self, renewals: Vec<Renewal>, now: DateTime<Utc>) -> Vec<Renewed> {
        let count = renewals.len();
        let results = succeeded(self.0.renew(renewals, now).await);
        assert_eq!(results.len(), count, "one result for each renewal");
        results
    }

    pub(crate) async fn cancel(&self, id: &str, now: DateTime<Utc>) -> Change {
        self.change([id], Action::Cancel, now).await.remove(0)
    }

    pub(crate) async fn reset(&self, id: &str, now: DateTime<Utc>) -> Change {
        self.change([id], Action::Reset, now).await.remove(0)
    }

    pub(crate) async fn delete(&self, id: &str) -> Change {
        self.change([id], Action::Delete, at(0)).await.remove(0)
    }

    pub(crate) async fn change(
        &self,
        ids: impl IntoIterator<Item = impl AsRef<str>>,
        action: Action,
        now: DateTime<Utc>,
    ) -> Vec<Change> {
        let ids: Vec<TaskId> = ids.into_iter().map(|id| id.as_ref().into()).collect();
        let count = ids.len();
        let changes = succeeded(self.0.change(ids, action, now).await);
        assert_eq!(changes.len(), count, "one result for each id");
        changes
    }

    pub(crate) async fn page(&self, query: Query) -> Page {
        let limit = query.limit;
        let page = succeeded(self.0.query(query).await);
        assert!(page.tasks.len() <= limit, "a page longer than its limit");
        page
    }

    /// Returns the ids of all tasks that match a filter, in order.
    pub(crate) async fn list(&self, filter: Filter, now: DateTime<Utc>) -> Vec<String> {
        let mut listed = Vec::new();
        let mut after = None;
        loop {
            let query = Query::new(filter.clone(), 100, now).after(after);
            let page = self.page(query).await;
            listed.extend(page.tasks.iter().map(|task| task.id().to_string()));
            after = page.next;
            if after.is_none() {
                return listed;
            }
        }
    }

    pub(crate) async fn count(&self, filter: Filter, now: DateTime<Utc>) -> u64 {
        succeeded(self.0.count(filter, now).await)
    }

    pub(crate) async fn kinds(&self) -> Vec<String> {
        succeeded(self.0.kinds().await)
    }

    pub(crate) fn subscribe_to_kind(&self, kind: &str) -> Subscription {
        self.0.subscribe(Topic::Kinds(vec![kind.into()]))
    }

    pub(crate) fn subscribe_to_task(&self, id: &str) -> Subscription {
        self.0.subscribe(Topic::Task(id.into()))
    }
}

fn succeeded<T>(result: Result<T, StoreError>) -> T {
    result.unwrap_or_else(|error| panic!("the store failed: {error}"))
}
