//! The state of a listener: the heads of queues, and whether there is a backlog.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::store::Demand;
use crate::store::firestore::codec::Stored;

/// The duration for which a backlog is assumed to last after a claim that left a task due.
pub(super) const WORKING_ALONE: Duration = Duration::from_millis(250);
/// The same while other processes contend for the tasks: this process does not see their writes.
pub(super) const WORKING_CONTENDED: Duration = Duration::from_secs(1);

/// The state of a listener.
#[derive(Debug, Default)]
pub(super) struct ListenerState {
    pub(super) has_keeper: bool,
    /// The number of claims in progress.
    pub(super) claims_in_progress: usize,
    /// The names of the documents of whose cancellation subscribers were notified.
    pub(super) notified_cancellations: HashSet<String>,
    /// For each stream that is up to date, by its kinds: the head of their queue.
    pub(super) heads: HashMap<Vec<String>, Option<QueueHead>>,
    /// For each kind, the last task that a stream reported as due and that no claim has tried since.
    pub(super) reported: HashMap<String, Stored>,
    /// The kinds whose last claim left a task due.
    backlogged: HashSet<String>,
    backlog: Option<Backlog>,
    /// True if the backlog is assumed for a new subscriber, and no claim has found it yet.
    is_backlog_assumed: bool,
}

/// The head of a queue: of the tasks without a lease, the one that is due first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct QueueHead {
    /// The name of its document.
    pub(super) name: String,
    pub(super) due: DateTime<Utc>,
}

/// A backlog that is worked off.
#[derive(Clone, Copy, Debug)]
struct Backlog {
    seen: Instant,
    /// The duration for which the backlog is assumed to last.
    lasts: Duration,
}

impl ListenerState {
    /// Adds a subscriber to kinds. Returns whether the listener has a keeper already.
    pub(super) fn add_subscriber(&mut self) -> bool {
        // A worker that subscribes is about to claim, and may find a backlog.
        if self.backlog.is_none() {
            self.extend_backlog(WORKING_ALONE);
            self.is_backlog_assumed = true;
        }
        std::mem::replace(&mut self.has_keeper, true)
    }

    /// Records a backlog that is assumed to last for this duration, or for longer if that was known before.
    pub(super) fn extend_backlog(&mut self, lasts: Duration) {
        let lasts = self.backlog.map_or(lasts, |backlog| backlog.lasts.max(lasts));
        self.backlog = Some(Backlog {
            seen: Instant::now(),
            lasts,
        });
        self.is_backlog_assumed = false;
    }

    /// Records for each demand of a claim whether its queue was drained. A backlog is assumed to last for this
    /// duration.
    pub(super) fn record_claim(&mut self, demands: &[Demand], drained: &[bool], lasts: Duration) {
        let queued = demands
            .iter()
            .zip(drained)
            .filter(|(demand, _)| !demand.generators_only);
        for (demand, drained) in queued {
            for kind in &demand.kinds {
                if *drained {
                    self.backlogged.remove(kind);
                } else {
                    self.backlogged.insert(kind.clone());
                }
            }
        }
        if drained.contains(&false) {
            self.extend_backlog(lasts);
        } else if std::mem::take(&mut self.is_backlog_assumed) {
            // There is no backlog: from now on a stream must report the next task at once.
            self.backlog = None;
        } else if let Some(backlog) = &mut self.backlog {
            backlog.lasts = backlog.lasts.max(lasts);
        }
    }

    /// Returns whether a backlog is being worked off. It lasts at least as long as its writes are in flight: a
    /// listener slows down the emulator's writes so much that the backlog would seem to have ended.
    pub(super) fn has_backlog(&mut self, is_writing: bool) -> bool {
        if let Some(backlog) = self.backlog.as_mut().filter(|_| is_writing) {
            backlog.seen = Instant::now();
        }
        self.backlog = self
            .backlog
            .filter(|backlog| backlog.seen.elapsed() < backlog.lasts);
        self.backlog.is_some()
    }

    /// Returns those of these kinds that have no backlog, in alphabetical order.
    pub(super) fn kinds_without_backlog(&self, mut kinds: Vec<String>) -> Vec<String> {
        kinds.retain(|kind| !self.backlogged.contains(kind));
        kinds.sort_unstable();
        kinds
    }
}
