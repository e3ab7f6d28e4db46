//! Wake-ups within a process: subscribers wait for events, and a store notifies them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use crate::task::TaskId;

/// The events that a subscriber waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Topic {
    /// Tasks of these kinds become due, or running ones are cancelled or deleted.
    Kinds(Vec<String>),
    /// This task ends.
    Task(TaskId),
}

/// A subscription to a [`Topic`]. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription(Arc<Subscriber>);

/// A wake-up of a [`Subscription`]. If it is empty, a task may be due or may have ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wakeup {
    /// Tasks whose cancellation was accepted or that were deleted.
    pub stopped: Vec<TaskId>,
}

/// The notifier of a store, which wakes its subscribers. Every store owns one.
#[derive(Debug, Default)]
pub struct Notifier {
    subscribers: Mutex<Subscribers>,
}

#[derive(Debug, Default)]
struct Subscribers {
    by_kinds: Vec<Weak<Subscriber>>,
    by_task: HashMap<TaskId, Vec<Weak<Subscriber>>>,
}

#[derive(Debug)]
struct Subscriber {
    kinds: HashSet<String>,
    stopped: Mutex<Vec<TaskId>>,
    wakeup: Notify,
}

impl Subscription {
    /// Waits for the next wake-up. All notifications since the last call are one wake-up.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no notification.
    pub async fn notified(&mut self) -> Wakeup {
        self.0.wakeup.notified().await;
        Wakeup {
            stopped: std::mem::take(&mut *lock(&self.0.stopped)),
        }
    }

    /// Returns a function that tells whether this subscription still exists, for the task that listens to a
    /// remote store on its behalf.
    #[cfg_attr(
        not(feature = "firestore"),
        expect(dead_code, reason = "only a remote store listens for its subscribers")
    )]
    pub(crate) fn is_alive(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let subscriber = Arc::downgrade(&self.0);
        move || subscriber.strong_count() > 0
    }
}

impl Notifier {
    /// Adds a subscriber to a topic.
    pub fn subscribe(&self, topic: Topic) -> Subscription {
        let kinds = match &topic {
            Topic::Kinds(kinds) => kinds.iter().cloned().collect(),
            Topic::Task(_) => HashSet::new(),
        };
        let subscriber = Arc::new(Subscriber {
            kinds,
            stopped: Mutex::default(),
            wakeup: Notify::default(),
        });
        let weak = Arc::downgrade(&subscriber);
        let mut subscribers = lock(&self.subscribers);
        match topic {
            Topic::Kinds(_) => subscribers.by_kinds.push(weak),
            Topic::Task(id) => subscribers.by_task.entry(id).or_default().push(weak),
        }
        subscribers.remove_dropped();
        Subscription(subscriber)
    }

    /// Notifies the subscribers of a kind that one of its tasks may be due earlier than they know.
    pub fn notify_due(&self, kind: &str) {
        for subscriber in lock(&self.subscribers)
            .of_kinds()
            .filter(|subscriber| subscriber.kinds.contains(kind))
        {
            subscriber.wakeup.notify_one();
        }
    }

    /// Notifies the subscribers of every kind that these tasks must stop if they are running.
    pub fn notify_stopped(&self, ids: &[TaskId]) {
        for subscriber in lock(&self.subscribers).of_kinds() {
            lock(&subscriber.stopped).extend_from_slice(ids);
            subscriber.wakeup.notify_one();
        }
    }

    /// Notifies the subscribers of a task that it may have ended. They stay subscribed, because a task that was
    /// only cancelled ends later, and a task that was reset ends again.
    pub fn notify_ended(&self, id: &TaskId) {
        let subscribers = lock(&self.subscribers);
        let of_task = subscribers.by_task.get(id).into_iter().flatten();
        for subscriber in of_task.filter_map(Weak::upgrade) {
            subscriber.wakeup.notify_one();
        }
    }

    /// Notifies every subscriber. A store calls this when any event may have happened.
    pub fn notify_all(&self) {
        let subscribers = lock(&self.subscribers);
        let of_tasks = subscribers.by_task.values().flatten().filter_map(Weak::upgrade);
        for subscriber in subscribers.of_kinds().chain(of_tasks) {
            subscriber.wakeup.notify_one();
        }
    }

    /// Returns whether there are no subscribers.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let mut subscribers = lock(&self.subscribers);
        subscribers.remove_dropped();
        subscribers.by_kinds.is_empty() && subscribers.by_task.is_empty()
    }

    /// Returns the kinds that have subscribers.
    #[must_use]
    pub fn kinds(&self) -> Vec<String> {
        let kinds: HashSet<_> = lock(&self.subscribers)
            .of_kinds()
            .flat_map(|subscriber| subscriber.kinds.clone())
            .collect();
        kinds.into_iter().collect()
    }

    /// Returns the tasks whose end has subscribers.
    #[cfg_attr(
        not(feature = "sqlite"),
        expect(
            dead_code,
            reason = "only a store that other processes write to looks for them"
        )
    )]
    pub(crate) fn tasks(&self) -> Vec<TaskId> {
        lock(&self.subscribers).by_task.keys().cloned().collect()
    }
}

impl Subscribers {
    fn of_kinds(&self) -> impl Iterator<Item = Arc<Subscriber>> {
        self.by_kinds.iter().filter_map(Weak::upgrade)
    }

    fn remove_dropped(&mut self) {
        self.by_kinds.retain(|subscriber| subscriber.strong_count() > 0);
        self.by_task.retain(|_, subscribers| {
            subscribers.retain(|subscriber| subscriber.strong_count() > 0);
            !subscribers.is_empty()
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
