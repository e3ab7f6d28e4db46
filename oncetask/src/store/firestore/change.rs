//! What is asked for from outside: cancelling, resetting, deleting, and another rule for a generator.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::time::sleep;

use super::codec::Stored;
use super::find::MAX_IN;
use super::inner::Inner;
use super::join::join_all;
use super::proto::{If, remove};
use super::queries;
use super::retry::{Failure, backoff};
use super::writer::Written;
use crate::store::Action;
use crate::task::transition::{self, Change};
use crate::task::{Task, TaskId};

/// How many changes are made at the same time.
const AT_ONCE: usize = 64;

/// What a change would leave of a task.
enum After {
    Stays(Box<Task>),
    Goes,
}

impl Inner {
    pub(super) async fn change(
        self: Arc<Self>,
        ids: Vec<TaskId>,
        action: Action,
        now: DateTime<Utc>,
    ) -> Result<Vec<Change>, Failure> {
        let mut unique = ids.clone();
        unique.sort_unstable();
        unique.dedup();
        let mut changes = HashMap::new();
        for ids in unique.chunks(AT_ONCE) {
            changes.extend(self.change_some(ids, &action, now).await?);
        }
        let missing: Vec<_> = unique
            .into_iter()
            .filter(|id| changes[id] == Change::NotFound)
            .collect();
        for id in self.elsewhere(&missing).await? {
            changes.insert(id, Change::OtherEnvironment);
        }
        Ok(ids.iter().map(|id| changes[id]).collect())
    }

    async fn change_some(
        self: &Arc<Self>,
        ids: &[TaskId],
        action: &Action,
        now: DateTime<Utc>,
    ) -> Result<Vec<(TaskId, Change)>, Failure> {
        let names: Vec<_> = ids.iter().filter_map(|id| self.name(id).ok()).collect();
        let mut read = self.read(&names).await?;
        let changes = ids.iter().map(|id| {
            let stored = self.name(id).ok().and_then(|name| {
                let stored = self.ours(&name, read.remove(&name)?)?;
                (stored.task.id() == id).then_some(stored)
            });
            let (inner, id, action) = (self.clone(), id.clone(), action.clone());
            async move {
                let change = match stored {
                    None => Ok(Change::NotFound),
                    Some(stored) => inner.change_one(stored, &action, now).await,
                };
                change.map(|change| (id, change))
            }
        });
        join_all(changes).await.into_iter().collect()
    }

    async fn change_one(
        &self,
        mut stored: Stored,
        action: &Action,
        now: DateTime<Utc>,
    ) -> Result<Change, Failure> {
        for attempt in 1.. {
            let (change, after) = apply(&stored.task, action, now);
            if change != Change::Applied {
                return Ok(change);
            }
            let write = match &after {
                After::Stays(task) => self.update(&stored, task, &stored.marks),
                After::Goes => remove(stored.name.clone(), If::Unchanged(stored.update_time)),
            };
            let doubtful = match self.write_one(write).await {
                Written::Stored(_) => {
                    self.changed(&stored.task, &after);
                    return Ok(Change::Applied);
                }
                Written::Failed(failure) => return Err(failure),
                Written::Refused { doubtful } => doubtful,
            };
            let found = self.read_one(&stored.name).await?;
            match (found, &after) {
                (None, After::Goes) if doubtful => return Ok(Change::Applied),
                (None, _) => return Ok(Change::NotFound),
                (Some(found), After::Stays(task)) if doubtful && found.task == **task => {
                    self.changed(&stored.task, &after);
                    return Ok(Change::Applied);
                }
                (Some(found), _) => stored = found,
            }
            // Somebody writes the document again and again: not in step with us.
            sleep(backoff(attempt) / 4).await;
        }
        unreachable!("attempts end by the document coming to rest")
    }

    /// Tells those who wait in this process.
    fn changed(&self, before: &Task, after: &After) {
        let id = before.id();
        match after {
            After::Stays(task) => {
                if task.state.cancelled_at.is_some() {
                    self.bell.stopped(std::slice::from_ref(id));
                }
                if task.is_done() {
                    self.bell.ended(id);
                }
                self.expect(task);
            }
            After::Goes => {
                self.bell.stopped(std::slice::from_ref(id));
                self.bell.ended(id);
            }
        }
        self.bell.due(before.kind());
    }

    /// Those of these ids that belong to tasks of other environments.
    async fn elsewhere(&self, ids: &[TaskId]) -> Result<Vec<TaskId>, Failure> {
        let ids: Vec<_> = ids.iter().map(|id| id.as_str().to_owned()).collect();
        let mut elsewhere = Vec::new();
        for ids in ids.chunks(MAX_IN) {
            let (found, _) = self.find(&queries::anywhere(ids)).await?;
            let others = found.into_iter().filter(|stored| stored.env != self.env);
            elsewhere.extend(others.map(|stored| stored.task.spec.id));
        }
        Ok(elsewhere)
    }
}

fn apply(task: &Task, action: &Action, now: DateTime<Utc>) -> (Change, After) {
    let mut after = task.clone();
    let change = match action {
        Action::Cancel => transition::cancel(&mut after, now),
        Action::Reset => transition::reset(&mut after, now),
        Action::Follow { rule, next } => transition::follow(&mut after, rule, *next),
        Action::Delete => return (Change::Applied, After::Goes),
    };
    (change, After::Stays(Box::new(after)))
}
