//! What the cases are written in: a store, handles on it, tasks, instants.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::store::{
    Action, Claim, ClaimRequest, ClaimResponse, ClaimedTask, Demand, Filter, Finish, Insert, Page, Query,
    Renewal, Renewed, Store, Subscription, Topic,
};
use oncetask::task::transition::{Change, LeaseLost, Verdict};
use oncetask::task::{Json, LeaseToken, Occurrence, ResourceKey, Task, TaskId, TaskSpec};
use oncetask::{Recurrence, StoreError};

use super::Harness;

/// The kind of a task about which nothing is said.
pub(super) const KIND: &str = "Work";
/// The environment of a handle about which nothing is said.
pub(super) const ENV: &str = "TEST";
/// How long a claim is held about which nothing is said.
pub(super) const LEASE: TimeDelta = TimeDelta::seconds(60);

/// So many seconds into the story, which begins before anybody runs it.
pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    millis(seconds * 1000)
}

/// So many milliseconds into the story.
pub(super) fn millis(millis: i64) -> DateTime<Utc> {
    const BEGIN: i64 = 1_704_164_645_000;
    DateTime::from_timestamp_millis(BEGIN + millis).expect("within a few years of 2024")
}

/// The store of one case.
pub(super) struct Scene(Box<dyn Harness>);

impl Scene {
    pub(super) fn new(harness: Box<dyn Harness>) -> Self {
        Self(harness)
    }

    /// A handle, as a process of its own has it.
    pub(super) async fn queue(&self) -> Queue {
        self.queue_in(ENV).await
    }

    pub(super) async fn queue_in(&self, env: &str) -> Queue {
        Queue(self.0.open(env).await)
    }
}

/// A task to be created.
pub(super) struct Draft {
    spec: TaskSpec,
    wait_until: DateTime<Utc>,
}

/// A task that is created at the beginning of the story and due at once.
pub(super) fn task(id: impl AsRef<str>) -> Draft {
    Draft {
        spec: TaskSpec::new(id.as_ref().into(), KIND, Json::parse("{}").expect("JSON"), at(0)),
        wait_until: at(0),
    }
}

