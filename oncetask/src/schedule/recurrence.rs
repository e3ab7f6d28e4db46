use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A rule by which a task recurs, as in RFC 5545.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recurrence {
    rule: String,
}

impl Recurrence {
    /// The first occurrence after an instant.
    #[must_use]
    pub fn after(&self, _at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        None
    }
    /// The first occurrence.
    #[must_use]
    pub fn first(&self) -> Option<DateTime<Utc>> {
        None
    }
    /// Whether the other is this rule.
    #[must_use]
    pub fn is_same_rule(&self, other: &Self) -> bool {
        self == other
    }
    /// Missed.
    #[must_use]
    pub fn missed_policy(&self) -> Missed {
        Missed::One
    }
    /// With a start.
    #[must_use]
    pub fn anchored_at(&self, _at: DateTime<Utc>) -> Self {
        self.clone()
    }
}

impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rule)
    }
}

/// Missed.
#[derive(Clone, Copy, Debug)]
pub enum Missed {
    /// One.
    One,
    /// All.
    All {
        /// Max.
        max: u32,
    },
    /// None.
    Skip,
}

/// The type of a field marked `#[recurrence]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a recurrence",
    label = "not a recurrence",
    note = "a field marked `#[recurrence]` is a `Recurrence`, or an `Option<Recurrence>` for a task that may not recur"
)]
pub trait Recurs {
    /// The schedule this recurrence stands for.
    fn schedule(&self) -> crate::Schedule;
}

impl Recurs for Recurrence {
    fn schedule(&self) -> crate::Schedule {
        crate::Schedule::Recurring(self.clone())
    }
}

impl Recurs for Option<Recurrence> {
    fn schedule(&self) -> crate::Schedule {
        self.as_ref().map_or(crate::Schedule::Now, Recurs::schedule)
    }
}
