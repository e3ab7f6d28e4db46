//! The validation of a recurrence, beyond the syntax of its rule.

use chrono::{Datelike, NaiveDateTime};

use crate::error::{Argument, RecurrenceError};
use crate::local::Expansion;
use crate::local::civil::LAST_YEAR;
use crate::moment::{LOCAL_FORMAT, Moment, local_to_second};
use crate::policy::{Gap, Missed};
use crate::recurrence::{Parts, Recurrence};
use crate::rule::parse::parse;
use crate::rule::{Rule, Until};

/// Parses a rule. Rejects a rule that has no occurrence for any start.
pub(crate) fn rule(text: &str) -> Result<Rule, Vec<RecurrenceError>> {
    let rule = parse(text)?;
    if Expansion::is_possible(&rule) {
        Ok(rule)
    } else {
        Err(vec![RecurrenceError::of_rule(text, NEVER)])
    }
}

/// Returns the first of several errors, for an interface that reports only one.
pub(crate) fn first_error(errors: Vec<RecurrenceError>) -> RecurrenceError {
    errors
        .into_iter()
        .next()
        .unwrap_or_else(|| RecurrenceError::of_rule("", NEVER))
}

const NEVER: &str = "this rule never occurs";

impl Recurrence {
    /// Checks that the recurrence has an occurrence and that its dates exist.
    ///
    /// A recurrence that fails this check can still be used, but it has fewer occurrences than it appears to
    /// have.
    ///
    /// # Errors
    ///
    /// Returns an error in these cases; if there are several errors, the first:
    ///
    /// - The rule does not occur from its start on: `UNTIL` is before `dtstart`, `INTERVAL` skips every
    ///   period with an occurrence, or every occurrence is excluded.
    /// - A given local time is skipped by the clocks, and the policy is [`Gap::Skip`].
    /// - The year of the start is not from 1 to 9999.
    /// - [`Missed::All`] has a maximum of 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use oncetask_recurrence::Recurrence;
    ///
    /// let ended = Recurrence::new("FREQ=DAILY;UNTIL=20250101")?.starting_at("2026-01-01T00:00:00".parse()?);
    /// let error = ended.validate().unwrap_err();
    /// assert_eq!(error.reason(), "this rule never occurs: `UNTIL` is before `dtstart`");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn validate(&self) -> Result<(), RecurrenceError> {
        let errors = self.validation_errors();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(first_error(errors))
        }
    }

    /// Returns all errors that [`validate`](Self::validate) looks for.
    pub(crate) fn validation_errors(&self) -> Vec<RecurrenceError> {
        let parts = self.parts();
        let mut errors: Vec<_> = parts.skipped_dates().chain(parts.zero_missed()).collect();
        errors.extend(
            self.local_emptiness()
                .or_else(|| errors.is_empty().then(|| self.emptiness()).flatten()),
        );
        errors
    }

    /// Returns an error if the rule has no local time from its start on. Clock changes are disregarded.
    pub(crate) fn local_emptiness(&self) -> Option<RecurrenceError> {
        let parts = self.parts();
        let start = parts.start?;
        if !(1..=LAST_YEAR).contains(&start.year()) {
            let reason = "the year of the start must be from 1 to 9999";
            return Some(RecurrenceError::new(
                Argument::Start,
                start.format(LOCAL_FORMAT),
                reason,
            ));
        }
        if parts.ends_before(start) {
            return Some(parts.never(": `UNTIL` is before `dtstart`"));
        }
        match self.plan()?.first_local() {
            Some(_) => None,
            None => Some(parts.never(&parts.reason_of_emptiness())),
        }
    }

    /// Returns an error if the recurrence has a start but no occurrence.
    fn emptiness(&self) -> Option<RecurrenceError> {
        let parts = self.parts();
        if parts.start.is_none() || self.first().is_some() {
            return None;
        }
        if parts.exdates.is_empty() && parts.rule.until.is_some() {
            Some(parts.never(&parts.reason_of_emptiness()))
        } else {
            Some(parts.never(": every occurrence is excluded by `exdates` or skipped by the clocks"))
        }
    }
}

impl Parts {
    fn never(&self, why: &str) -> RecurrenceError {
        RecurrenceError::of_rule(&self.text, format!("{NEVER}{why}"))
    }

    fn ends_before(&self, start: NaiveDateTime) -> bool {
        let start = local_to_second(start);
        match self.rule.until {
            None => false,
            Some(Until::Local(until)) => until < start,
            Some(Until::Instant(until)) => self.clock().instants(start).all(|instant| until < instant),
        }
    }

    fn reason_of_emptiness(&self) -> String {
        match (self.rule.until, self.rule.interval) {
            (Some(_), _) => " before its `UNTIL`".to_owned(),
            (None, 1) => " on or after its `dtstart`".to_owned(),
            (None, interval) => {
                format!(" in the periods that `INTERVAL={interval}` selects, counted from its `dtstart`")
            }
        }
    }

    fn zero_missed(&self) -> Option<RecurrenceError> {
        let reason = "`missed = all(max = 0)` runs no occurrence; write `missed = skip`";
        (self.missed == Missed::All { max: 0 }).then(|| RecurrenceError::new(Argument::Missed, "0", reason))
    }

    /// Returns an error for each given local time that the clocks skip, if the policy leaves it without an
    /// instant.
    fn skipped_dates(&self) -> impl Iterator<Item = RecurrenceError> {
        let start = self.start.map(|start| (Argument::Start, Moment::Local(start)));
        let exdates = indexed(&self.exdates, Argument::Exdate);
        let rdates = indexed(&self.rdates, Argument::Rdate);
        start
            .into_iter()
            .chain(exdates)
            .chain(rdates)
            .filter(|(_, date)| self.is_lost(*date))
            .map(|(argument, date)| {
                let reason = format!(
                    "the clocks in {} skip this local time; choose another time, or set `gap = shift`",
                    self.tz
                );
                RecurrenceError::new(argument, date, reason)
            })
    }

    fn is_lost(&self, date: Moment) -> bool {
        match date {
            Moment::Local(local) => self.gap == Gap::Skip && self.clock().skips(local_to_second(local)),
            Moment::Instant(_) => false,
        }
    }
}

/// Returns the dates, each with the argument for an error about it.
fn indexed(dates: &[Moment], argument: fn(usize) -> Argument) -> impl Iterator<Item = (Argument, Moment)> {
    dates
        .iter()
        .enumerate()
        .map(move |(index, date)| (argument(index), *date))
}
