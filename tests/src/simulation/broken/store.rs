//! The memory store with one guard removed.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, Utc};
use oncetask::store::{
    Action, BoxFuture, Claim, ClaimRequest, ClaimResponse, ClaimedTask, Demand, Filter, Finish, Insert,
    MemoryStore, Page, Query, Renewal, Renewed, Store, Subscription, Topic,
};
use oncetask::task::transition::{self, Change, LeaseLost, Phase, Verdict};
use oncetask::task::{Lease, LeaseToken};
use oncetask::{Task, TaskId};
use tokio::time::Instant;

use super::Broken;
use crate::simulation::server::immediate;

/// The time within which a second claim does not see the first.
const RACE: Duration = Duration::from_millis(50);

/// The memory store without one of its guards. Guards outside the store are removed elsewhere.
#[derive(Debug)]
pub(crate) struct BrokenStore {
    correct: MemoryStore,
    broken: Broken,
    memory: Mutex<Memory>,
}

/// The past events that the faults need.
#[derive(Debug, Default)]
struct Memory {
    /// The tokens of ended claims.
    ended: HashSet<LeaseToken>,
    /// The last lease of each task that ended.
    leases: HashMap<TaskId, Lease>,
    /// The claims of the last [`RACE`].
    recent: Vec<(Instant, ClaimedTask)>,
    count: u64,
}

impl BrokenStore {
    pub(crate) fn new(correct: MemoryStore, broken: Broken) -> Self {
        Self {
            correct,
            broken,
            memory: Mutex::default(),
        }
    }

    fn is(&self, broken: Broken) -> bool {
        self.broken == broken
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().expect("no panic while locked")
    }

    /// Returns true on every third call.
    fn every_third_time(&self) -> bool {
        let mut memory = self.memory();
        memory.count += 1;
        memory.count.is_multiple_of(3)
    }

    fn stored(&self, id: &TaskId) -> Option<Task> {
        immediate(self.correct.get(vec![id.clone()])).pop().flatten()
    }

    fn lease(&self, id: &TaskId) -> Option<Lease> {
        self.stored(id)?.state.lease
    }

    /// Stores a task unconditionally.
    fn overwrite(&self, task: Task) {
        let (ids, now) = (vec![task.id().clone()], task.spec.created_at);
        immediate(self.correct.change(ids, Action::Delete, now));
        immediate(self.correct.create(vec![task]));
    }

    fn modify(&self, id: &TaskId, modify: impl FnOnce(&mut Task)) {
        if let Some(mut task) = self.stored(id) {
            modify(&mut task);
            self.overwrite(task);
        }
    }

    fn create_one(&self, task: Task) -> Insert {
        if self.is(Broken::CreateOverwrites) {
            self.overwrite(task);
            return Insert::New;
        }
        if self.is(Broken::AcknowledgedTooEarly)
            && self.stored(task.id()).is_none()
            && self.every_third_time()
        {
            return Insert::New;
        }
        let mut inserts = immediate(self.correct.create(vec![task]));
        inserts.pop().expect("one answer for one task")
    }

    fn claim_now(&self, request: &ClaimRequest) -> ClaimResponse {
        let mut response = immediate(self.correct.claim(request.clone()));
        match self.broken {
            Broken::ClaimWithoutPrecondition => self.claim_claimed_tasks(request, &mut response),
            Broken::KeyCheckOutsideTheWrite => self.claim_other_tasks_of_claimed_keys(request, &mut response),
            Broken::GroupLeasesOnlyItsFirst => {
                for other in response
                    .claims
                    .iter()
                    .flat_map(|claim| claim.tasks.iter().skip(1))
                {
                    self.modify(other.task.id(), |task| task.state.lease = None);
                }
            }
            Broken::OrphanNotCounted => {
                for claimed in response.claims.iter_mut().flat_map(|claim| &mut claim.tasks) {
                    self.uncount_orphan(claimed);
                }
            }
            Broken::CancelledRunsAgain => {
                for claimed in response.claims.iter_mut().flat_map(|claim| &mut claim.tasks) {
                    self.run_if_cancelled(claimed);
                }
            }
            Broken::NextDueMissing => response.next_due.fill(None),
            _ => {}
        }
        let claimed = response.claims.iter().flat_map(|claim| &claim.tasks);
        let now = Instant::now();
        let mut memory = self.memory();
        memory
            .recent
            .extend(claimed.map(|claimed| (now, claimed.clone())));
        memory.recent.retain(|(at, _)| *at + RACE >= now);
        response
    }

