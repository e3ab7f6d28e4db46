//! A new task before it is stored, and its checks.

use chrono::{DateTime, Utc};

use super::OnceTask;
use crate::error::Error;
use crate::schedule::{Recurrence, Schedule};
use crate::task::{Json, ResourceKey, Task, TaskId, TaskSpec};

/// An example of the suffix that an occurrence adds to the id of its generator. Every suffix has this length.
const OCCURRENCE: &str = "_occ_2026-01-05T09:00:00Z";

/// The number of characters of an invalid id that an error shows.
const SHOWN_CHARACTERS: usize = 60;

/// A task before it is stored, with its type erased.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Draft {
    id: TaskId,
    kind: &'static str,
    resource_key: Option<ResourceKey>,
    payload: Json,
    schedule: Schedule,
}

impl Draft {
    /// Serialises a task, and checks its id, payload and resource key.
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidId`] or [`Error::InvalidTask`] if the task cannot be stored.
    pub fn of<T: OnceTask>(task: &T) -> Result<Self, Error> {
        // The payload comes first, because the id may be a digest of a field that serde cannot write.
        let payload = Json::payload_of(task).map_err(|error| Error::InvalidTask {
            id: TaskId::new(format!("new {}", T::KIND)),
            reason: format!("the payload cannot be written as JSON: {error}"),
        })?;
        let (id, schedule) = (task.id(), task.schedule());
        let max_bytes = match schedule {
            Schedule::Recurring(_) => TaskId::MAX_BYTES - OCCURRENCE.len(),
            Schedule::Now | Schedule::At(_) => TaskId::MAX_BYTES,
        };
        check_id(&id, max_bytes)?;
        let refuse = |reason: String| Error::InvalidTask {
            id: id.clone(),
            reason,
        };
        if !payload.is_object() {
            return Err(refuse(
                "the payload is not a JSON object; give the struct named fields".into(),
            ));
        }
        let (bytes, limit) = (payload.as_str().len(), Json::MAX_BYTES);
        if bytes > limit {
            return Err(refuse(format!(
                "the payload has {bytes} bytes and the limit is {limit}; store the data elsewhere and its address in the task"
            )));
        }
        let resource_key = task.resource_key();
        if let Some(key) = resource_key
            .as_ref()
            .filter(|key| key.as_str().len() > ResourceKey::MAX_BYTES)
        {
            let (bytes, limit) = (key.as_str().len(), ResourceKey::MAX_BYTES);
            return Err(refuse(format!(
                "the resource key has {bytes} bytes and the limit is {limit}; use a digest of the long part instead: `{{field:hash}}`"
            )));
        }
        Ok(Self {
            kind: T::KIND,
            resource_key,
            payload,
            schedule,
            id,
        })
    }

    /// Returns the rule of a generator.
    pub(crate) fn rule(&self) -> Option<&Recurrence> {
        match &self.schedule {
            Schedule::Recurring(rule) => Some(rule),
            Schedule::Now | Schedule::At(_) => None,
        }
    }

    /// Returns the task with this instant of creation.
    pub(crate) fn into_task(self, now: DateTime<Utc>) -> Result<Task, Error> {
        let (wait_until, recurrence) = match self.schedule {
            Schedule::Now => (now, None),
            Schedule::At(at) => (at, None),
            Schedule::Recurring(rule) => {
                let rule = rule.anchored_at(now);
                let refuse = |reason| Error::InvalidTask {
                    id: self.id.clone(),
                    reason,
                };
                rule.validate()
                    .map_err(|error| refuse(format!("its recurrence is invalid: {error}")))?;
                let first = rule.first();
                let first = first.ok_or_else(|| refuse(format!("its rule `{rule}` has no occurrence")))?;
                (first, Some(rule))
            }
        };
        let spec = TaskSpec {
            id: self.id,
            kind: self.kind.into(),
            payload: self.payload,
            resource_key: self.resource_key,
            created_at: now,
            recurrence,
            occurrence: None,
        };
        Ok(Task::new(spec, wait_until))
    }
}

fn check_id(id: &TaskId, limit: usize) -> Result<(), Error> {
    let text = id.as_str();
    let reason = match text.len() {
        0 => "the id is empty".to_owned(),
        bytes if bytes > limit => format!(
            "the id has {bytes} bytes and the limit is {limit}; use a digest of the long part instead: `{{field:hash}}`"
        ),
        _ => return Ok(()),
    };
    let mut shown: String = text.chars().take(SHOWN_CHARACTERS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    Err(Error::InvalidId { id: shown, reason })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::task::IdBuilder;

    #[derive(Serialize, Deserialize)]
    struct Grid {
        cells: HashMap<(u8, u8), u8>,
    }

    impl OnceTask for Grid {
        const KIND: &'static str = "grid";

        fn id(&self) -> TaskId {
            IdBuilder::task().literal("grid:").hash(&self.cells).id()
        }
    }

    #[test]
    fn a_field_that_json_cannot_write_is_refused_even_if_the_id_is_its_digest() {
        let cells = HashMap::from([((0, 0), 1)]);
        let error = Draft::of(&Grid { cells }).unwrap_err();
        assert_eq!(
            error.to_string(),
            "task `new grid` cannot be stored: the payload cannot be written as JSON: key must be a string"
        );
    }
}
