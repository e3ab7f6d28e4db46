//! Changes that a program requests: cancelling, resetting and deleting tasks, and replacing a generator's rule.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::time::sleep;

use super::codec::Stored;
use super::documents::update;
use super::join_all::join_all;
use super::operations::Operations;
use super::proto::{Precondition, pb, remove};
use super::queries;
use super::query::MAX_IN;
use super::retry::{Failure, backoff};
use super::writer::WriteOutcome;
use crate::store::Action;
use crate::task::transition::{self, Change};
use crate::task::{Task, TaskId};

/// The maximum number of changes that are made at the same time.
const MAX_PARALLEL_CHANGES: usize = 64;

/// An id, and the number of times that it comes before this one in the call.
type NthId = (TaskId, usize);

/// The task after a change.
enum After {
    Stays(Box<Task>),
    Deleted,
}

impl Operations {
    pub(super) async fn change(
        self: Arc<Self>,
        ids: Vec<TaskId>,
        action: Action,
        now: DateTime<Utc>,
    ) -> Result<Vec<Change>, Failure> {
        let mut changes = HashMap::new();
        for round in rounds(&ids) {
            for ids in round.chunks(MAX_PARALLEL_CHANGES) {
                changes.extend(self.change_distinct(ids, &action, now).await?);
            }
        }
        let missing: Vec<TaskId> = changes
            .iter()
            .filter(|(_, change)| **change == Change::NotFound)
            .map(|((id, _), _)| id.clone())
            .collect();
        let elsewhere = self.in_other_envs(&missing).await?;
        let answer = |nth: NthId| match changes[&nth] {
            Change::NotFound if elsewhere.contains(&nth.0) => Change::OtherEnvironment,
            change => change,
        };
        Ok(numbered(&ids).into_iter().map(answer).collect())
    }

    /// Changes tasks with distinct ids, all at the same time.
    async fn change_distinct(
        self: &Arc<Self>,
        ids: &[NthId],
        action: &Action,
        now: DateTime<Utc>,
    ) -> Result<Vec<(NthId, Change)>, Failure> {
        let documents = &self.documents;
        let names: Vec<_> = ids.iter().filter_map(|(id, _)| documents.name(id).ok()).collect();
        let mut read = documents.read(&names).await?;
        let changes = ids.iter().map(|nth| {
            let id = &nth.0;
            let stored = documents.name(id).ok().and_then(|name| {
                let stored = documents.in_this_env(&name, read.remove(&name)?)?;
                (stored.task.id() == id).then_some(stored)
            });
            let (operations, nth, action) = (self.clone(), nth.clone(), action.clone());
            async move {
                let change = match stored {
                    None => Ok(Change::NotFound),
                    Some(stored) => operations.change_one(stored, &action, now).await,
                };
                change.map(|change| (nth, change))
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
            let ambiguous = match self.documents.write_one(write_of(&stored, &after)).await {
                WriteOutcome::Stored(_) => {
                    self.notify_changed(&stored.task, &after);
                    return Ok(Change::Applied);
                }
                WriteOutcome::Failed(failure) => return Err(failure),
                WriteOutcome::Refused { ambiguous } => ambiguous,
            };
            let found = self.documents.read_one(&stored.name).await?;
            match (found, &after) {
                (None, After::Deleted) if ambiguous => return Ok(Change::Applied),
                (None, _) => return Ok(Change::NotFound),
                (Some(found), After::Stays(task)) if ambiguous && found.task == **task => {
                    self.notify_changed(&stored.task, &after);
                    return Ok(Change::Applied);
                }
                (Some(found), _) => stored = found,
            }
            // Another program keeps writing the document: the random wait takes the two out of step.
            sleep(backoff(attempt) / 4).await;
        }
        unreachable!("the loop ends by returning")
    }

    /// Notifies the subscribers of this process of a change that was made.
    fn notify_changed(&self, before: &Task, after: &After) {
        let notifier = &self.documents.notifier;
        let id = before.id();
        match after {
            After::Stays(task) => {
                if task.state.cancelled_at.is_some() {
                    notifier.notify_stopped(std::slice::from_ref(id));
                }
                if task.is_done() {
                    notifier.notify_ended(id);
                }
                self.claims.announce_due(task);
            }
            After::Deleted => {
                notifier.notify_stopped(std::slice::from_ref(id));
                notifier.notify_ended(id);
            }
        }
        notifier.notify_due(before.kind());
    }

    /// Returns those of these ids that belong to tasks of other environments.
    async fn in_other_envs(&self, ids: &[TaskId]) -> Result<HashSet<TaskId>, Failure> {
        let ids: Vec<_> = ids.iter().map(|id| id.as_str().to_owned()).collect();
        let mut elsewhere = HashSet::new();
        for ids in ids.chunks(MAX_IN) {
            let (found, _) = self.documents.query_tasks(&queries::by_ids(ids)).await?;
            let others = found
                .into_iter()
                .filter(|stored| stored.env != self.documents.env);
            elsewhere.extend(others.map(|stored| stored.task.spec.id));
        }
        Ok(elsewhere)
    }
}

/// Numbers the repetitions of each id.
fn numbered(ids: &[TaskId]) -> Vec<NthId> {
    let mut given: HashMap<&TaskId, usize> = HashMap::new();
    let number = |id| {
        let count = given.entry(id).or_default();
        *count += 1;
        (id.clone(), *count - 1)
    };
    ids.iter().map(number).collect()
}

/// Divides the ids into rounds that contain each id at most once.
fn rounds(ids: &[TaskId]) -> Vec<Vec<NthId>> {
    let mut rounds: Vec<Vec<NthId>> = Vec::new();
    for nth in numbered(ids) {
        if rounds.len() == nth.1 {
            rounds.push(Vec::new());
        }
        rounds[nth.1].push(nth);
    }
    rounds
}

fn apply(task: &Task, action: &Action, now: DateTime<Utc>) -> (Change, After) {
    let mut after = task.clone();
    let change = match action {
        Action::Cancel => transition::cancel(&mut after, now),
        Action::Reset => transition::reset(&mut after, now),
        Action::ReplaceRule { rule, next } => transition::replace_rule(&mut after, rule, *next),
        Action::Delete => return (Change::Applied, After::Deleted),
    };
    (change, After::Stays(Box::new(after)))
}

fn write_of(stored: &Stored, after: &After) -> pb::Write {
    match after {
        After::Stays(task) => update(stored, task, &stored.marks),
        After::Deleted => remove(stored.name.clone(), Precondition::Unchanged(stored.update_time)),
    }
}
