//! The queue of the tasks of one environment: the tasks that are not done, in the order in which they may be
//! claimed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::slab::Entry;
use crate::store::Demand;
use crate::task::{QueueOrder, ResourceKey};

/// A position in a queue: the queue order, and the number in the order of creation.
type QueueKey = (QueueOrder, u64);

/// The index of a kind.
pub(super) type KindIndex = usize;

/// One queue for each kind.
#[derive(Debug, Default)]
pub(super) struct Queue {
    indices: HashMap<Arc<str>, KindIndex>,
    kinds: Vec<KindQueue>,
}

/// The queue of one kind.
#[derive(Debug, Default)]
struct KindQueue {
    items: BTreeMap<QueueKey, QueueItem>,
    /// The generators among the items.
    generators: BTreeMap<QueueKey, QueueItem>,
    /// The resource keys with tasks that are not done.
    keys: HashMap<ResourceKey, KeyTasks>,
}

/// An item of a queue: a task, or a resource key on behalf of all its tasks. Because a key is one item, a key that
/// is claimed or has a long backlog does not slow down the claims of other keys.
#[derive(Clone, Debug)]
pub(super) enum QueueItem {
    /// The index of the task.
    Task(usize),
    Key(KindIndex, ResourceKey),
}

/// The tasks of a resource key that are not done.
#[derive(Debug, Default)]
struct KeyTasks {
    /// The indices of the tasks, ordered by the end of their wait.
    tasks: BTreeMap<QueueKey, usize>,
    /// The ends of the leases on the key, in milliseconds since the epoch, by the index of the task.
    leases: HashMap<usize, i64>,
    /// The position of the key in the queue of its kind.
    position: Option<QueueKey>,
}

impl Queue {
    /// Returns the index of a kind, which is assigned on first use.
    pub(super) fn intern_kind(&mut self, kind: &Arc<str>) -> KindIndex {
        if let Some(index) = self.indices.get(kind) {
            return *index;
        }
        self.indices.insert(kind.clone(), self.kinds.len());
        self.kinds.push(KindQueue::default());
        self.kinds.len() - 1
    }

    /// Returns the indices of the demand's kinds. A kind that never had a task is left out.
    pub(super) fn known_kinds(&self, demand: &Demand) -> Vec<KindIndex> {
        let index = |kind: &String| self.indices.get(kind.as_str()).copied();
        demand.kinds.iter().filter_map(index).collect()
    }

    /// Returns the first item of the queues of these kinds, with its due time in milliseconds since the epoch.
    pub(super) fn first(&self, kinds: &[KindIndex], generators_only: bool) -> Option<(i64, &QueueItem)> {
        let first_of = |kind: &KindIndex| {
            let KindQueue {
                items, generators, ..
            } = &self.kinds[*kind];
            if generators_only { generators } else { items }.first_key_value()
        };
        let (position, item) = kinds
            .iter()
            .filter_map(first_of)
            .min_by_key(|(position, _)| **position)?;
        Some((position.0.due, item))
    }

    /// Returns the tasks of a key that are not done, in order.
    pub(super) fn tasks_of_key(&self, kind: KindIndex, key: &ResourceKey) -> impl Iterator<Item = usize> {
        self.kinds[kind].keys[key].tasks.values().copied()
    }

    /// Adds a task, unless it is done.
    pub(super) fn add(&mut self, index: usize, entry: &Entry) {
        let Some(order) = entry.task.queue_order() else {
            return;
        };
        let queue = &mut self.kinds[entry.kind];
        let Some(key) = entry.task.spec.held_key() else {
            return queue.add(index, order, entry);
        };
        let of_key = queue.keys.entry(key.clone()).or_default();
        of_key.tasks.insert(wait_position(entry), index);
        if entry.task.state.lease.is_some() {
            of_key.leases.insert(index, order.due);
        }
        queue.reposition_key(entry.kind, key);
    }

    /// Removes a task. Called before the task changes, because its position follows from its state.
    pub(super) fn remove(&mut self, index: usize, entry: &Entry) {
        let Some(order) = entry.task.queue_order() else {
            return;
        };
        let queue = &mut self.kinds[entry.kind];
        let Some(key) = entry.task.spec.held_key() else {
            return queue.remove(order, entry);
        };
        if let Some(of_key) = queue.keys.get_mut(key) {
            of_key.tasks.remove(&wait_position(entry));
            of_key.leases.remove(&index);
        }
        queue.reposition_key(entry.kind, key);
    }
}

impl KindQueue {
    fn add(&mut self, index: usize, order: QueueOrder, Entry { task, seq, .. }: &Entry) {
        let position = (order, *seq);
        if task.spec.recurrence.is_some() {
            self.generators.insert(position, QueueItem::Task(index));
        }
        self.items.insert(position, QueueItem::Task(index));
    }

    fn remove(&mut self, order: QueueOrder, Entry { task, seq, .. }: &Entry) {
        let position = (order, *seq);
        if task.spec.recurrence.is_some() {
            self.generators.remove(&position);
        }
        self.items.remove(&position);
    }

    /// Updates the position of a key after a change of its tasks. A key is due when its first task is due, or, while
    /// it is claimed, when the last lease on it ends.
    fn reposition_key(&mut self, kind: KindIndex, key: &ResourceKey) {
        let Some(of_key) = self.keys.get_mut(key) else {
            return;
        };
        if let Some(position) = of_key.position.take() {
            self.items.remove(&position);
        }
        let Some(((first, seq), _)) = of_key.tasks.first_key_value() else {
            self.keys.remove(key);
            return;
        };
        let due = of_key.leases.values().max().copied().unwrap_or(first.due);
        let position = (first.with_due(due), *seq);
        self.items.insert(position, QueueItem::Key(kind, key.clone()));
        of_key.position = Some(position);
    }
}

/// Returns the position of a task among the tasks of its key. A lease does not change it.
fn wait_position(entry: &Entry) -> QueueKey {
    (
        QueueOrder::at(entry.task.state.wait_until, &entry.task),
        entry.seq,
    )
}

/// Converts an instant to milliseconds since the epoch. The instants of tasks have whole milliseconds, so nothing is
/// lost.
pub(super) fn millis(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis()
}
