use super::Schedule;

pub use oncetask_recurrence::{
    Argument, Gap, Missed, Moment, Occurrences, Overlap, Recurrence, RecurrenceError, Tz, parse_tz, preview,
    preview_after,
};

/// The type of a field marked `#[recurrence]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a recurrence",
    label = "not a recurrence",
    note = "`#[recurrence]` takes a `Recurrence`, or an `Option<Recurrence>` for a task that may not recur"
)]
pub trait Recurs {
    /// The schedule this recurrence stands for.
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

/// Whether a stored recurrence is the one in the code. Where the code gives no start, the stored one has the
/// instant at which it was created.
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
    fn a_rule_without_a_start_is_the_stored_one_whenever_that_began() {
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
