use chrono::{DateTime, TimeZone, Utc};

use super::Recurrence;

/// When a task runs. A task is never both delayed and recurring.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives while one task is created, and people write it"
)]
#[non_exhaustive]
pub enum Schedule {
    /// As soon as a worker is free.
    #[default]
    Now,
    /// Once, not before this moment.
    At(DateTime<Utc>),
    /// Again and again: each occurrence is a task of its own.
    Recurring(Recurrence),
}

/// The type of a field marked `#[run_at]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an instant at which a task can run",
    label = "not an instant",
    note = "`#[run_at]` takes a `chrono::DateTime<_>`, a `SystemTime` or an `Option` of one"
)]
pub trait RunAt {
    /// The schedule this moment stands for.
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
