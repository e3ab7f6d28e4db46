//! The tasks of one environment in memory, and the queue over them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::store::{Claim, ClaimedTask, Want};
use crate::task::transition::{self, Phase};
use crate::task::{Lease, LeaseToken, ResourceKey, Task, TaskId};

/// A place in a queue: when it is due, when it was created, and the place in the order of arrival.
type Place = (DateTime<Utc>, DateTime<Utc>, u64);

/// What may be claimed, and when.
type Queue = BTreeMap<Place, Slot>;

#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// By their places in the order of arrival.
    tasks: HashMap<u64, Task>,
    seqs: HashMap<TaskId, u64>,
    created: u64,
    /// For each kind what may be claimed.
    queues: HashMap<Arc<str>, Queue>,
    /// Of these, the generators.
    generators: HashMap<Arc<str>, Queue>,
    /// For each kind its keys with tasks that are not done.
    keys: HashMap<Arc<str>, HashMap<ResourceKey, KeyQueue>>,
}

/// What stands in a queue: a task, or a resource key on behalf of all its tasks. So a key that is held, or
/// has a long backlog, costs a claim of other keys nothing.
#[derive(Clone, Debug)]
enum Slot {
    Task,
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
        self.tasks.get(self.seqs.get(id)?)
    }

    pub(super) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    /// Adds a task, unless its id is taken: then by this one.
    pub(super) fn insert(&mut self, task: Task) -> Result<(), &Task> {
        if let Some(seq) = self.seqs.get(task.id()) {
            return Err(&self.tasks[seq]);
        }
        self.created += 1;
        self.seqs.insert(task.id().clone(), self.created);
        self.tasks.insert(self.created, task);
        self.enqueue(self.created);
        Ok(())
    }

    /// Changes a task and its place in the queue. `None` when there is none.
    pub(super) fn update<T>(&mut self, id: &TaskId, change: impl FnOnce(&mut Task) -> T) -> Option<T> {
        let seq = *self.seqs.get(id)?;
        self.update_at(seq, change)
    }

    fn update_at<T>(&mut self, seq: u64, change: impl FnOnce(&mut Task) -> T) -> Option<T> {
        self.dequeue(seq)?;
        let answer = change(self.tasks.get_mut(&seq)?);
        self.enqueue(seq);
        Some(answer)
    }

    pub(super) fn remove(&mut self, id: &TaskId) -> Option<Task> {
        let seq = *self.seqs.get(id)?;
        self.dequeue(seq)?;
        self.seqs.remove(id);
        self.tasks.remove(&seq)
    }

    /// When the next task may be claimed that is wanted.
    pub(super) fn next_due(&self, want: &Want) -> Option<DateTime<Utc>> {
        self.head(want).map(|(_, (due, ..), _)| due)
    }

    /// Claims what is due, as a [`Want`] says.
    pub(super) fn claim(
        &mut self,
        place: usize,
        want: &Want,
        owner: &Arc<str>,
        now: DateTime<Utc>,
    ) -> Vec<Claim> {
        let mut claims = Vec::new();
        while claims.len() < want.claims {
            let Some((kind, (due, _, seq), slot)) = self.head(want) else {
                break;
            };
            if due > now {
                break;
            }
            let tasks = match slot {
                Slot::Task => Vec::from_iter(self.lease(seq, want, owner, now)),
                Slot::Key(key) => {
                    let group = self.group(kind, key, want.group, now);
                    let lease = |seq| self.lease(seq, want, owner, now);
                    group.into_iter().filter_map(lease).collect()
                }
            };
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
            let (place, slot) = queues.get(kind.as_str())?.first_key_value()?;
            Some((kind.as_str(), *place, slot))
        });
        heads.min_by_key(|(_, place, _)| *place)
    }

    /// The due tasks of a key that one claim takes: several, unless the first is to be cleaned up after.
    fn group(&self, kind: &str, key: &ResourceKey, group: usize, now: DateTime<Utc>) -> Vec<u64> {
        let waiting = &self.keys[kind][key].tasks;
        let mut due = waiting
            .iter()
            .map(|(.., seq)| (*seq, &self.tasks[seq].state))
            .filter(|(_, state)| transition::is_due(state, now));
        let Some((first, state)) = due.next() else {
            return Vec::new();
        };
        let mut group_of = vec![first];
        if transition::next_phase(state) == Phase::Run {
            let rest = due.filter(|(_, state)| transition::next_phase(state) == Phase::Run);
            group_of.extend(rest.take(group.saturating_sub(1)).map(|(seq, _)| seq));
        }
        group_of
    }

    fn lease(&mut self, seq: u64, want: &Want, owner: &Arc<str>, now: DateTime<Utc>) -> Option<ClaimedTask> {
        let until = now + want.lease;
        self.update_at(seq, |task| {
            let lease = Lease {
                token: LeaseToken::random(),
                until,
                owner: owner.clone(),
                phase: transition::next_phase(&task.state),
            };
            let silent = transition::claim(task, lease, now);
            ClaimedTask {
                task: task.clone(),
                silent,
            }
        })
    }

    fn enqueue(&mut self, seq: u64) {
        let Some(task) = self.tasks.get(&seq) else { return };
        let Some(due) = task.state.due() else { return };
        let (kind, created_at) = (&task.spec.kind, task.spec.created_at);
        let Some(key) = task.spec.held_key() else {
            let place = (due, created_at, seq);
            if task.spec.recurrence.is_some() {
                of_kind(&mut self.generators, kind).insert(place, Slot::Task);
            }
            of_kind(&mut self.queues, kind).insert(place, Slot::Task);
            return;
        };
        let queue = of_kind(&mut self.keys, kind).entry(key.clone()).or_default();
        queue.tasks.insert((task.state.wait_until, created_at, seq));
        if task.state.lease.is_some() {
            queue.leased.insert(seq);
        }
        let (kind, key) = (kind.clone(), key.clone());
        self.place_key(&kind, &key);
    }

    fn dequeue(&mut self, seq: u64) -> Option<()> {
        let task = self.tasks.get(&seq)?;
        let Some(due) = task.state.due() else {
            return Some(());
        };
        let (kind, created_at) = (&task.spec.kind, task.spec.created_at);
        let Some(key) = task.spec.held_key() else {
            let place = (due, created_at, seq);
            if task.spec.recurrence.is_some() {
                self.generators.get_mut(kind)?.remove(&place);
            }
            self.queues.get_mut(kind)?.remove(&place);
            return Some(());
        };
        let queue = self.keys.get_mut(kind)?.get_mut(key)?;
        queue.tasks.remove(&(task.state.wait_until, created_at, seq));
        queue.leased.remove(&seq);
        let (kind, key) = (kind.clone(), key.clone());
        self.place_key(&kind, &key);
        Some(())
    }

    /// Puts a key where it belongs in its kind's queue: it is due when its first task is, or, while it is
    /// held, when the last lease on it ends.
    fn place_key(&mut self, kind: &Arc<str>, key: &ResourceKey) {
        let Some(keys) = self.keys.get_mut(kind) else {
            return;
        };
        let Some(queue) = keys.get_mut(key) else { return };
        let slots = of_kind(&mut self.queues, kind);
        if let Some(place) = queue.place.take() {
            slots.remove(&place);
        }
        let Some((first, created_at, seq)) = queue.tasks.first() else {
            keys.remove(key);
            return;
        };
        let leases = queue.leased.iter().filter_map(|seq| self.tasks[seq].state.due());
        let place = (leases.max().unwrap_or(*first), *created_at, *seq);
        slots.insert(place, Slot::Key(key.clone()));
        queue.place = Some(place);
    }
}

fn of_kind<'a, T: Default>(kinds: &'a mut HashMap<Arc<str>, T>, kind: &Arc<str>) -> &'a mut T {
    kinds.entry(kind.clone()).or_default()
}
