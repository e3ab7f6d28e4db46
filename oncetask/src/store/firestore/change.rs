//! What is asked for from outside: cancelling, resetting, deleting, and another rule for a generator.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::time::sleep;

use super::codec::Stored;
use super::documents::update;
use super::join_all::join_all;
use super::operations::Operations;
use super::proto::{Precondition, remove};
use super::queries;
use super::query::MAX_IN;
use super::retry::{Failure, backoff};
use super::writer::WriteOutcome;
use crate::store::Action;
use crate::task::transition::{self, Change};
use crate::task::{Task, TaskId};

/// How many changes are made at the same time.
const AT_ONCE: usize = 64;

/// An id, and how often it was given before.
type Place = (TaskId, usize);

/// What a change would leave of a task.
enum After {
    Stays(Box<Task>),
    Goes,
}

impl Operations {
    pub(super) async fn change(
        self: Arc<Self>,
        ids: Vec<TaskId>,
        action: Action,
        now: DateTime<Utc>,
    ) -> Result<Vec<Change>, Failure> {
        let mut changes = HashMap::new();
        for ids in rounds(&ids) {
            for some in ids.chunks(AT_ONCE) {
                changes.extend(self.change_some(some, &action, now).await?);
            }
        }
        let missing = |change: &Change| *change == Change::NotFound;
        let missing: Vec<TaskId> = changes
            .iter()
            .filter(|(_, change)| missing(change))
            .map(|((id, _), _)| id.clone())
            .collect();
        let elsewhere = self.elsewhere(&missing).await?;
        let answer = |place: Place| match changes[&place] {
            Change::NotFound if elsewhere.contains(&place.0) => Change::OtherEnvironment,
            change => change,
        };
        Ok(places(&ids).into_iter().map(answer).collect())
    }

    async fn change_some(
        self: &Arc<Self>,
        places: &[Place],
        action: &Action,
        now: DateTime<Utc>,
    ) -> Result<Vec<(Place, Change)>, Failure> {
        let names: Vec<_> = places
            .iter()
            .filter_map(|(id, _)| self.documents.name(id).ok())
            .collect();
        let mut read = self.documents.read(&names).await?;
        let changes = places.iter().map(|place| {
            let id = &place.0;
            let stored = self.documents.name(id).ok().and_then(|name| {
                let stored = self.documents.in_this_env(&name, read.remove(&name)?)?;
                (stored.task.id() == id).then_some(stored)
            });
            let (operations, place, action) = (self.clone(), place.clone(), action.clone());
            async move {
                let change = match stored {
                    None => Ok(Change::NotFound),
                    Some(stored) => operations.change_one(stored, &action, now).await,
                };
                change.map(|change| (place, change))
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
                After::Stays(task) => update(&stored, task, &stored.marks),
                After::Goes => remove(stored.name.clone(), Precondition::Unchanged(stored.update_time)),
            };
            let ambiguous = match self.documents.write_one(write).await {
                WriteOutcome::Stored(_) => {
                    self.changed(&stored.task, &after);
                    return Ok(Change::Applied);
                }
                WriteOutcome::Failed(failure) => return Err(failure),
                WriteOutcome::Refused { ambiguous } => ambiguous,
            };
            let found = self.documents.read_one(&stored.name).await?;
            match (found, &after) {
                (None, After::Goes) if ambiguous => return Ok(Change::Applied),
                (None, _) => return Ok(Change::NotFound),
                (Some(found), After::Stays(task)) if ambiguous && found.task == **task => {
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
                    self.documents.notifier.notify_stopped(std::slice::from_ref(id));
                }
                if task.is_done() {
                    self.documents.notifier.notify_ended(id);
                }
                self.claims.announce_due(task);
            }
            After::Goes => {
                self.documents.notifier.notify_stopped(std::slice::from_ref(id));
                self.documents.notifier.notify_ended(id);
            }
        }
        self.documents.notifier.notify_due(before.kind());
    }

    /// Those of these ids that belong to tasks of other environments.
    async fn elsewhere(&self, ids: &[TaskId]) -> Result<Vec<TaskId>, Failure> {
        let ids: Vec<_> = ids.iter().map(|id| id.as_str().to_owned()).collect();
        let mut elsewhere = Vec::new();
        for ids in ids.chunks(MAX_IN) {
            let (found, _) = self.documents.query_tasks(&queries::anywhere(ids)).await?;
            let others = found
                .into_iter()
                .filter(|stored| stored.env != self.documents.env);
            elsewhere.extend(others.map(|stored| stored.task.spec.id));
        }
        Ok(elsewhere)
    }
}

fn places(ids: &[TaskId]) -> Vec<Place> {
    let mut given: HashMap<&TaskId, usize> = HashMap::new();
    let place = |id| {
        let before = given.entry(id).or_default();
        *before += 1;
        (id.clone(), *before - 1)
    };
    ids.iter().map(place).collect()
}

/// The ids in rounds, each of which has each id once.
fn rounds(ids: &[TaskId]) -> Vec<Vec<Place>> {
    let mut rounds: Vec<Vec<Place>> = Vec::new();
    for place in places(ids) {
        if rounds.len() == place.1 {
            rounds.push(Vec::new());
        }
        rounds[place.1].push(place);
    }
    rounds
}

fn apply(task: &Task, action: &Action, now: DateTime<Utc>) -> (Change, After) {
    let mut after = task.clone();
    let change = match action {
        Action::Cancel => transition::cancel(&mut after, now),
        Action::Reset => transition::reset(&mut after, now),
        Action::ReplaceRule { rule, next } => transition::replace_rule(&mut after, rule, *next),
        Action::Delete => return (Change::Applied, After::Goes),
    };
    (change, After::Stays(Box::new(after)))
}