    fn uncount_orphan(&self, claimed: &mut ClaimedTask) {
        if std::mem::take(&mut claimed.orphaned) {
            claimed.task.state.errors.pop();
            claimed.task.state.attempts = claimed.task.state.attempts.saturating_sub(1);
            self.overwrite(claimed.task.clone());
        }
    }

    fn run_if_cancelled(&self, claimed: &mut ClaimedTask) {
        let state = &mut claimed.task.state;
        if let (Some(_), Some(lease)) = (state.cancelled_at, &mut state.lease)
            && self.every_third_time()
        {
            lease.phase = Phase::Run;
            self.overwrite(claimed.task.clone());
        }
    }

    /// Claims tasks again that another worker claimed within [`RACE`].
    fn claim_claimed_tasks(&self, request: &ClaimRequest, response: &mut ClaimResponse) {
        for before in self.recent(Instant::now()) {
            let Some((index, demand)) = unmet_demand(request, response, before.task.kind()) else {
                continue;
            };
            let lease = before.task.state.lease.as_ref();
            let lease = lease.expect("a claimed task has a lease");
            let is_active = |now: Lease| now.token == lease.token;
            if !self.lease(before.task.id()).is_some_and(is_active) {
                continue;
            }
            let mut task = before.task.clone();
            task.state.lease = Some(new_lease(request, demand, lease.phase));
            self.overwrite(task.clone());
            let claimed = ClaimedTask::new(task, before.orphaned);
            response.claims.push(Claim::new(index, vec![claimed]));
        }
    }

    /// Claims other tasks of the resource keys that another worker claimed within [`RACE`].
    fn claim_other_tasks_of_claimed_keys(&self, request: &ClaimRequest, response: &mut ClaimResponse) {
        for before in self.recent(Instant::now()) {
            let Some(key) = before.task.spec.held_key() else {
                continue;
            };
            let filter = Filter::new().kind(before.task.kind()).resource_key(key.as_str());
            let query = Query::new(filter, usize::MAX, request.now);
            let due = immediate(self.correct.query(query))
                .tasks
                .into_iter()
                .find(|task| {
                    task.state.lease.is_none()
                        && task.spec.held_key().is_some()
                        && transition::is_due(&task.state, request.now)
                });
            let demand = unmet_demand(request, response, before.task.kind());
            let (Some(mut task), Some((index, demand))) = (due, demand) else {
                continue;
            };
            let lease = new_lease(request, demand, transition::next_phase(&task.state));
            transition::claim(&mut task, lease, request.now);
            self.overwrite(task.clone());
            let claimed = ClaimedTask::new(task, false);
            response.claims.push(Claim::new(index, vec![claimed]));
        }
    }

    fn recent(&self, now: Instant) -> Vec<ClaimedTask> {
        let memory = self.memory();
        let recent = memory.recent.iter().filter(|(at, _)| *at + RACE >= now);
        recent.map(|(_, claimed)| claimed.clone()).collect()
    }

    fn renew_one(&self, renewal: &Renewal, now: DateTime<Utc>) -> Renewed {
        let now = if self.is(Broken::RenewalAfterExpiry) {
            DateTime::<Utc>::MIN_UTC
        } else {
            now
        };
        let renewed = immediate(self.correct.renew(vec![renewal.clone()], now));
        let renewed = *renewed.first().expect("one answer for one renewal");
        if let (Renewed::Held | Renewed::Cancelled, Some(until), true) =
            (renewed, renewal.until, self.is(Broken::StaleRenewalShortens))
        {
            self.modify(&renewal.id, |task| {
                if let Some(lease) = &mut task.state.lease {
                    lease.until = until;
                }
            });
        }
        renewed
    }

