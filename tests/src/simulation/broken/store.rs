//! The store in memory, with a guard missing.

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
use crate::simulation::server::at_once;

/// How close together two claims have to come for the second not to see the first.
const RACE: Duration = Duration::from_millis(50);

/// The store in memory without one of its guards; those outside the store are missing elsewhere.
#[derive(Debug)]
pub(crate) struct BrokenStore {
    sound: MemoryStore,
    broken: Broken,
    memory: Mutex<Memory>,
}

/// What a guard has to remember for doing the wrong thing.
#[derive(Debug, Default)]
struct Memory {
    ended: HashSet<LeaseToken>,
    leases: HashMap<TaskId, Lease>,
    recent: Vec<(Instant, ClaimedTask)>,
    count: u64,
}

impl BrokenStore {
    pub(crate) fn new(sound: MemoryStore, broken: Broken) -> Self {
        Self {
            sound,
            broken,
            memory: Mutex::default(),
        }
    }

    fn is(&self, broken: Broken) -> bool {
        self.broken == broken
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory
            .lock()
            .expect("nothing panics while it holds the lock")
    }

    /// Every third time.
    fn now_and_then(&self) -> bool {
        let mut memory = self.memory();
        memory.count += 1;
        memory.count.is_multiple_of(3)
    }

    fn stored(&self, id: &TaskId) -> Option<Task> {
        at_once(self.sound.get(vec![id.clone()])).pop().flatten()
    }

    fn lease(&self, id: &TaskId) -> Option<Lease> {
        self.stored(id)?.state.lease
    }

    /// Writes a task without looking at what is there.
    fn put(&self, task: Task) {
        at_once(
            self.sound
                .change(vec![task.id().clone()], Action::Delete, task.spec.created_at),
        );
        at_once(self.sound.create(vec![task]));
    }

    fn alter(&self, id: &TaskId, alter: impl FnOnce(&mut Task)) {
        if let Some(mut task) = self.stored(id) {
            alter(&mut task);
            self.put(task);
        }
    }

    fn create_one(&self, task: Task) -> Insert {
        if self.is(Broken::CreateOverwrites) {
            self.put(task);
            return Insert::New;
        }
        if self.is(Broken::AcknowledgedTooEarly) && self.stored(task.id()).is_none() && self.now_and_then() {
            return Insert::New;
        }
        let mut inserts = at_once(self.sound.create(vec![task]));
        inserts.pop().expect("one answer for one task")
    }

    fn claim_now(&self, request: &ClaimRequest) -> ClaimResponse {
        let mut claimed = at_once(self.sound.claim(request.clone()));
        match self.broken {
            Broken::ClaimWithoutPrecondition => self.claim_again(request, &mut claimed),
            Broken::KeyCheckOutsideTheWrite => self.claim_beside(request, &mut claimed),
            Broken::GroupLeasesItsFirst => {
                for second in claimed.claims.iter().flat_map(|claim| claim.tasks.iter().skip(1)) {
                    self.alter(second.task.id(), |task| task.state.lease = None);
                }
            }
            Broken::SilentDeathNotCounted => {
                for silent in claimed.claims.iter_mut().flat_map(|claim| &mut claim.tasks) {
                    if std::mem::take(&mut silent.orphaned) {
                        silent.task.state.errors.pop();
                        silent.task.state.attempts = silent.task.state.attempts.saturating_sub(1);
                        self.put(silent.task.clone());
                    }
                }
            }
            Broken::CancelledRunsAgain => {
                for cancelled in claimed.claims.iter_mut().flat_map(|claim| &mut claim.tasks) {
                    if let (Some(_), Some(lease)) =
                        (cancelled.task.state.cancelled_at, &mut cancelled.task.state.lease)
                        && self.now_and_then()
                    {
                        lease.phase = Phase::Run;
                        self.put(cancelled.task.clone());
                    }
                }
            }
            Broken::NextDueForgotten => claimed.next_due.fill(None),
            _ => {}
        }
        let claims = claimed.claims.iter().flat_map(|claim| &claim.tasks);
        let now = Instant::now();
        let mut memory = self.memory();
        memory.recent.extend(claims.map(|claimed| (now, claimed.clone())));
        memory.recent.retain(|(at, _)| *at + RACE >= now);
        claimed
    }

    /// Where there is room, what others were given a moment ago.
    fn claim_again(&self, request: &ClaimRequest, claimed: &mut ClaimResponse) {
        for before in self.recent(Instant::now()) {
            let Some((place, demand)) = room(request, claimed, before.task.kind()) else {
                continue;
            };
            let lease = before.task.state.lease.as_ref().expect("it was claimed");
            if self
                .lease(before.task.id())
                .is_none_or(|now| now.token != lease.token)
            {
                continue;
            }
            let mut task = before.task.clone();
            task.state.lease = Some(another(request, demand, lease.phase));
            self.put(task.clone());
            let again = ClaimedTask::new(task, before.orphaned);
            claimed.claims.push(Claim::new(place, vec![again]));
        }
    }

