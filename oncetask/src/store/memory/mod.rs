//! The store in this process's memory. It is the reference for the semantics of a store.

mod queue;
mod slab;

use std::collections::{BTreeSet, HashMap};
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use self::slab::Slab;
use super::{
    Action, BoxFuture, Claim, ClaimRequest, ClaimResponse, Cursor, Filter, Finish, Insert, Notifier, Order,
    Page, Query, Renewal, Renewed, Store, Subscription, Topic,
};
use crate::task::transition::{self, Change, LeaseLost};
use crate::task::{Task, TaskId};

/// A store in this process's memory, for tests and first steps.
///
/// Its tasks are lost when the process ends. Otherwise it gives the same guarantees as the other stores.
///
/// ```
/// use oncetask::Client;
/// use oncetask::store::MemoryStore;
///
/// let store = MemoryStore::new("TEST");
/// let client = Client::new(store.clone()); // clones share their tasks
/// # let _ = client;
/// ```
#[derive(Clone, Debug)]
pub struct MemoryStore {
    env: String,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The tasks by environment.
    slabs: Mutex<HashMap<String, Slab>>,
    notifier: Notifier,
}

impl MemoryStore {
    /// Creates an empty store and returns a handle to one environment of it.
    #[must_use]
    pub fn new(env: impl Into<String>) -> Self {
        Self {
            env: env.into(),
            shared: Arc::default(),
        }
    }

    /// Returns a handle to another environment of the same store.
    #[must_use]
    pub fn in_env(&self, env: impl Into<String>) -> Self {
        Self {
            env: env.into(),
            shared: self.shared.clone(),
        }
    }

    fn slabs(&self) -> MutexGuard<'_, HashMap<String, Slab>> {
        // After a panic the tasks are still usable, so a poisoned lock is not an error.
        self.shared.slabs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs an operation on this environment's tasks. It runs at once, and the future is ready.
    fn with_tasks<'a, T: Send + 'a>(&self, operation: impl FnOnce(&mut Slab) -> T) -> BoxFuture<'a, T> {
        let result = operation(self.slabs().entry(self.env.clone()).or_default());
        Box::pin(ready(Ok(result)))
    }

    /// Returns whether a task with this id exists in another environment.
    fn is_in_other_env(&self, id: &TaskId) -> bool {
        self.slabs()
            .iter()
            .any(|(env, slab)| *env != self.env && slab.get(id).is_some())
    }
}

