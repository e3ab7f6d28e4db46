//! Recurrence rules of RFC 5545 in local time: parsed, checked and followed.

mod check;
mod clock;
mod draft;
mod error;
mod local;
mod moment;
mod occurrences;
mod plan;
mod policy;
mod recurrence;
mod rule;
mod suggest;
mod wire;

pub use chrono_tz::Tz;

pub use draft::{Draft, parse_tz};
pub use error::{Argument, RecurrenceError};
pub use moment::Moment;
pub use occurrences::{Occurrences, preview, preview_after};
pub use policy::{Gap, Missed, Overlap};
pub use recurrence::Recurrence;