/// So many tasks, each created a millisecond after the one before.
pub(super) fn tasks(ids: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Draft> {
    ids.into_iter()
        .zip(0..)
        .map(|(id, place)| task(id).created(millis(place)))
        .collect()
}

/// A rule for generators, from the beginning of the story on.
pub(super) fn rule(text: &str) -> Recurrence {
    let rule = Recurrence::new(text).expect("a rule");
    rule.anchored_at(at(0))
}

impl Draft {
    pub(super) fn kind(mut self, kind: &str) -> Self {
        self.spec.kind = kind.into();
        self
    }

    pub(super) fn key(mut self, key: &str) -> Self {
        self.spec.resource_key = ResourceKey::new(key);
        self
    }

    pub(super) fn due(mut self, at: DateTime<Utc>) -> Self {
        self.wait_until = at;
        self
    }

    pub(super) fn created(mut self, at: DateTime<Utc>) -> Self {
        self.spec.created_at = at;
        self
    }

    pub(super) fn payload(mut self, json: &str) -> Self {
        self.spec.payload = Json::parse(json).expect("JSON");
        self
    }

    pub(super) fn recurring(self, text: &str) -> Self {
        self.following(rule(text))
    }

    pub(super) fn following(mut self, rule: Recurrence) -> Self {
        self.spec.recurrence = Some(rule);
        self
    }

    pub(super) fn occurrence_of(mut self, generator: &str, at: DateTime<Utc>) -> Self {
        self.spec.occurrence = Some(Occurrence::new(generator.into(), at));
        self
    }
}

impl From<Draft> for Task {
    fn from(draft: Draft) -> Self {
        Self::new(draft.spec, draft.wait_until)
    }
}

/// Room for one task of this kind.
pub(super) fn demand(kind: &str) -> Demand {
    Demand::new([kind], LEASE)
}

/// Room for so many claims of one task.
pub(super) fn room(claims: usize) -> Demand {
    demand(KIND).max_claims(claims)
}

/// Room for one claim of so many tasks of a key.
pub(super) fn group(group: usize) -> Demand {
    demand(KIND).max_group(group)
}

/// A handle on one environment.
#[derive(Clone)]
pub(super) struct Queue(pub(super) Arc<dyn Store>);

impl Queue {
    /// Creates tasks that are all new.
    pub(super) async fn create(&self, tasks: impl IntoIterator<Item = impl Into<Task>>) {
        let inserts = self.insert(tasks).await;
        for insert in inserts {
            assert_eq!(insert, Insert::New);
        }
    }

    pub(super) async fn insert(&self, tasks: impl IntoIterator<Item = impl Into<Task>>) -> Vec<Insert> {
        let tasks: Vec<Task> = tasks.into_iter().map(Into::into).collect();
        let asked = tasks.len();
        let inserts = answered(self.0.create(tasks).await);
        assert_eq!(inserts.len(), asked, "one answer for each task");
        inserts
    }

    pub(super) async fn find(&self, id: impl AsRef<str>) -> Option<Task> {
        let mut found = self.get([id]).await;
        found.pop().flatten()
    }

    /// The task with this id, which must be there.
    pub(super) async fn task(&self, id: impl AsRef<str>) -> Task {
        let found = self.find(&id).await;
        found.unwrap_or_else(|| panic!("`{}` is not stored", id.as_ref()))
    }

    pub(super) async fn get(&self, ids: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Option<Task>> {
        let ids: Vec<TaskId> = ids.into_iter().map(|id| id.as_ref().into()).collect();
        let asked = ids.len();
        let found = answered(self.0.get(ids).await);
        assert_eq!(found.len(), asked, "one answer for each id");
        found
    }

    /// What a worker with this room gets.
    pub(super) async fn claim(&self, demand: Demand, now: DateTime<Utc>) -> Vec<Claim> {
        let room = demand.max_claims;
        let claims = self.claim_all(vec![demand], now).await.claims;
        assert!(
            claims.len() <= room,
            "{} claims for a room of {room}",
            claims.len()
        );
        claims
    }

    pub(super) async fn claim_all(&self, demands: Vec<Demand>, now: DateTime<Utc>) -> ClaimResponse {
        let asked = demands.len();
        let request = ClaimRequest::new("worker", now, demands);
        let claimed = answered(self.0.claim(request).await);
        assert_eq!(claimed.next_due.len(), asked, "one next instant for each demand");
        for claim in &claimed.claims {
            assert!(!claim.tasks.is_empty(), "a claim of nothing");
        }
        claimed
    }

    /// Claims the one task that must be due.
    pub(super) async fn take(&self, now: DateTime<Utc>) -> ClaimedTask {
        let mut claims = self.claim(demand(KIND), now).await;
        let mut claim = claims.pop().expect("a task was due");
        assert_eq!(claim.tasks.len(), 1, "a group for a demand of one");
        claim.tasks.remove(0)
    }

    /// Creates a task and claims it.
    pub(super) async fn start(&self, draft: Draft, now: DateTime<Utc>) -> ClaimedTask {
        self.create([draft]).await;
        self.take(now).await
    }

    /// Creates a task and carries it to its end.
    pub(super) async fn complete(&self, draft: Draft, now: DateTime<Utc>) {
        let held = self.start(draft, now).await;
        assert_eq!(self.finish(&held, Verdict::Complete(None), now).await, Ok(()));
    }

    /// Nothing may be claimed.
    pub(super) async fn assert_idle(&self, now: DateTime<Utc>) {
        let claims = self.claim(room(10), now).await;
        assert_eq!(ids(&claims), [] as [&str; 0], "nothing was to be claimed");
    }

    /// Ends a claim, with the verdict of a handler whose type has no cleanup handler.
    pub(super) async fn finish(
        &self,
        held: &ClaimedTask,
        verdict: Verdict,
        now: DateTime<Utc>,
    ) -> Result<(), LeaseLost> {
        self.finish_one(finish(held, verdict), now).await
    }

    pub(super) async fn finish_one(&self, finish: Finish, now: DateTime<Utc>) -> Result<(), LeaseLost> {
        self.finish_all(vec![finish], now).await.remove(0)
    }

    pub(super) async fn finish_all(
        &self,
        finishes: Vec<Finish>,
        now: DateTime<Utc>,
    ) -> Vec<Result<(), LeaseLost>> {
        let asked = finishes.len();
        let finished = answered(self.0.finish(finishes, now).await);
        assert_eq!(finished.len(), asked, "one answer for each finish");
        finished
    }

    /// Extends a claim to an instant.
    pub(super) async fn extend(
        &self,
        held: &ClaimedTask,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Renewed {
        self.renew(extension(held, until), now).await
    }

    pub(super) async fn renew(&self, renewal: Renewal, now: DateTime<Utc>) -> Renewed {
        self.renew_all(vec![renewal], now).await.remove(0)
    }

    pub(super) async fn renew_all(&self, renewals: Vec<Renewal>, now: DateTime<Utc>) -> Vec<Renewed> {
        let asked = renewals.len();
        let answers = answered(self.0.renew(renewals, now).await);
        assert_eq!(answers.len(), asked, "one answer for each renewal");
        answers
    }

    pub(super) async fn cancel(&self, id: &str, now: DateTime<Utc>) -> Change {
        self.change([id], Action::Cancel, now).await.remove(0)
    }

    pub(super) async fn reset(&self, id: &str, now: DateTime<Utc>) -> Change {
        self.change([id], Action::Reset, now).await.remove(0)
    }

    pub(super) async fn delete(&self, id: &str) -> Change {
        self.change([id], Action::Delete, at(0)).await.remove(0)
    }

    pub(super) async fn change(
        &self,
        ids: impl IntoIterator<Item = impl AsRef<str>>,
        action: Action,
        now: DateTime<Utc>,
    ) -> Vec<Change> {
        let ids: Vec<TaskId> = ids.into_iter().map(|id| id.as_ref().into()).collect();
        let asked = ids.len();
        let changes = answered(self.0.change(ids, action, now).await);
        assert_eq!(changes.len(), asked, "one answer for each id");
        changes
    }

    pub(super) async fn page(&self, query: Query) -> Page {
        let limit = query.limit;
        let page = answered(self.0.query(query).await);
        assert!(page.tasks.len() <= limit, "a page longer than asked for");
        page
    }

    /// The ids of the tasks that a filter lets through, in order.
    pub(super) async fn list(&self, filter: Filter, now: DateTime<Utc>) -> Vec<String> {
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

    pub(super) async fn count(&self, filter: Filter, now: DateTime<Utc>) -> u64 {
        answered(self.0.count(filter, now).await)
    }

    pub(super) async fn kinds(&self) -> Vec<String> {
        answered(self.0.kinds().await)
    }

    pub(super) fn watch_kind(&self, kind: &str) -> Subscription {
        self.0.subscribe(Topic::Kinds(vec![kind.into()]))
    }

    pub(super) fn watch_task(&self, id: &str) -> Subscription {
        self.0.subscribe(Topic::Task(id.into()))
    }
}

/// The ids of the tasks of claims, in the order claimed.
pub(super) fn ids(claims: &[Claim]) -> Vec<&str> {
    let tasks = claims.iter().flat_map(|claim| &claim.tasks);
    tasks.map(|claimed| claimed.task.id().as_str()).collect()
}

pub(super) fn finish(held: &ClaimedTask, verdict: Verdict) -> Finish {
    Finish::new(held.task.id().clone(), token(held), verdict)
}

pub(super) fn complete(held: &ClaimedTask) -> Finish {
    finish(held, Verdict::Complete(None))
}

pub(super) fn extension(held: &ClaimedTask, until: DateTime<Utc>) -> Renewal {
    Renewal::new(held.task.id().clone(), token(held), Some(until))
}

/// What the claim shows when it writes.
pub(super) fn token(held: &ClaimedTask) -> LeaseToken {
    let lease = held.task.state.lease.as_ref();
    lease.expect("a claimed task is leased").token
}

/// When the lease of a task ends.
pub(super) fn leased_until(task: &Task) -> Option<DateTime<Utc>> {
    task.state.lease.as_ref().map(|lease| lease.until)
}

fn answered<T>(answer: Result<T, StoreError>) -> T {
    answer.unwrap_or_else(|error| panic!("the store fails: {error}"))
}