impl Store for MemoryStore {
    fn address(&self) -> &'static str {
        "memory:"
    }

    fn env(&self) -> &str {
        &self.env
    }

    fn create(&self, tasks: Vec<Task>) -> BoxFuture<'_, Vec<Insert>> {
        let kinds: Vec<_> = tasks.iter().map(|task| task.spec.kind.clone()).collect();
        let response = self.with_tasks(|slab| {
            let insert = |task| match slab.insert(task) {
                Ok(()) => Insert::New,
                Err(stored) => Insert::Existing(Box::new(stored.clone())),
            };
            tasks.into_iter().map(insert).collect()
        });
        notify_due(&self.shared.notifier, kinds);
        response
    }

    fn get(&self, ids: Vec<TaskId>) -> BoxFuture<'_, Vec<Option<Task>>> {
        self.with_tasks(|slab| ids.iter().map(|id| slab.get(id).cloned()).collect())
    }

    fn query(&self, query: Query) -> BoxFuture<'_, Page> {
        self.with_tasks(|slab| page(slab, &query))
    }

    fn count(&self, filter: Filter, now: DateTime<Utc>) -> BoxFuture<'_, u64> {
        self.with_tasks(|slab| slab.tasks().filter(|task| filter.matches(task, now)).count() as u64)
    }

    fn kinds(&self) -> BoxFuture<'_, Vec<String>> {
        self.with_tasks(|slab| {
            let kinds: BTreeSet<_> = slab.tasks().map(Task::kind).collect();
            kinds.into_iter().map(str::to_owned).collect()
        })
    }

    fn claim(&self, request: ClaimRequest) -> BoxFuture<'_, ClaimResponse> {
        let ClaimRequest { owner, now, demands } = request;
        self.with_tasks(|slab| {
            let claim = |(index, demand)| slab.claim(index, demand, &owner, now);
            let claims: Vec<Claim> = demands.iter().enumerate().flat_map(claim).collect();
            let next_due = demands.iter().map(|demand| slab.next_due(demand)).collect();
            ClaimResponse { claims, next_due }
        })
    }

    fn may_prefetch(&self) -> bool {
        true
    }

    fn renew(&self, renewals: Vec<Renewal>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Renewed>> {
        self.with_tasks(|slab| {
            renewals
                .into_iter()
                .map(|renewal| renew(slab, renewal, now))
                .collect()
        })
    }

    fn finish(&self, finishes: Vec<Finish>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Result<(), LeaseLost>>> {
        let mut kinds = Vec::new();
        let mut ended = Vec::new();
        let response = self.with_tasks(|slab| {
            let mut finish = |finish: Finish| {
                let id = finish.id.clone();
                let Finished { due_kind, is_done } = self::finish(slab, finish, now)?;
                kinds.extend(due_kind);
                ended.extend(is_done.then_some(id));
                Ok(())
            };
            finishes.into_iter().map(&mut finish).collect()
        });
        notify_due(&self.shared.notifier, kinds);
        for id in &ended {
            self.shared.notifier.notify_ended(id);
        }
        response
    }

    fn change(&self, ids: Vec<TaskId>, action: Action, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Change>> {
        let mut kinds = Vec::new();
        let mut changed = Vec::new();
        let mut changes = Vec::with_capacity(ids.len());
        for id in ids {
            let change = {
                let mut slabs = self.slabs();
                let slab = slabs.entry(self.env.clone()).or_default();
                kinds.extend(slab.get(&id).map(|task| task.spec.kind.clone()));
                change(slab, &id, &action, now)
            };
            let change = match change {
                Some(change) => change,
                None if self.is_in_other_env(&id) => Change::OtherEnvironment,
                None => Change::NotFound,
            };
            if change == Change::Applied {
                changed.push(id);
            }
            changes.push(change);
        }
        if matches!(action, Action::Cancel | Action::Delete) {
            self.shared.notifier.notify_stopped(&changed);
            for id in &changed {
                self.shared.notifier.notify_ended(id);
            }
        }
        notify_due(&self.shared.notifier, kinds);
        Box::pin(ready(Ok(changes)))
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.shared.notifier.subscribe(topic)
    }
}

/// Notifies the subscribers of these kinds that a task may be due, once for each kind.
fn notify_due(notifier: &Notifier, mut kinds: Vec<Arc<str>>) {
    kinds.sort_unstable();
    kinds.dedup();
    for kind in &kinds {
        notifier.notify_due(kind);
    }
}

fn renew(slab: &mut Slab, renewal: Renewal, now: DateTime<Utc>) -> Renewed {
    let Renewal {
        id,
        token,
        until,
        progress,
    } = renewal;
    let renewed = slab.update(&id, |task| {
        let result = transition::renew(&mut task.state, token, until, progress, now);
        result.map(|()| task.state.cancelled_at.is_some())
    });
    match renewed {
        None => Renewed::Gone,
        Some(Err(LeaseLost)) => Renewed::Lost,
        Some(Ok(false)) => Renewed::Held,
        Some(Ok(true)) => Renewed::Cancelled,
    }
}

/// The events that the end of a claim causes.
struct Finished {
    /// The kind of which a task may be due: this task again, another one of its key, or one of its occurrences.
    due_kind: Option<Arc<str>>,
    /// True if the task is done.
    is_done: bool,
}

/// Ends a claim and creates the occurrences of a generator.
fn finish(slab: &mut Slab, finish: Finish, now: DateTime<Utc>) -> Result<Finished, LeaseLost> {
    let Finish {
        id,
        token,
        verdict,
        cleanup,
        spawn,
        progress,
    } = finish;
    let finished = slab.update(&id, |Task { spec, state }| {
        transition::set_progress(state, token, progress)?;
        transition::finish(state, token, verdict, cleanup, now)?;
        let is_done = state.done.is_some();
        let may_be_due = !is_done || spec.resource_key.is_some() || spec.recurrence.is_some();
        let due_kind = may_be_due.then(|| spec.kind.clone());
        Ok(Finished { due_kind, is_done })
    });
    let finished = finished.unwrap_or(Err(LeaseLost))?;
    for task in spawn {
        // An occurrence that exists already was created by an earlier attempt, and is kept.
        let _ = slab.insert(task);
    }
    Ok(finished)
}

/// Applies an action to a task. Returns `None` if the task does not exist in this environment.
fn change(slab: &mut Slab, id: &TaskId, action: &Action, now: DateTime<Utc>) -> Option<Change> {
    match action {
        Action::Cancel => slab.update(id, |task| transition::cancel(task, now)),
        Action::Reset => slab.update(id, |task| transition::reset(task, now)),
        Action::ReplaceRule { rule, next } => {
            slab.update(id, |task| transition::replace_rule(task, rule, *next))
        }
        Action::Delete => slab.remove(id).map(|_| Change::Applied),
    }
}

/// Returns one page of the tasks that match a query.
fn page(slab: &Slab, query: &Query) -> Page {
    let Query {
        filter,
        after,
        limit,
        now,
    } = query;
    let newest_first = filter.order == Order::NewestFirst;
    let is_after = |task: &Task| {
        after
            .as_ref()
            .is_none_or(|after| (Cursor::of(task) < *after) == newest_first && Cursor::of(task) != *after)
    };
    let mut tasks: Vec<_> = slab
        .tasks()
        .filter(|task| is_after(task) && filter.matches(task, *now))
        .collect();
    tasks.sort_unstable_by_key(|task| Cursor::of(task));
    if newest_first {
        tasks.reverse();
    }
    let has_more = tasks.len() > *limit;
    let tasks: Vec<Task> = tasks.into_iter().take(*limit).cloned().collect();
    let next = tasks.last().filter(|_| has_more).map(Cursor::of);
    Page { tasks, next }
}
