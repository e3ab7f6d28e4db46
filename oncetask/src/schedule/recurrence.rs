//! Recurrences: the types of the crate `oncetask-recurrence`, and the types of a field that holds a
//! recurrence.

use super::Schedule;

pub use oncetask_recurrence::{
    Argument, Gap, Missed, Moment, Occurrences, Overlap, Recurrence, RecurrenceError, Zone, ZoneOffset,
    preview, preview_after,
};

/// The types that a field marked `#[recurrence]` can have: [`Recurrence`] or `Option<Recurrence>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a recurrence",
    label = "not a recurrence",
    note = "`#[recurrence]` takes a `Recurrence`, or an `Option<Recurrence>` for a task that may not recur"
)]
pub trait Recurs {
    /// Returns the schedule with this recurrence. The schedule of `None` is [`Schedule::Now`].
    fn schedule(&self) -> Schedule;
}

#[diagnostic::do_not_recommend]
impl Recurs for Recurrence {
    fn schedule(&self) -> Schedule {
        Schedule::Recurring(self.clone())
    }
}

#[diagnostic::do_not_recommend]
impl Recurs for Option<Recurrence> {
    fn schedule(&self) -> Schedule {
        self.as_ref().map_or(Schedule::Now, Recurs::schedule)
    }
}

/// Returns whether a stored recurrence equals the recurrence in the code. If the recurrence in the code has
/// no start, any start of the stored recurrence matches, because it is the instant at which the generator was
/// created.
pub(crate) fn is_same_rule(code: &Recurrence, stored: &Recurrence) -> bool {
    match (code.dtstart(), stored.dtstart()) {
        (None, Some(start)) => code.clone().starting_at(start) == *stored,
        _ => code == stored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_without_a_start_matches_a_stored_rule_with_any_start() {
        let daily = Recurrence::new("FREQ=DAILY").unwrap();
        let stored = daily.anchored_at("2026-01-05T09:30:15.25Z".parse().unwrap());
        assert!(is_same_rule(&daily, &stored));
        let started = daily.clone().starting_at("2026-01-05T08:00:00".parse().unwrap());
        assert!(!is_same_rule(&started, &stored));
        assert!(!is_same_rule(&daily.clone().missed(Missed::Skip), &stored));
        let weekly = Recurrence::new("FREQ=WEEKLY").unwrap();
        assert!(!is_same_rule(&weekly, &stored));
    }
}
