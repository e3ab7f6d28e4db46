//! When tasks run: instants, rules, and how failed tasks are retried.

mod instant;
mod recurrence;
mod retry;

pub use self::instant::{RunAt, Schedule};
pub use self::recurrence::{Missed, Recurrence, Recurs};
pub use self::retry::Retry;
