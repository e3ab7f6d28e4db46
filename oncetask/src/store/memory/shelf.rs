//! The tasks of one environment in memory.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::queue::{self, Kind, Queue, Slot};
use crate::store::{Claim, ClaimedTask, Demand};
use crate::task::transition::{self, Phase};
use crate::task::{Lease, LeaseToken, ResourceKey, Task, TaskId};

#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// Tasks that are created one after the other lie beside each other, and are likely claimed so.
    entries: Vec<Option<Entry>>,
    /// Where a task was deleted.
    free: Vec<usize>,
    places: HashMap<TaskId, usize>,
    /// How many tasks were ever created.
    created: u64,
    queue: Queue,
}

/// A task on the shelf.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) task: Task,
    /// Its place in the order of arrival.
    pub(super) seq: u64,
    pub(super) kind: Kind,
}

impl Shelf {
    pub(super) fn get(&self, id: &TaskId) -> Option<&Task> {
        self.at(*self.places.get(id)?)
    }

    pub(super) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.entries.iter().flatten().map(|entry| &entry.task)
    }

    fn at(&self, at: usize) -> Option<&Task> {
        self.entries[at].as_ref().map(|entry| &entry.task)
    }

    /// Adds a task, unless its id is taken: then by this one.
    pub(super) fn insert(&mut self, task: Task) -> Result<(), &Task> {
        if let Some(at) = self.places.get(task.id()) {
            return Err(self.at(*at).expect("what has a place is there"));
        }
        self.created += 1;
        let at = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        self.places.insert(task.id().clone(), at);
        let kind = self.queue.number(&task.spec.kind);
        let entry = Entry {
            task,
            seq: self.created,
            kind,
        };
        self.queue.add(at, &entry);
        self.entries[at] = Some(entry);
        Ok(())
    }

    /// Changes a task and its place in the queue. `None` when there is none.
    pub(super) fn update<T>(&mut self, id: &TaskId, change: impl FnOnce(&mut Task) -> T) -> Option<T> {
        let at = *self.places.get(id)?;
        self.update_at(at, change)
    }

    fn update_at<T>(&mut self, at: usize, change: impl FnOnce(&mut Task) -> T) -> Option<T> {
        let entry = self.entries[at].as_mut()?;
        self.queue.remove(at, entry);
        let answer = change(&mut entry.task);
        self.queue.add(at, entry);
        Some(answer)
    }

    pub(super) fn remove(&mut self, id: &TaskId) -> Option<Task> {
        let at = self.places.remove(id)?;
        let entry = self.entries[at].take()?;
        self.queue.remove(at, &entry);
        self.free.push(at);
        Some(entry.task)
    }

    /// When the next task may be claimed that is wanted.
    pub(super) fn next_due(&self, demand: &Demand) -> Option<DateTime<Utc>> {
        let kinds = self.queue.numbers(demand);
        let (due, _) = self.queue.head(&kinds, demand.generators_only)?;
        DateTime::from_timestamp_millis(due)
    }

    /// Claims what is due, as a [`Demand`] says.
    pub(super) fn claim(
        &mut self,
        place: usize,
        demand: &Demand,
        owner: &Arc<str>,
        now: DateTime<Utc>,
    ) -> Vec<Claim> {
        let kinds = self.queue.numbers(demand);
        let mut claims = Vec::new();
        while claims.len() < demand.max_claims {
            let head = self.queue.head(&kinds, demand.generators_only);
            let Some((_, slot)) = head.filter(|(due, _)| *due <= queue::millis(now)) else {
                break;
            };
            let tasks = match slot {
                Slot::Task(at) => Vec::from_iter(self.lease(*at, demand, owner, now)),
                Slot::Key(kind, key) => {
                    let group = self.group(*kind, key, demand.max_group, now);
                    let lease = |at| self.lease(at, demand, owner, now);
                    group.into_iter().filter_map(lease).collect()
                }
            };
            claims.push(Claim { demand: place, tasks });
        }
        claims
    }

    /// The due tasks of a key that one claim takes: several, unless the first is to be cleaned up after.
    fn group(&self, kind: Kind, key: &ResourceKey, group: usize, now: DateTime<Utc>) -> Vec<usize> {
        let of_key = self.queue.of_key(kind, key);
        let mut due = of_key
            .filter_map(|at| Some((at, &self.at(at)?.state)))
            .filter(|(_, state)| transition::is_due(state, now));
        let Some((first, state)) = due.next() else {
            return Vec::new();
        };
        let mut group_of = vec![first];
        if transition::next_phase(state) == Phase::Run {
            let rest = due.filter(|(_, state)| transition::next_phase(state) == Phase::Run);
            group_of.extend(rest.take(group.saturating_sub(1)).map(|(at, _)| at));
        }
        group_of
    }

    fn lease(
        &mut self,
        at: usize,
        demand: &Demand,
        owner: &Arc<str>,
        now: DateTime<Utc>,
    ) -> Option<ClaimedTask> {
        let until = now + demand.lease;
        self.update_at(at, |task| {
            let lease = Lease {
                token: LeaseToken::random(),
                until,
                owner: owner.clone(),
                phase: transition::next_phase(&task.state),
            };
            let orphaned = transition::claim(task, lease, now);
            ClaimedTask {
                task: task.clone(),
                orphaned,
            }
        })
    }
}
