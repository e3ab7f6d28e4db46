//! The schedule of a task, and the types of a field that sets a due time.

use chrono::{DateTime, TimeZone, Utc};

use super::Recurrence;

/// The schedule of a task: at once, at an instant, or recurring. A task is never both delayed and recurring.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a value lives only while one task is created, and users construct it"
)]
#[non_exhaustive]
pub enum Schedule {
    /// The task runs as soon as a worker has a free slot.
    #[default]
    Now,
    /// The task runs once, not before this instant.
    At(DateTime<Utc>),
    /// The task is a generator: each occurrence of the recurrence is a task of its own.
    Recurring(Recurrence),
}

/// The types that a field marked `#[run_at]` can have: `chrono::DateTime<_>`, `SystemTime`, or an `Option` of
/// one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an instant at which a task can run",
    label = "not an instant",
    note = "`#[run_at]` takes a `chrono::DateTime<_>`, a `SystemTime` or an `Option` of one"
)]
pub trait RunAt {
    /// Returns the schedule with this due time. The schedule of `None` is [`Schedule::Now`].
    fn schedule(&self) -> Schedule;
}

#[diagnostic::do_not_recommend]
impl<Tz: TimeZone> RunAt for DateTime<Tz> {
    fn schedule(&self) -> Schedule {
        Schedule::At(self.to_utc())
    }
}

#[diagnostic::do_not_recommend]
impl RunAt for std::time::SystemTime {
    fn schedule(&self) -> Schedule {
        Schedule::At((*self).into())
    }
}

#[diagnostic::do_not_recommend]
impl<T: RunAt> RunAt for Option<T> {
    fn schedule(&self) -> Schedule {
        self.as_ref().map_or(Schedule::Now, RunAt::schedule)
    }
}
