//! The tasks of one environment in memory, and the queue over them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};

use crate::store::{Claim, ClaimedTask, Want};
use crate::task::transition::{self, Phase};
use crate::task::{Lease, LeaseToken, ResourceKey, Task, TaskId};

/// A place in a queue: when it is due, when it was created, and the place in the order of arrival.
type Place = (DateTime<Utc>, DateTime<Utc>, u64);

#[derive(Debug, Default)]
pub(super) struct Shelf {
    tasks: HashMap<TaskId, (u64, Task)>,
    ids: HashMap<u64, TaskId>,
    created: u64,
    /// For each kind what may be claimed, and when.
    queues: HashMap<String, BTreeMap<Place, Slot>>,
    /// Of these, the generators.
    generators: HashMap<String, BTreeMap<Place, Slot>>,
    /// For each kind its keys with tasks that are not done.
    keys: HashMap<String, HashMap<ResourceKey, KeyQueue>>,
}

/// What stands in a queue: a task, or a resource key on behalf of all its tasks. So a key that is held, or
/// has a long backlog, costs a claim of other keys nothing.
#[derive(Clone, Debug)]
enum Slot {
    Task(TaskId),
    Key(ResourceKey),
}

/// The tasks of a key that are not done.
#[derive(Debug, Default)]
struct KeyQueue {
    tasks: BTreeSet<Place>,
    leased: HashSet<u64>,
    /// Where the key stands in its kind's queue.
    place: Option<Place>,
}

impl Shelf {
    pub(super) fn get(&self, id: &TaskId) -> Option<&Task> {
        self.tasks.get(id).map(|(_, task)| task)
    }

