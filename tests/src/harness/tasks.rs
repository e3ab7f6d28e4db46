//! Task types without behaviour of their own, for tests that provide the handler.

use chrono::{DateTime, Utc};
use oncetask::{OnceTask, Recurrence};
use serde::{Deserialize, Serialize};

/// A task of the kind that most tests use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, OnceTask)]
#[id("work:{name}")]
pub struct Work {
    /// The name, which is the id without its prefix.
    pub name: String,
    /// A text of any length. It is not part of the id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The resource key.
    #[resource_key]
    pub key: Option<String>,
    /// The instant before which the task does not run.
    #[run_at]
    pub at: Option<DateTime<Utc>>,
}

/// Returns a task that is due at once.
#[must_use]
pub fn work(name: impl Into<String>) -> Work {
    Work {
        name: name.into(),
        ..Work::default()
    }
}

impl Work {
    /// Sets the resource key.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the instant before which the task does not run.
    #[must_use]
    pub fn at(mut self, at: DateTime<Utc>) -> Self {
        self.at = Some(at);
        self
    }

    /// Sets the text.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }
}

/// A task of a second kind.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("other:{name}")]
pub struct Other {
    /// The name, which is the id without its prefix.
    pub name: String,
}

/// Returns a task of the second kind.
#[must_use]
pub fn other(name: impl Into<String>) -> Other {
    Other { name: name.into() }
}

/// A recurring task.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("chime:{name}")]
pub struct Chime {
    /// The name, which is the id without its prefix.
    pub name: String,
    /// The resource key.
    #[resource_key]
    pub key: Option<String>,
    /// The rule.
    #[recurrence]
    pub every: Recurrence,
}
