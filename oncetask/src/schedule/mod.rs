//! The schedules of tasks: instants and recurrence rules.

mod instant;
mod recurrence;

pub use self::instant::{RunAt, Schedule};
pub(crate) use self::recurrence::is_same_rule;
pub use self::recurrence::{
    Argument, Gap, Missed, Moment, Occurrences, Overlap, Recurrence, RecurrenceError, Recurs, Zone,
    ZoneOffset, preview, preview_after,
};
