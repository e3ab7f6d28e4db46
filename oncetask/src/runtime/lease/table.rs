//! The claims that a worker holds, in the order in which they need attention.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::held::Held;
use super::lock;
use super::stops::Stops;
use crate::client::Client;
use crate::runtime::latch::Latch;

/// How long the keeper sleeps when nothing is held.
const IDLE: Duration = Duration::from_mins(1);

/// The claims that are held, by the instant at which each needs attention.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) client: Client,
    entries: Mutex<Entries>,
    pub(super) stops: Mutex<Stops>,
    /// Whether there ever were any. Seen by whoever inserts a claim after [`all`](Self::all) was asked for.
    pub(super) has_stops: AtomicBool,
    pub(super) changed: Notify,
    pub(super) numbers: AtomicU64,
    pub(super) closed: Latch,
}

#[derive(Debug, Default)]
struct Entries {
    /// Each stands where it says itself that it does.
    by_time: BTreeMap<(Instant, u64), Arc<Held>>,
    /// Until when the keeper sleeps.
    asleep_until: Option<Instant>,
}

impl Table {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            entries: Mutex::default(),
            stops: Mutex::default(),
            has_stops: AtomicBool::new(false),
            changed: Notify::new(),
            numbers: AtomicU64::new(0),
            closed: Latch::default(),
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Held>> {
        lock(&self.entries).by_time.values().cloned().collect()
    }

    pub(super) fn remove<'a>(&self, held: impl IntoIterator<Item = &'a Held>) {
        let mut entries = lock(&self.entries);
        for held in held {
            if let Some(at) = held.unlist() {
                entries.by_time.remove(&(at, held.number));
            }
        }
    }

    pub(super) fn insert(&self, held: Arc<Held>) {
        let mut entries = lock(&self.entries);
        let at = held.enlist();
        entries.by_time.insert((at, held.number), held);
        self.wake_for(&entries, at);
    }

    /// Moves a claim to where its next event belongs, if it is held.
    pub(super) fn reschedule(&self, held: &Held) {
        let mut entries = lock(&self.entries);
        if let Some((before, at)) = held.relist()
            && let Some(held) = entries.by_time.remove(&(before, held.number))
        {
            entries.by_time.insert((at, held.number), held);
            self.wake_for(&entries, at);
        }
    }

    fn wake_for(&self, entries: &Entries, at: Instant) {
        if entries.asleep_until.is_none_or(|until| at < until) {
            self.changed.notify_one();
        }
    }

    /// The claims that need attention, and when the next one will.
    pub(super) fn due(&self, now: Instant) -> (Vec<Arc<Held>>, Instant) {
        let mut entries = lock(&self.entries);
        let due: Vec<_> = entries
            .by_time
            .iter()
            .take_while(|((at, _), _)| *at <= now)
            .map(|(_, held)| held.clone())
            .collect();
        let next = entries.by_time.keys().map(|(at, _)| *at).find(|at| *at > now);
        let next = next.unwrap_or(now + IDLE).min(now + IDLE);
        entries.asleep_until = Some(next);
        (due, next)
    }
}
