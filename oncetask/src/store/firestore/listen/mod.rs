//! Hearing of what other processes do.
//!
//! A stream tells of one thing only: of the head of the queue of the kinds that somebody waits for, of
//! cancellations while handlers run for longer, or of one task that somebody waits for. While a backlog is
//! worked off nobody listens: each claim looks at the queue anyhow, and a listener would be told of every
//! step. Should a stream die silently, a slow poll finds what it missed, and a watchdog opens it again.

mod cancellations;
mod head;
mod keeper;
mod poll;
mod stream;
mod task;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use self::head::Head;
use super::claim::Next;
use super::codec::Stored;
use super::inner::Inner;
use super::link::Link;
use crate::store::{Demand, Subscription, Topic};

/// How long after a claim that left something due the backlog is taken to be worked off still: alone, and when
/// others take part, of whose writes we do not know.
const WORKING: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));

/// What is heard, and what is worth listening for.
#[derive(Debug, Default)]
pub(super) struct Ears {
    state: Mutex<State>,
    /// Something has changed that the keeper should know.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    has_keeper: bool,
    /// The kinds whose last claim left something due.
    backlogged: HashSet<String>,
    /// When it was last seen that a backlog is being worked off, and for how long that holds.
    working: Option<(Instant, Duration)>,
    /// Whether that is only assumed, as nobody has looked yet.
    assumed: bool,
    /// How many claims are being made, of which nobody knows yet what they find.
    looking: usize,
    /// The documents of claims that were told of their cancellation.
    told: HashSet<String>,
    /// For each stream that is up to date: what it says of the queue of its kinds.
    heads: HashMap<Vec<String>, Option<Head>>,
    /// What streams told of and nobody has tried to claim since: for each kind the last.
    heard: HashMap<String, Stored>,
}

/// A look at the queue that is under way.
pub(super) struct Looking<'a>(&'a Ears);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.state().looking -= 1;
        self.0.changed.notify_one();
    }
}

impl State {
    /// A backlog is worked off now, and for so long.
    fn work(&mut self, lasts: Duration) {
        let known = self.working.map_or(lasts, |(_, known)| known.max(lasts));
        self.working = Some((Instant::now(), known));
        self.assumed = false;
    }
}

impl Ears {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what claims left of the queues.
    pub(super) fn claimed(&self, demands: &[Demand], drained: &[bool], contended: bool) {
        let mut state = self.state();
        let (alone, others) = WORKING;
        let lasts = if contended { others } else { alone };
        let queued = demands
            .iter()
            .zip(drained)
            .filter(|(demand, _)| !demand.generators_only);
        for (demand, drained) in queued {
            for kind in &demand.kinds {
                if *drained {
                    state.backlogged.remove(kind);
                } else {
                    state.backlogged.insert(kind.clone());
                }
            }
        }
        if drained.contains(&false) {
            state.work(lasts);
        } else if std::mem::take(&mut state.assumed) {
            // What is created from now on shall be heard of at once.
            state.working = None;
        } else if let Some((_, known)) = &mut state.working {
            *known = lasts.max(*known);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// A stream tells of a task that may be claimed.
    fn hear(&self, stored: &Stored) {
        let kind = stored.task.kind().to_owned();
        self.state().heard.insert(kind, stored.clone());
    }

    /// What streams told of, for one attempt to claim it.
    pub(super) fn take_heard(&self) -> Vec<Stored> {
        self.state().heard.drain().map(|(_, stored)| stored).collect()
    }

    /// Whether a stream tells of the queue.
    pub(super) fn are_open(&self) -> bool {
        !self.state().heads.is_empty()
    }

    /// When the first task of these kinds that waits is due, if a stream tells that.
    pub(super) fn head(&self, inner: &Inner, kinds: &[String], now: DateTime<Utc>) -> Next {
        let state = self.state();
        let covers = |of: &[String]| kinds.iter().all(|kind| of.contains(kind));
        match state.heads.iter().find(|(of, _)| covers(of)) {
            None => Next::Unknown,
            Some((_, None)) => Next::Never,
            // One that is due, or that we have claimed since: the stream is about to tell of another.
            Some((_, Some(head))) if head.due <= now || inner.held.holds(&head.name) => Next::Unknown,
            Some((_, Some(head))) => Next::At(head.due),
        }
    }

    /// A backlog was found: from now on the queue is looked at by claims.
    pub(super) fn work_begins(&self) {
        self.state().work(WORKING.0);
        self.changed.notify_one();
    }

    /// Notes that the queue is being looked at, until what is returned is dropped.
    pub(super) fn look(&self) -> Looking<'_> {
        self.state().looking += 1;
        Looking(self)
    }

    /// Whether it is known that nothing is due. Opened before, a listener would slow down the very claims that
    /// find a backlog.
    fn may_open(&self) -> bool {
        self.state().looking == 0
    }

    /// Whether a backlog is being worked off. It is for as long as what was begun is being written: a listener
    /// slows the emulator's writes so much that it would seem to be over.
    fn is_working(&self, writes: bool) -> bool {
        let mut state = self.state();
        if let Some((since, _)) = state.working.as_mut().filter(|_| writes) {
            *since = Instant::now();
        }
        state.working = state.working.filter(|(since, lasts)| since.elapsed() < *lasts);
        state.working.is_some()
    }

    /// The kinds to listen for now.
    fn worth_hearing(&self, mut kinds: Vec<String>) -> Vec<String> {
        let state = self.state();
        kinds.retain(|kind| !state.backlogged.contains(kind));
        kinds.sort_unstable();
        kinds
    }
}

/// Adds somebody who waits, and listens on their behalf.
pub(super) fn watch(inner: &Arc<Inner>, link: &Link, topic: Topic) -> Subscription {
    let watch = inner.notifier.subscribe(topic.clone());
    let weak: Weak<Inner> = Arc::downgrade(inner);
    match topic {
        Topic::Kinds(_) => {
            let mut state = inner.ears.state();
            // Who begins to watch is about to claim, and may meet a backlog.
            if state.working.is_none() {
                state.work(WORKING.0);
                state.assumed = true;
            }
            let had_keeper = std::mem::replace(&mut state.has_keeper, true);
            drop(state);
            if !had_keeper {
                link.runtime().spawn(keeper::keep(weak));
            }
            inner.ears.changed.notify_one();
        }
        Topic::Task(id) => {
            let waits = watch.is_alive();
            link.runtime().spawn(task::attend(weak, id, waits));
        }
    }
    watch
}
