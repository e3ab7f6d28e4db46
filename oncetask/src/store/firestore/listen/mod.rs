//! Detecting the changes that other processes make to the tasks of an environment.
//!
//! Each stream of Firestore has one target: the head of the queue of the kinds that have subscribers; the
//! cancelled tasks, while there are long claims; or one task whose end has subscribers. No queue is listened to
//! while a backlog is worked off, because each claim reads the queue anyway, and a stream would report every
//! write. An infrequent poll finds the changes that a dead stream did not report.

mod cancellations;
mod keeper;
mod poll;
mod queue_head;
mod state;
mod stream;
mod task_end;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use self::state::{ListenerState, WORKING_ALONE, WORKING_CONTENDED};
use super::codec::Stored;
use super::documents::Documents;
use super::runtime_thread::RuntimeThread;
use crate::store::{Demand, Subscription, Topic};

/// The listener of one environment.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) documents: Arc<Documents>,
    state: Mutex<ListenerState>,
    /// Wakes the keeper after a change of the state.
    changed: Notify,
}

/// The due time of the next task or the end of the next lease, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    At(DateTime<Utc>),
    Never,
    Unknown,
}

impl Next {
    pub(super) fn known(at: Option<DateTime<Utc>>) -> Self {
        at.map_or(Self::Never, Self::At)
    }
}

/// A claim in progress. No stream is opened until it is dropped.
pub(super) struct ClaimInProgress<'a>(&'a Listener);

impl Drop for ClaimInProgress<'_> {
    fn drop(&mut self) {
        self.0.state().claims_in_progress -= 1;
        self.0.changed.notify_one();
    }
}

impl Listener {
    pub(super) fn new(documents: Arc<Documents>) -> Self {
        Self {
            documents,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, ListenerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subscribes to a topic, and listens on the subscriber's behalf.
    pub(super) fn subscribe(self: &Arc<Self>, thread: &RuntimeThread, topic: Topic) -> Subscription {
        let subscription = self.documents.notifier.subscribe(topic.clone());
        let listener = Arc::downgrade(self);
        match topic {
            Topic::Kinds(_) => {
                let had_keeper = self.state().add_subscriber();
                if !had_keeper {
                    thread.runtime().spawn(keeper::keep(listener));
                }
                self.changed.notify_one();
            }
            Topic::Task(id) => {
                let is_awaited = subscription.is_alive();
                thread
                    .runtime()
                    .spawn(task_end::listen_for_end(listener, id, is_awaited));
            }
        }
        subscription
    }

    /// Returns whether a stream reports the head of a queue.
    pub(super) fn is_listening(&self) -> bool {
        !self.state().heads.is_empty()
    }

    /// Records that a claim begins. While claims read the queue it is not known whether there is a backlog, and a
    /// stream that is opened too early slows down the claims that find one.
    pub(super) fn begin_claim(&self) -> ClaimInProgress<'_> {
        self.state().claims_in_progress += 1;
        ClaimInProgress(self)
    }

    /// Records that a claim found a backlog: from now on claims read the queue, and no stream is needed.
    pub(super) fn backlog_found(&self) {
        self.state().extend_backlog(WORKING_ALONE);
        self.changed.notify_one();
    }

    /// Records for each demand of a claim whether its queue was drained, and whether other processes contend for
    /// the tasks.
    pub(super) fn record_claim(&self, demands: &[Demand], drained: &[bool], contended: bool) {
        let lasts = if contended {
            WORKING_CONTENDED
        } else {
            WORKING_ALONE
        };
        self.state().record_claim(demands, drained, lasts);
        self.changed.notify_one();
    }

    /// Takes the tasks that streams reported as due, for one attempt to claim them.
    pub(super) fn take_reported(&self) -> Vec<Stored> {
        self.state().reported.drain().map(|(_, stored)| stored).collect()
    }

    /// Returns the due time of the first waiting task of these kinds, if a stream reports it.
    pub(super) fn next_due(&self, kinds: &[String], now: DateTime<Utc>) -> Next {
        let state = self.state();
        let covers = |of: &[String]| kinds.iter().all(|kind| of.contains(kind));
        match state.heads.iter().find(|(of, _)| covers(of)) {
            None => Next::Unknown,
            Some((_, None)) => Next::Never,
            // The head is due, or this process has claimed it since: the stream is about to report another.
            Some((_, Some(head)))
                if head.due <= now || self.documents.claim_cache.contains_document(&head.name) =>
            {
                Next::Unknown
            }
            Some((_, Some(head))) => Next::At(head.due),
        }
    }
}