    /// Where there is room, other tasks of the keys that others were given a moment ago.
    fn claim_beside(&self, request: &ClaimRequest, claimed: &mut ClaimResponse) {
        for before in self.recent(Instant::now()) {
            let Some(key) = before.task.spec.held_key() else {
                continue;
            };
            let filter = Filter::new().kind(before.task.kind()).resource_key(key.as_str());
            let query = Query::new(filter, usize::MAX, request.now);
            let free = at_once(self.sound.query(query)).tasks.into_iter().find(|task| {
                task.state.lease.is_none()
                    && task.spec.held_key().is_some()
                    && transition::is_due(&task.state, request.now)
            });
            let (Some(mut task), Some((place, demand))) = (free, room(request, claimed, before.task.kind()))
            else {
                continue;
            };
            let lease = another(request, demand, transition::next_phase(&task.state));
            transition::claim(&mut task, lease, request.now);
            self.put(task.clone());
            let free = ClaimedTask::new(task, false);
            claimed.claims.push(Claim::new(place, vec![free]));
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
        let renewed = at_once(self.sound.renew(vec![renewal.clone()], now));
        let renewed = *renewed.first().expect("one answer for one extension");
        if let (Renewed::Held | Renewed::Cancelled, Some(until), true) =
            (renewed, renewal.until, self.is(Broken::StaleRenewalShortens))
        {
            self.alter(&renewal.id, |task| {
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
            let again = self.is(Broken::RetryNotRecognised) && self.memory().ended.contains(&finish.token);
            if self.is(Broken::CompletionWithoutToken) || again {
                finish.token = lease.token;
            }
        }
        if self.is(Broken::OccurrenceIdsByChance) {
            for mut task in finish.spawn.drain(..) {
                task.spec.id = TaskId::new(format!("{}#{:x}", task.id(), fastrand::u32(..)));
                at_once(self.sound.create(vec![task]));
            }
        }
        if matches!(finish.verdict, Verdict::Advance { .. })
            && self.is(Broken::TurnInTwoWrites)
            && self.now_and_then()
        {
            finish.spawn.clear();
        }
        if self.is(Broken::CleanupForgotten) {
            finish.cleanup = false;
        }
        let (id, token) = (finish.id.clone(), finish.token);
        let answer = at_once(self.sound.finish(vec![finish], now)).pop();
        let answer = answer.expect("one answer for one end");
        if answer.is_ok() {
            let mut memory = self.memory();
            memory.ended.insert(token);
            memory.leases.extend(lease.map(|lease| (id, lease)));
        }
        answer
    }

    fn change_one(&self, id: &TaskId, action: &Action, now: DateTime<Utc>) -> Change {
        let change = at_once(self.sound.change(vec![id.clone()], action.clone(), now)).pop();
        let change = change.expect("one answer for one change");
        if change != Change::Applied {
            return change;
        }
        match action {
            Action::Cancel if self.is(Broken::CleanupBesideTheHandler) => {
                self.alter(id, |task| task.state.lease = None);
            }
            Action::Reset if self.is(Broken::ResetKeepsTheLease) => {
                let lease = self.memory().leases.get(id).cloned();
                self.alter(id, |task| task.state.lease = lease);
            }
            _ => {}
        }
        change
    }
}

/// The demand that has room for another task of a kind.
fn room<'a>(request: &'a ClaimRequest, claimed: &ClaimResponse, kind: &str) -> Option<(usize, &'a Demand)> {
    let mut demands = request.demands.iter().enumerate();
    demands.find(|(place, demand)| {
        let taken = claimed
            .claims
            .iter()
            .filter(|claim| claim.demand == *place)
            .count();
        demand.kinds.iter().any(|name| name == kind) && taken < demand.max_claims
    })
}

fn another(request: &ClaimRequest, demand: &Demand, phase: Phase) -> Lease {
    let until = request.now + demand.lease;
    Lease::new(LeaseToken::random(), until, request.owner.clone(), phase)
}

fn ready<'a, T: Send + 'a>(answer: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(Ok(answer)))
}

impl Store for BrokenStore {
    fn address(&self) -> &str {
        self.sound.address()
    }

    fn env(&self) -> &str {
        self.sound.env()
    }

    fn create(&self, tasks: Vec<Task>) -> BoxFuture<'_, Vec<Insert>> {
        ready(tasks.into_iter().map(|task| self.create_one(task)).collect())
    }

    fn get(&self, ids: Vec<TaskId>) -> BoxFuture<'_, Vec<Option<Task>>> {
        self.sound.get(ids)
    }

    fn query(&self, query: Query) -> BoxFuture<'_, Page> {
        self.sound.query(query)
    }

    fn count(&self, filter: Filter, now: DateTime<Utc>) -> BoxFuture<'_, u64> {
        self.sound.count(filter, now)
    }

    fn kinds(&self) -> BoxFuture<'_, Vec<String>> {
        self.sound.kinds()
    }

    fn claim(&self, request: ClaimRequest) -> BoxFuture<'_, ClaimResponse> {
        ready(self.claim_now(&request))
    }

    fn renew(&self, renewals: Vec<Renewal>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Renewed>> {
        ready(
            renewals
                .iter()
                .map(|renewal| self.renew_one(renewal, now))
                .collect(),
        )
    }

    fn finish(&self, finishes: Vec<Finish>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Result<(), LeaseLost>>> {
        ready(
            finishes
                .into_iter()
                .map(|finish| self.finish_one(finish, now))
                .collect(),
        )
    }

    fn change(&self, ids: Vec<TaskId>, action: Action, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Change>> {
        ready(ids.iter().map(|id| self.change_one(id, &action, now)).collect())
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.sound.subscribe(topic)
    }
}
