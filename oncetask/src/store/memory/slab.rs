//! The tasks of one environment, in a slab, and their queue.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::queue::{self, KindIndex, Queue, QueueItem};
use crate::store::{Claim, ClaimedTask, Demand};
use crate::task::transition::{self, Phase};
use crate::task::{Lease, LeaseToken, ResourceKey, Task, TaskId};

/// The tasks of one environment. Each has an index, which stays the same while the task exists.
#[derive(Debug, Default)]
pub(super) struct Slab {
    /// The tasks by index. Tasks that are created one after another are neighbours, and are probably claimed one
    /// after another too.
    entries: Vec<Option<Entry>>,
    /// The indices of deleted tasks, for reuse.
    free: Vec<usize>,
    indices: HashMap<TaskId, usize>,
    /// The number of tasks that were ever created.
    created: u64,
    queue: Queue,
}

/// A stored task.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) task: Task,
    /// The task's number in the order of creation. It orders tasks with equal instants.
    pub(super) seq: u64,
    pub(super) kind: KindIndex,
}

impl Slab {
    pub(super) fn get(&self, id: &TaskId) -> Option<&Task> {
        self.task_at(*self.indices.get(id)?)
    }

    pub(super) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.entries.iter().flatten().map(|entry| &entry.task)
    }

    fn task_at(&self, index: usize) -> Option<&Task> {
        self.entries[index].as_ref().map(|entry| &entry.task)
    }

    /// Adds a task.
    ///
    /// # Errors
    ///
    /// Returns the stored task if the id is taken.
    pub(super) fn insert(&mut self, task: Task) -> Result<(), &Task> {
        if let Some(index) = self.indices.get(task.id()) {
            return Err(self.task_at(*index).expect("an indexed task is stored"));
        }
        self.created += 1;
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        self.indices.insert(task.id().clone(), index);
        let kind = self.queue.intern_kind(&task.spec.kind);
        let entry = Entry {
            task,
            seq: self.created,
            kind,
        };
        self.queue.add(index, &entry);
        self.entries[index] = Some(entry);
        Ok(())
    }

    /// Changes a task and its position in the queue. Returns `None` if the task does not exist.
    pub(super) fn update<T>(&mut self, id: &TaskId, change: impl FnOnce(&mut Task) -> T) -> Option<T> {
        let index = *self.indices.get(id)?;
        self.update_at(index, change)
    }

    fn update_at<T>(&mut self, index: usize, change: impl FnOnce(&mut Task) -> T) -> Option<T> {
        let entry = self.entries[index].as_mut()?;
        self.queue.remove(index, entry);
        let result = change(&mut entry.task);
        self.queue.add(index, entry);
        Some(result)
    }

    pub(super) fn remove(&mut self, id: &TaskId) -> Option<Task> {
        let index = self.indices.remove(id)?;
        let entry = self.entries[index].take()?;
        self.queue.remove(index, &entry);
        self.free.push(index);
        Some(entry.task)
    }

    /// Returns the due time of the next task that a demand asks for.
    pub(super) fn next_due(&self, demand: &Demand) -> Option<DateTime<Utc>> {
        let kinds = self.queue.known_kinds(demand);
        let (due, _) = self.queue.first(&kinds, demand.generators_only)?;
        DateTime::from_timestamp_millis(due)
    }

    /// Claims due tasks for the demand with this index in the request.
    pub(super) fn claim(
        &mut self,
        demand_index: usize,
        demand: &Demand,
        owner: &Arc<str>,
        now: DateTime<Utc>,
    ) -> Vec<Claim> {
        let kinds = self.queue.known_kinds(demand);
        let mut claims = Vec::new();
        while claims.len() < demand.max_claims {
            let first = self.queue.first(&kinds, demand.generators_only);
            let Some((_, item)) = first.filter(|(due, _)| *due <= queue::millis(now)) else {
                break;
            };
            let tasks = match item {
                QueueItem::Task(index) => Vec::from_iter(self.lease(*index, demand, owner, now)),
                QueueItem::Key(kind, key) => {
                    let group = self.group(*kind, key, demand.max_group, now);
                    let lease = |index| self.lease(index, demand, owner, now);
                    group.into_iter().filter_map(lease).collect()
                }
            };
            claims.push(Claim {
                demand: demand_index,
                tasks,
            });
        }
        claims
    }

    /// Returns the due tasks of a key that one claim takes, at most `max_group`. A task in its cleanup phase is
    /// claimed alone.
    fn group(&self, kind: KindIndex, key: &ResourceKey, max_group: usize, now: DateTime<Utc>) -> Vec<usize> {
        let of_key = self.queue.tasks_of_key(kind, key);
        let mut due = of_key
            .filter_map(|index| Some((index, &self.task_at(index)?.state)))
            .filter(|(_, state)| transition::is_due(state, now));
        let Some((first, state)) = due.next() else {
            return Vec::new();
        };
        let mut group = vec![first];
        if transition::next_phase(state) == Phase::Run {
            let rest = due.filter(|(_, state)| transition::next_phase(state) == Phase::Run);
            group.extend(rest.take(max_group.saturating_sub(1)).map(|(index, _)| index));
        }
        group
    }

    /// Gives a task a new lease.
    fn lease(
        &mut self,
        index: usize,
        demand: &Demand,
        owner: &Arc<str>,
        now: DateTime<Utc>,
    ) -> Option<ClaimedTask> {
        let until = now + demand.lease;
        self.update_at(index, |task| {
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
