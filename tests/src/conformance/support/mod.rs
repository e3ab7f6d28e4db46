//! The vocabulary of the cases: instants, drafts of tasks, demands, and handles of a store.

mod draft;
mod handle;

use chrono::{DateTime, Utc};
use oncetask::Recurrence;
use oncetask::store::Demand;

pub(super) use self::draft::{Draft, task, tasks};
pub(super) use self::handle::{Backend, StoreHandle};
pub(super) use crate::harness::claims::{LEASE, complete, extension, finish, ids, leased_until, token};

/// The kind of a task unless the case chooses another.
pub(super) const KIND: &str = "Work";

/// Returns the instant this number of seconds after the beginning of a case, which lies in the past.
pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    millis(seconds * 1000)
}

/// Returns the instant this number of milliseconds after the beginning of a case.
pub(super) fn millis(millis: i64) -> DateTime<Utc> {
    const BEGINNING: i64 = 1_704_164_645_000;
    DateTime::from_timestamp_millis(BEGINNING + millis).expect("an instant near 2024")
}

/// Returns a rule for generators that is anchored at the beginning of a case.
pub(super) fn rule(text: &str) -> Recurrence {
    let rule = Recurrence::new(text).expect("a valid rule");
    rule.anchored_at(at(0))
}

/// Returns a demand for one claim of one task of a kind.
pub(super) fn demand(kind: &str) -> Demand {
    Demand::new([kind], LEASE)
}

/// Returns a demand for this number of claims of one task.
pub(super) fn up_to(claims: usize) -> Demand {
    demand(KIND).max_claims(claims)
}

/// Returns a demand for one group of at most this number of tasks.
pub(super) fn group_of(tasks: usize) -> Demand {
    demand(KIND).max_group(tasks)
}
