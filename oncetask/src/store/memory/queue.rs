//! The queue over the tasks of one environment in memory: what may be claimed, and when.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::shelf::Entry;
use crate::store::Demand;
use crate::task::{ResourceKey, Task};

/// A place in a queue: when it is due and when it was created, in milliseconds, and the order of arrival.
type Place = (i64, i64, u64);

/// The number of a kind.
pub(super) type Kind = usize;

#[derive(Debug, Default)]
pub(super) struct Queue {
    numbers: HashMap<Arc<str>, Kind>,
    kinds: Vec<OfKind>,
}

/// What may be claimed of one kind.
#[derive(Debug, Default)]
struct OfKind {
    line: BTreeMap<Place, Slot>,
    /// Of these, the generators.
    generators: BTreeMap<Place, Slot>,
    /// The keys with tasks that are not done.
    keys: HashMap<ResourceKey, KeyQueue>,
}

/// What stands in a queue: a task, or a resource key on behalf of all its tasks. So a key that is held, or
/// has a long backlog, costs a claim of other keys nothing.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// The task's place on the shelf.
    Task(usize),
    Key(Kind, ResourceKey),
}

/// The tasks of a key that are not done.
#[derive(Debug, Default)]
struct KeyQueue {
    tasks: BTreeMap<Place, usize>,
    /// Those that are held, and until when.
    leased: HashMap<usize, i64>,
    /// Where the key stands in its kind's line.
    place: Option<Place>,
}

impl Queue {
    /// The number of a kind, which it keeps.
    pub(super) fn number(&mut self, kind: &Arc<str>) -> Kind {
        if let Some(number) = self.numbers.get(kind) {
            return *number;
        }
        self.numbers.insert(kind.clone(), self.kinds.len());
        self.kinds.push(OfKind::default());
        self.kinds.len() - 1
    }

    /// The numbers of those kinds of which there are tasks.
    pub(super) fn numbers(&self, demand: &Demand) -> Vec<Kind> {
        let number = |kind: &String| self.numbers.get(kind.as_str()).copied();
        demand.kinds.iter().filter_map(number).collect()
    }

    /// The first place in the lines of these kinds, and when it is due.
    pub(super) fn head(&self, kinds: &[Kind], generators_only: bool) -> Option<(i64, &Slot)> {
        let first = |kind: &Kind| {
            let OfKind { line, generators, .. } = &self.kinds[*kind];
            if generators_only { generators } else { line }.first_key_value()
        };
        let (place, slot) = kinds.iter().filter_map(first).min_by_key(|(place, _)| **place)?;
        Some((place.0, slot))
    }

    /// The tasks of a key that are not done, in order.
    pub(super) fn of_key(&self, kind: Kind, key: &ResourceKey) -> impl Iterator<Item = usize> {
        self.kinds[kind].keys[key].tasks.values().copied()
    }

    /// Puts a task where it belongs, if it is not done.
    pub(super) fn add(&mut self, at: usize, entry: &Entry) {
        let Some(due) = entry.task.state.due().map(millis) else {
            return;
        };
        let of_kind = &mut self.kinds[entry.kind];
        let Some(key) = entry.task.spec.held_key() else {
            return of_kind.add(at, due, entry);
        };
        let Task { spec, state } = &entry.task;
        let keys = of_kind.keys.entry(key.clone()).or_default();
        let place = (millis(state.wait_until), millis(spec.created_at), entry.seq);
        keys.tasks.insert(place, at);
        if state.lease.is_some() {
            keys.leased.insert(at, due);
        }
        of_kind.place_key(entry.kind, key);
    }

    /// Takes a task out from where it belonged, before it changes.
    pub(super) fn remove(&mut self, at: usize, entry: &Entry) {
        let Some(due) = entry.task.state.due().map(millis) else {
            return;
        };
        let of_kind = &mut self.kinds[entry.kind];
        let Some(key) = entry.task.spec.held_key() else {
            return of_kind.remove(due, entry);
        };
        let Task { spec, state } = &entry.task;
        if let Some(keys) = of_kind.keys.get_mut(key) {
            let place = (millis(state.wait_until), millis(spec.created_at), entry.seq);
            keys.tasks.remove(&place);
            keys.leased.remove(&at);
        }
        of_kind.place_key(entry.kind, key);
    }
}

impl OfKind {
    fn add(&mut self, at: usize, due: i64, Entry { task, seq, .. }: &Entry) {
        let place = (due, millis(task.spec.created_at), *seq);
        if task.spec.recurrence.is_some() {
            self.generators.insert(place, Slot::Task(at));
        }
        self.line.insert(place, Slot::Task(at));
    }

    fn remove(&mut self, due: i64, Entry { task, seq, .. }: &Entry) {
        let place = (due, millis(task.spec.created_at), *seq);
        if task.spec.recurrence.is_some() {
            self.generators.remove(&place);
        }
        self.line.remove(&place);
    }

    /// Puts a key where it belongs in the line: it is due when its first task is, or, while it is held, when
    /// the last lease on it ends.
    fn place_key(&mut self, kind: Kind, key: &ResourceKey) {
        let Some(queue) = self.keys.get_mut(key) else {
            return;
        };
        if let Some(place) = queue.place.take() {
            self.line.remove(&place);
        }
        let Some(((first, created_at, seq), _)) = queue.tasks.first_key_value() else {
            self.keys.remove(key);
            return;
        };
        let held_until = queue.leased.values().max();
        let place = (*held_until.unwrap_or(first), *created_at, *seq);
        self.line.insert(place, Slot::Key(kind, key.clone()));
        queue.place = Some(place);
    }
}

/// The instants of tasks have whole milliseconds.
pub(super) fn millis(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis()
}
