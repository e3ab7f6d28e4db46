//! Wake-ups within a process: who waits for something, and who tells them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use crate::task::TaskId;

/// What somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interest {
    /// That tasks of these kinds become due, or that running ones are cancelled or deleted.
    Kinds(Vec<String>),
    /// That this task ends.
    Task(TaskId),
}

/// Somebody who waits. Dropped, it waits no more.
#[derive(Debug)]
pub struct Watch(Arc<Subscription>);

/// What a [`Watch`] was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rung {
    /// Tasks whose cancellation was accepted, or that were deleted.
    pub stopped: Vec<TaskId>,
}

/// Tells those who wait. Stores own one.
#[derive(Debug, Default)]
pub struct Bell {
    subscribers: Mutex<Subscribers>,
}

#[derive(Debug, Default)]
struct Subscribers {
    kinds: Vec<Weak<Subscription>>,
    tasks: HashMap<TaskId, Vec<Weak<Subscription>>>,
}

#[derive(Debug)]
struct Subscription {
    kinds: HashSet<String>,
    stopped: Mutex<Vec<TaskId>>,
    rung: Notify,
}

impl Watch {
    /// Waits for the next ring. Rings since the last call are one.
    ///
    /// # Cancel safety
    ///
    /// No ring is lost when the future is dropped.
    pub async fn rung(&mut self) -> Rung {
        self.0.rung.notified().await;
        Rung {
            stopped: std::mem::take(&mut *lock(&self.0.stopped)),
        }
    }

    /// Whether somebody still waits: for whoever watches a remote store on its behalf.
    #[cfg_attr(
        not(feature = "firestore"),
        expect(dead_code, reason = "only a remote store is watched for others")
    )]
    pub(crate) fn waiting(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let subscription = Arc::downgrade(&self.0);
        move || subscription.strong_count() > 0
    }
}

impl Bell {
    /// Adds somebody who waits.
    pub fn watch(&self, interest: Interest) -> Watch {
        let kinds = match &interest {
            Interest::Kinds(kinds) => kinds.iter().cloned().collect(),
            Interest::Task(_) => HashSet::new(),
        };
        let subscription = Arc::new(Subscription {
            kinds,
            stopped: Mutex::default(),
            rung: Notify::default(),
        });
        let weak = Arc::downgrade(&subscription);
        let mut subscribers = lock(&self.subscribers);
        match interest {
            Interest::Kinds(_) => subscribers.kinds.push(weak),
            Interest::Task(id) => subscribers.tasks.entry(id).or_default().push(weak),
        }
        subscribers.forget_the_gone();
        Watch(subscription)
    }

    /// A task of this kind may be due earlier than was known.
    pub fn due(&self, kind: &str) {
        for watch in lock(&self.subscribers)
            .of_kinds()
            .filter(|watch| watch.kinds.contains(kind))
        {
            watch.rung.notify_one();
        }
    }

    /// These tasks are to be stopped if they run.
    pub fn stopped(&self, ids: &[TaskId]) {
        for watch in lock(&self.subscribers).of_kinds() {
            lock(&watch.stopped).extend_from_slice(ids);
            watch.rung.notify_one();
        }
    }

    /// This task may have ended. Who waits for it goes on waiting, for a task that was only cancelled ends
    /// later, and one that was reset ends again.
    pub fn ended(&self, id: &TaskId) {
        let subscribers = lock(&self.subscribers);
        let watches = subscribers.tasks.get(id).into_iter().flatten();
        for watch in watches.filter_map(Weak::upgrade) {
            watch.rung.notify_one();
        }
    }

    /// Anything may have happened.
    pub fn everyone(&self) {
        let subscribers = lock(&self.subscribers);
        let of_tasks = subscribers.tasks.values().flatten().filter_map(Weak::upgrade);
        for watch in subscribers.of_kinds().chain(of_tasks) {
            watch.rung.notify_one();
        }
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let mut subscribers = lock(&self.subscribers);
        subscribers.forget_the_gone();
        subscribers.kinds.is_empty() && subscribers.tasks.is_empty()
    }

    /// The kinds that somebody waits for.
    #[must_use]
    pub fn kinds(&self) -> Vec<String> {
        let kinds: HashSet<_> = lock(&self.subscribers)
            .of_kinds()
            .flat_map(|watch| watch.kinds.clone())
            .collect();
        kinds.into_iter().collect()
    }

    /// The tasks whose end somebody waits for.
    #[cfg_attr(
        not(feature = "sqlite"),
        expect(
            dead_code,
            reason = "only a store that other processes write to looks for them"
        )
    )]
    pub(crate) fn tasks(&self) -> Vec<TaskId> {
        lock(&self.subscribers).tasks.keys().cloned().collect()
    }
}

impl Subscribers {
    fn of_kinds(&self) -> impl Iterator<Item = Arc<Subscription>> {
        self.kinds.iter().filter_map(Weak::upgrade)
    }

    fn forget_the_gone(&mut self) {
        self.kinds.retain(|watch| watch.strong_count() > 0);
        self.tasks.retain(|_, watches| {
            watches.retain(|watch| watch.strong_count() > 0);
            !watches.is_empty()
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