    fn finish_one(&self, mut finish: Finish, now: DateTime<Utc>) -> Result<(), LeaseLost> {
        let lease = self.lease(&finish.id);
        if let Some(lease) = &lease {
            let is_repeated =
                self.is(Broken::RetryNotRecognised) && self.memory().ended.contains(&finish.token);
            if self.is(Broken::CompletionWithoutToken) || is_repeated {
                finish.token = lease.token;
            }
        }
        if self.is(Broken::RandomOccurrenceIds) {
            for mut task in finish.spawn.drain(..) {
                task.spec.id = TaskId::new(format!("{}#{:x}", task.id(), fastrand::u32(..)));
                immediate(self.correct.create(vec![task]));
            }
        }
        if matches!(finish.verdict, Verdict::Advance { .. })
            && self.is(Broken::AdvanceInTwoWrites)
            && self.every_third_time()
        {
            finish.spawn.clear();
        }
        if self.is(Broken::CleanupSkipped) {
            finish.cleanup = false;
        }
        let (id, token) = (finish.id.clone(), finish.token);
        let answer = immediate(self.correct.finish(vec![finish], now)).pop();
        let answer = answer.expect("one answer for one finish");
        if answer.is_ok() {
            let mut memory = self.memory();
            memory.ended.insert(token);
            memory.leases.extend(lease.map(|lease| (id, lease)));
        }
        answer
    }

    fn change_one(&self, id: &TaskId, action: &Action, now: DateTime<Utc>) -> Change {
        let change = immediate(self.correct.change(vec![id.clone()], action.clone(), now)).pop();
        let change = change.expect("one answer for one change");
        if change != Change::Applied {
            return change;
        }
        match action {
            Action::Cancel if self.is(Broken::CleanupDuringTheHandler) => {
                self.modify(id, |task| task.state.lease = None);
            }
            Action::Reset if self.is(Broken::ResetKeepsTheLease) => {
                let lease = self.memory().leases.get(id).cloned();
                self.modify(id, |task| task.state.lease = lease);
            }
            _ => {}
        }
        change
    }
}

/// Returns the first demand for this kind that asks for more claims than the response contains, with its index.
fn unmet_demand<'a>(
    request: &'a ClaimRequest,
    response: &ClaimResponse,
    kind: &str,
) -> Option<(usize, &'a Demand)> {
    let mut demands = request.demands.iter().enumerate();
    demands.find(|(index, demand)| {
        let claims = response.claims.iter().filter(|claim| claim.demand == *index);
        demand.kinds.iter().any(|name| name == kind) && claims.count() < demand.max_claims
    })
}

fn new_lease(request: &ClaimRequest, demand: &Demand, phase: Phase) -> Lease {
    let until = request.now + demand.lease;
    Lease::new(LeaseToken::random(), until, request.owner.clone(), phase)
}

fn ready<'a, T: Send + 'a>(answer: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(Ok(answer)))
}

impl Store for BrokenStore {
    fn address(&self) -> &str {
        self.correct.address()
    }

    fn env(&self) -> &str {
        self.correct.env()
    }

    fn create(&self, tasks: Vec<Task>) -> BoxFuture<'_, Vec<Insert>> {
        ready(tasks.into_iter().map(|task| self.create_one(task)).collect())
    }

    fn get(&self, ids: Vec<TaskId>) -> BoxFuture<'_, Vec<Option<Task>>> {
        self.correct.get(ids)
    }

    fn query(&self, query: Query) -> BoxFuture<'_, Page> {
        self.correct.query(query)
    }

    fn count(&self, filter: Filter, now: DateTime<Utc>) -> BoxFuture<'_, u64> {
        self.correct.count(filter, now)
    }

    fn kinds(&self) -> BoxFuture<'_, Vec<String>> {
        self.correct.kinds()
    }

    fn claim(&self, request: ClaimRequest) -> BoxFuture<'_, ClaimResponse> {
        ready(self.claim_now(&request))
    }

    fn renew(&self, renewals: Vec<Renewal>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Renewed>> {
        let renew = |renewal| self.renew_one(renewal, now);
        ready(renewals.iter().map(renew).collect())
    }

    fn finish(&self, finishes: Vec<Finish>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Result<(), LeaseLost>>> {
        let finish = |finish| self.finish_one(finish, now);
        ready(finishes.into_iter().map(finish).collect())
    }

    fn change(&self, ids: Vec<TaskId>, action: Action, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Change>> {
        ready(ids.iter().map(|id| self.change_one(id, &action, now)).collect())
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.correct.subscribe(topic)
    }
}