    pub(super) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values().map(|(_, task)| task)
    }

    /// Adds a task, unless its id is taken: then by this one.
    pub(super) fn insert(&mut self, task: Task) -> Result<(), &Task> {
        if self.tasks.contains_key(task.id()) {
            return Err(&self.tasks[task.id()].1);
        }
        self.created += 1;
        let (seq, id) = (self.created, task.id().clone());
        self.ids.insert(seq, id.clone());
        self.tasks.insert(id.clone(), (seq, task));
        self.enqueue(&id);
        Ok(())
    }

    /// Changes a task and its place in the queue. `None` when there is none.
    pub(super) fn update<T>(&mut self, id: &TaskId, change: impl FnOnce(&mut Task) -> T) -> Option<T> {
        self.dequeue(id)?;
        let (_, task) = self.tasks.get_mut(id)?;
        let answer = change(task);
        self.enqueue(id);
        Some(answer)
    }

    pub(super) fn remove(&mut self, id: &TaskId) -> Option<Task> {
        self.dequeue(id)?;
        let (seq, task) = self.tasks.remove(id)?;
        self.ids.remove(&seq);
        Some(task)
    }

    /// When the next task may be claimed that is wanted.
    pub(super) fn next_due(&self, want: &Want) -> Option<DateTime<Utc>> {
        self.head(want).map(|(_, (due, ..), _)| due)
    }

    /// Claims what is due, as a [`Want`] says.
    pub(super) fn claim(&mut self, place: usize, want: &Want, owner: &str, now: DateTime<Utc>) -> Vec<Claim> {
        let mut claims = Vec::new();
        while claims.len() < want.claims {
            let Some((kind, (due, ..), slot)) = self.head(want) else {
                break;
            };
            if due > now {
                break;
            }
            let ids = match slot {
                Slot::Task(id) => vec![id.clone()],
                Slot::Key(key) => self.group(kind, key, want.group, now),
            };
            let tasks = ids
                .iter()
                .filter_map(|id| self.lease(id, want, owner, now))
                .collect();
            claims.push(Claim { want: place, tasks });
        }
        claims
    }

    /// The first place in the queues that are wanted.
    fn head<'a>(&'a self, want: &'a Want) -> Option<(&'a str, Place, &'a Slot)> {
        let queues = if want.generators_only {
            &self.generators
        } else {
            &self.queues
        };
        let heads = want.kinds.iter().filter_map(|kind| {
            let (place, slot) = queues.get(kind)?.first_key_value()?;
            Some((kind.as_str(), *place, slot))
        });
        heads.min_by_key(|(_, place, _)| *place)
    }

    /// The due tasks of a key that one claim takes: several, unless the first is to be cleaned up after.
    fn group(&self, kind: &str, key: &ResourceKey, group: usize, now: DateTime<Utc>) -> Vec<TaskId> {
        let waiting = &self.keys[kind][key].tasks;
        let mut due = waiting
            .iter()
            .map(|(.., seq)| &self.tasks[&self.ids[seq]].1)
            .filter(|task| transition::is_due(&task.state, now));
        let Some(first) = due.next() else {
            return Vec::new();
        };
        let mut ids = vec![first.id().clone()];
        if transition::next_phase(&first.state) == Phase::Run {
            let rest = due.filter(|task| transition::next_phase(&task.state) == Phase::Run);
            ids.extend(rest.take(group.saturating_sub(1)).map(|task| task.id().clone()));
        }
        ids
    }

    fn lease(&mut self, id: &TaskId, want: &Want, owner: &str, now: DateTime<Utc>) -> Option<ClaimedTask> {
        let until = now + want.lease;
        let silent = self.update(id, |task| {
            let phase = transition::next_phase(&task.state);
            let lease = Lease {
                token: LeaseToken::random(),
                until,
                owner: owner.to_owned(),
                phase,
            };
            transition::claim(task, lease, now)
        })?;
        Some(ClaimedTask {
            task: self.get(id)?.clone(),
            silent,
        })
    }

    fn enqueue(&mut self, id: &TaskId) {
        let Some((seq, task)) = self.tasks.get(id) else {
            return;
        };
        let Some(due) = task.state.due() else { return };
        let (kind, created_at) = (&task.spec.kind, task.spec.created_at);
        match task.spec.held_key() {
            None => {
                let place = (due, created_at, *seq);
                if task.spec.recurrence.is_some() {
                    let queue = self.generators.entry(kind.clone()).or_default();
                    queue.insert(place, Slot::Task(id.clone()));
                }
                let queue = self.queues.entry(kind.clone()).or_default();
                queue.insert(place, Slot::Task(id.clone()));
            }
            Some(key) => {
                let keys = self.keys.entry(kind.clone()).or_default();
                let queue = keys.entry(key.clone()).or_default();
                queue.tasks.insert((task.state.wait_until, created_at, *seq));
                if task.state.lease.is_some() {
                    queue.leased.insert(*seq);
                }
                let (kind, key) = (kind.clone(), key.clone());
                self.place_key(&kind, &key);
            }
        }
    }

    fn dequeue(&mut self, id: &TaskId) -> Option<()> {
        let (seq, task) = self.tasks.get(id)?;
        let Some(due) = task.state.due() else {
            return Some(());
        };
        let (kind, created_at) = (&task.spec.kind, task.spec.created_at);
        match task.spec.held_key() {
            None => {
                let place = (due, created_at, *seq);
                if task.spec.recurrence.is_some() {
                    self.generators.get_mut(kind)?.remove(&place);
                }
                self.queues.get_mut(kind)?.remove(&place);
            }
            Some(key) => {
                let queue = self.keys.get_mut(kind)?.get_mut(key)?;
                queue.tasks.remove(&(task.state.wait_until, created_at, *seq));
                queue.leased.remove(seq);
                let (kind, key) = (kind.clone(), key.clone());
                self.place_key(&kind, &key);
            }
        }
        Some(())
    }

    /// Puts a key where it belongs in its kind's queue: it is due when its first task is, or, while it is
    /// held, when the last lease on it ends.
    fn place_key(&mut self, kind: &str, key: &ResourceKey) {
        let Some(keys) = self.keys.get_mut(kind) else {
            return;
        };
        let Some(queue) = keys.get_mut(key) else { return };
        let slots = self.queues.entry(kind.to_owned()).or_default();
        if let Some(place) = queue.place.take() {
            slots.remove(&place);
        }
        let Some((first, created_at, seq)) = queue.tasks.first() else {
            keys.remove(key);
            return;
        };
        let leases = queue
            .leased
            .iter()
            .filter_map(|seq| self.tasks[&self.ids[seq]].1.state.due());
        let place = (leases.max().unwrap_or(*first), *created_at, *seq);
        slots.insert(place, Slot::Key(key.clone()));
        queue.place = Some(place);
    }
}
