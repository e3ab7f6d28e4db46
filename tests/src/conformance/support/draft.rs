//! Drafts of tasks.

use chrono::{DateTime, Utc};
use oncetask::Recurrence;
use oncetask::task::{Json, Occurrence, ResourceKey, Task, TaskSpec};

use super::{KIND, at, millis, rule};

/// A task that a case will create.
pub(crate) struct Draft {
    spec: TaskSpec,
    wait_until: DateTime<Utc>,
}

/// Returns a task that is created and due at the beginning of the case.
pub(crate) fn task(id: impl AsRef<str>) -> Draft {
    let payload = Json::parse("{}").expect("valid JSON");
    Draft {
        spec: TaskSpec::new(id.as_ref().into(), KIND, payload, at(0)),
        wait_until: at(0),
    }
}

/// Returns tasks that are each created one millisecond after the previous one.
pub(crate) fn tasks(ids: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Draft> {
    ids.into_iter()
        .zip(0..)
        .map(|(id, index)| task(id).created(millis(index)))
        .collect()
}

impl Draft {
    pub(crate) fn kind(mut self, kind: &str) -> Self {
        self.spec.kind = kind.into();
        self
    }

    pub(crate) fn key(mut self, key: &str) -> Self {
        self.spec.resource_key = ResourceKey::new(key);
        self
    }

    pub(crate) fn due(mut self, at: DateTime<Utc>) -> Self {
        self.wait_until = at;
        self
    }

    pub(crate) fn created(mut self, at: DateTime<Utc>) -> Self {
        self.spec.created_at = at;
        self
    }

    pub(crate) fn payload(mut self, json: &str) -> Self {
        self.spec.payload = Json::parse(json).expect("valid JSON");
        self
    }

    /// Makes the task a generator with this rule, anchored at the beginning of the case.
    pub(crate) fn recurring(self, text: &str) -> Self {
        self.with_rule(rule(text))
    }

    /// Makes the task a generator with this rule.
    pub(crate) fn with_rule(mut self, rule: Recurrence) -> Self {
        self.spec.recurrence = Some(rule);
        self
    }

    pub(crate) fn occurrence_of(mut self, generator: &str, at: DateTime<Utc>) -> Self {
        self.spec.occurrence = Some(Occurrence::new(generator.into(), at));
        self
    }
}

impl From<Draft> for Task {
    fn from(draft: Draft) -> Self {
        Self::new(draft.spec, draft.wait_until)
    }
}
