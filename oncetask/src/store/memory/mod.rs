//! A store in this process's memory.

mod queue;
mod shelf;

use std::collections::{BTreeSet, HashMap};
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use self::shelf::Shelf;
use super::{
    Action, BoxFuture, Claim, ClaimRequest, ClaimResponse, Cursor, Filter, Finish, Insert, Notifier, Order,
    Page, Query, Renewal, Renewed, Store, Subscription, Topic,
};
use crate::task::transition::{self, Change, LeaseLost};
use crate::task::{Task, TaskId};

/// Keeps tasks in this process's memory: for tests and for trying things out. It forgets them when the
/// process ends, and is otherwise held to everything that the other stores are.
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
    shelves: Mutex<HashMap<String, Shelf>>,
    notifier: Notifier,
}

impl MemoryStore {
    /// An empty store, and the handle on one environment of it.
    #[must_use]
    pub fn new(env: impl Into<String>) -> Self {
        Self {
            env: env.into(),
            shared: Arc::default(),
        }
    }

    /// Another environment of the same store.
    #[must_use]
    pub fn in_env(&self, env: impl Into<String>) -> Self {
        Self {
            env: env.into(),
            shared: self.shared.clone(),
        }
    }

    fn shelves(&self) -> MutexGuard<'_, HashMap<String, Shelf>> {
        // A panic while the lock was held is a bug of ours; the tasks are still worth more than none.
        self.shared.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with this environment's tasks. Nothing awaits here: every method is done at once.
    fn with<'a, T: Send + 'a>(&self, act: impl FnOnce(&mut Shelf) -> T) -> BoxFuture<'a, T> {
        let answer = act(self.shelves().entry(self.env.clone()).or_default());
        Box::pin(ready(Ok(answer)))
    }

    fn elsewhere(&self, id: &TaskId) -> bool {
        self.shelves()
            .iter()
            .any(|(env, shelf)| *env != self.env && shelf.get(id).is_some())
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
        let answer = self.with(|shelf| {
            let insert = |task| match shelf.insert(task) {
                Ok(()) => Insert::New,
                Err(stored) => Insert::Existing(Box::new(stored.clone())),
            };
            tasks.into_iter().map(insert).collect()
        });
        ring_due(&self.shared.notifier, kinds);
        answer
    }

    fn get(&self, ids: Vec<TaskId>) -> BoxFuture<'_, Vec<Option<Task>>> {
        self.with(|shelf| ids.iter().map(|id| shelf.get(id).cloned()).collect())
    }

    fn query(&self, query: Query) -> BoxFuture<'_, Page> {
        self.with(|shelf| page(shelf, &query))
    }

    fn count(&self, filter: Filter, now: DateTime<Utc>) -> BoxFuture<'_, u64> {
        self.with(|shelf| shelf.tasks().filter(|task| filter.matches(task, now)).count() as u64)
    }

    fn kinds(&self) -> BoxFuture<'_, Vec<String>> {
        self.with(|shelf| {
            let kinds: BTreeSet<_> = shelf.tasks().map(Task::kind).collect();
            kinds.into_iter().map(str::to_owned).collect()
        })
    }

    fn claim(&self, request: ClaimRequest) -> BoxFuture<'_, ClaimResponse> {
        let ClaimRequest { owner, now, demands } = request;
        self.with(|shelf| {
            let claim = |(place, demand)| shelf.claim(place, demand, &owner, now);
            let claims: Vec<Claim> = demands.iter().enumerate().flat_map(claim).collect();
            let next_due = demands.iter().map(|demand| shelf.next_due(demand)).collect();
            ClaimResponse { claims, next_due }
        })
    }

    fn may_prefetch(&self) -> bool {
        true
    }

    fn renew(&self, renewals: Vec<Renewal>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Renewed>> {
        self.with(|shelf| {
            renewals
                .into_iter()
                .map(|renewal| renew(shelf, renewal, now))
                .collect()
        })
    }

    fn finish(&self, finishes: Vec<Finish>, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Result<(), LeaseLost>>> {
        let mut kinds = Vec::new();
        let mut ended = Vec::new();
        let answer = self.with(|shelf| {
            let mut finish = |finish: Finish| {
                let id = finish.id.clone();
                let Finished { due, done } = self::finish(shelf, finish, now)?;
                kinds.extend(due);
                ended.extend(done.then_some(id));
                Ok(())
            };
            finishes.into_iter().map(&mut finish).collect()
        });
        ring_due(&self.shared.notifier, kinds);
        for id in &ended {
            self.shared.notifier.notify_ended(id);
        }
        answer
    }

    fn change(&self, ids: Vec<TaskId>, action: Action, now: DateTime<Utc>) -> BoxFuture<'_, Vec<Change>> {
        let mut kinds = Vec::new();
        let mut changed = Vec::new();
        let mut changes = Vec::with_capacity(ids.len());
        for id in ids {
            let change = {
                let mut shelves = self.shelves();
                let shelf = shelves.entry(self.env.clone()).or_default();
                kinds.extend(shelf.get(&id).map(|task| task.spec.kind.clone()));
                change(shelf, &id, &action, now)
            };
            let change = match change {
                Some(change) => change,
                None if self.elsewhere(&id) => Change::OtherEnvironment,
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
        ring_due(&self.shared.notifier, kinds);
        Box::pin(ready(Ok(changes)))
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.shared.notifier.subscribe(topic)
    }
}

fn ring_due(notifier: &Notifier, mut kinds: Vec<Arc<str>>) {
    kinds.sort_unstable();
    kinds.dedup();
    for kind in &kinds {
        notifier.notify_due(kind);
    }
}

fn renew(shelf: &mut Shelf, renewal: Renewal, now: DateTime<Utc>) -> Renewed {
    let Renewal {
        id,
        token,
        until,
        progress,
    } = renewal;
    let renewed = shelf.update(&id, |task| {
        let held = transition::renew(&mut task.state, token, until, progress, now);
        held.map(|()| task.state.cancelled_at.is_some())
    });
    match renewed {
        None => Renewed::Gone,
        Some(Err(LeaseLost)) => Renewed::Lost,
        Some(Ok(false)) => Renewed::Held,
        Some(Ok(true)) => Renewed::Cancelled,
    }
}

/// What the end of a claim is to be told of.
struct Finished {
    /// The kind that may have something due: the task again, others of its key, or what it spawned.
    due: Option<Arc<str>>,
    /// Whether the task has ended.
    done: bool,
}

fn finish(shelf: &mut Shelf, finish: Finish, now: DateTime<Utc>) -> Result<Finished, LeaseLost> {
    let Finish {
        id,
        token,
        verdict,
        cleanup,
        spawn,
        progress,
    } = finish;
    let finished = shelf.update(&id, |Task { spec, state }| {
        transition::set_progress(state, token, progress)?;
        transition::finish(state, token, verdict, cleanup, now)?;
        let done = state.done.is_some();
        let may_be_due = !done || spec.resource_key.is_some() || spec.recurrence.is_some();
        let due = may_be_due.then(|| spec.kind.clone());
        Ok(Finished { due, done })
    });
    let finished = finished.unwrap_or(Err(LeaseLost))?;
    for task in spawn {
        // An occurrence that exists already was spawned before.
        let _ = shelf.insert(task);
    }
    Ok(finished)
}

fn change(shelf: &mut Shelf, id: &TaskId, action: &Action, now: DateTime<Utc>) -> Option<Change> {
    match action {
        Action::Cancel => shelf.update(id, |task| transition::cancel(task, now)),
        Action::Reset => shelf.update(id, |task| transition::reset(task, now)),
        Action::ReplaceRule { rule, next } => {
            shelf.update(id, |task| transition::replace_rule(task, rule, *next))
        }
        Action::Delete => shelf.remove(id).map(|_| Change::Applied),
    }
}

fn page(shelf: &Shelf, query: &Query) -> Page {
    let Query {
        filter,
        after,
        limit,
        now,
    } = query;
    let newest_first = filter.order == Order::NewestFirst;
    let beyond = |task: &Task| {
        after
            .as_ref()
            .is_none_or(|after| (Cursor::of(task) < *after) == newest_first && Cursor::of(task) != *after)
    };
    let mut tasks: Vec<_> = shelf
        .tasks()
        .filter(|task| beyond(task) && filter.matches(task, *now))
        .collect();
    tasks.sort_unstable_by_key(|task| Cursor::of(task));
    if newest_first {
        tasks.reverse();
    }
    let more = tasks.len() > *limit;
    let tasks: Vec<Task> = tasks.into_iter().take(*limit).cloned().collect();
    let next = tasks.last().filter(|_| more).map(Cursor::of);
    Page { tasks, next }
}
