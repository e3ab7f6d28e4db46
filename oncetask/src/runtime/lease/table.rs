//! The claims that a worker holds, in the order in which they need attention.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::held::Held;
use super::lock;
use super::stops::Stops;
use crate::client::Client;

/// How long the keeper sleeps when nothing is held.
const IDLE: Duration = Duration::from_mins(1);

/// The claims that are held, by the instant at which each needs attention.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) client: Client,
    entries: Mutex<Entries>,
    pub(super) stops: Mutex<Stops>,
    pub(super) changed: Notify,
    pub(super) numbers: AtomicU64,
    pub(super) closed: CancellationToken,
}

#[derive(Debug, Default)]
struct Entries {
    by_time: BTreeMap<(Instant, u64), Arc<Held>>,
    /// Where each stands in `by_time`.
    times: HashMap<u64, Instant>,
    /// Until when the keeper sleeps.
    asleep_until: Option<Instant>,
}

impl Table {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            entries: Mutex::default(),
            stops: Mutex::default(),
            changed: Notify::new(),
            numbers: AtomicU64::new(0),
            closed: CancellationToken::new(),
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Held>> {
        lock(&self.entries).by_time.values().cloned().collect()
    }

    pub(super) fn remove(&self, number: u64) {
        lock(&self.entries).remove(number);
    }

    pub(super) fn insert(&self, held: Arc<Held>) {
        let at = held.next_event();
        let mut entries = lock(&self.entries);
        entries.times.insert(held.number, at);
        entries.by_time.insert((at, held.number), held);
        self.wake_for(&entries, at);
    }

    /// Moves a claim to where its next event belongs.
    pub(super) fn reschedule(&self, number: u64) {
        let mut entries = lock(&self.entries);
        if let Some(held) = entries.remove(number) {
            let at = held.next_event();
            entries.times.insert(number, at);
            entries.by_time.insert((at, number), held);
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

impl Entries {
    fn remove(&mut self, number: u64) -> Option<Arc<Held>> {
        let at = self.times.remove(&number)?;
        self.by_time.remove(&(at, number))
    }
}
