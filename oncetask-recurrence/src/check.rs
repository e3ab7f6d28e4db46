//! What can be wrong with a recurrence beyond the grammar of its rule.

use chrono::{Datelike, NaiveDateTime};

use crate::error::{Argument, RecurrenceError};
use crate::local::Expansion;
use crate::local::civil::LAST_YEAR;
use crate::moment::{LOCAL, Moment, local_to_second};
use crate::policy::{Gap, Missed};
use crate::recurrence::{Parts, Recurrence};
use crate::rule::parse::parse;
use crate::rule::{Rule, Until};

/// Reads a rule and makes sure that it names any time at all.
pub(crate) fn rule(text: &str) -> Result<Rule, Vec<RecurrenceError>> {
    let rule = parse(text)?;
    if Expansion::is_possible(&rule) {
        Ok(rule)
    } else {
        Err(vec![RecurrenceError::of_rule(text, NEVER)])
    }
}

/// Of several mistakes the one to name when only one can be named.
pub(crate) fn first(errors: Vec<RecurrenceError>) -> RecurrenceError {
    errors
        .into_iter()
        .next()
        .unwrap_or_else(|| RecurrenceError::of_rule("", NEVER))
}

const NEVER: &str = "this rule never occurs";

impl Recurrence {
    /// Makes sure that the recurrence can be followed.
    ///
    /// Nothing breaks without: a recurrence with a mistake merely has fewer occurrences than it seems to.
    ///
    /// # Errors
    ///
    /// - The rule never occurs, from its start on: `UNTIL` is before `dtstart`, `INTERVAL` goes past all that
    ///   the other parts name, or every occurrence is left out.
    /// - The clocks skip a local time that was given, and [`Gap::Skip`] holds.
    /// - The start is not in the years from 1 to 9999, or [`Missed::All`] runs nothing.
    ///
    /// Of several mistakes it is the first.
    pub fn validate(&self) -> Result<(), RecurrenceError> {
        let errors = self.mistakes();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(first(errors))
        }
    }

    /// Every mistake that [`validate`](Self::validate) looks for.
    pub(crate) fn mistakes(&self) -> Vec<RecurrenceError> {
        let parts = self.parts();
        let mut errors: Vec<_> = parts.skipped_dates().chain(parts.empty_missed()).collect();
        errors.extend(
            self.emptiness()
                .or_else(|| errors.is_empty().then(|| self.exhaustion()).flatten()),
        );
        errors
    }

    /// Why the rule names no local time from the start on; what the clocks show does not matter.
    pub(crate) fn emptiness(&self) -> Option<RecurrenceError> {
        let parts = self.parts();
        let start = parts.start?;
        let never = |why: &str| Some(RecurrenceError::of_rule(&parts.text, format!("{NEVER}{why}")));
        if !(1..=LAST_YEAR).contains(&start.year()) {
            let reason = "a recurrence starts in a year from 1 to 9999";
            return Some(RecurrenceError::new(Argument::Start, start.format(LOCAL), reason));
        }
        if parts.ends_before(start) {
            return never(": `UNTIL` is before `dtstart`");
        }
        match self.plan()?.first_local() {
            Some(_) => None,
            None => never(&parts.reason_of_emptiness()),
        }
    }

    /// Why nothing is left of the rule on the clocks of its zone.
    fn exhaustion(&self) -> Option<RecurrenceError> {
        let parts = self.parts();
        if parts.start.is_none() || self.first().is_some() {
            return None;
        }
        let why = if parts.exdates.is_empty() && parts.rule.until.is_some() {
            parts.reason_of_emptiness()
        } else {
            ": all of it is left out by `exdates`, or skipped by the clocks".to_owned()
        };
        Some(RecurrenceError::of_rule(&parts.text, format!("{NEVER}{why}")))
    }
}

impl Parts {
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
            (None, 1) => " from its `dtstart` on".to_owned(),
            (None, interval) => format!(" at its `dtstart` and every {interval} periods from there"),
        }
    }

    fn empty_missed(&self) -> Option<RecurrenceError> {
        let reason = "`missed = all(max = 0)` runs nothing; write `missed = skip`";
        (self.missed == Missed::All { max: 0 }).then(|| RecurrenceError::new(Argument::Missed, "0", reason))
    }

    fn skipped_dates(&self) -> impl Iterator<Item = RecurrenceError> {
        let start = self.start.map(|start| (Argument::Start, Moment::Local(start)));
        let exdates = self
            .exdates
            .iter()
            .enumerate()
            .map(|(index, date)| (Argument::Exdate(index), *date));
        let rdates = self
            .rdates
            .iter()
            .enumerate()
            .map(|(index, date)| (Argument::Rdate(index), *date));
        start
            .into_iter()
            .chain(exdates)
            .chain(rdates)
            .filter_map(|(argument, date)| match date {
                Moment::Local(local)
                    if self.gap == Gap::Skip && self.clock().skips(local_to_second(local)) =>
                {
                    let reason = format!(
                        "clocks in {} skip this time, when daylight saving begins",
                        self.tz
                    );
                    Some(RecurrenceError::new(argument, date, reason))
                }
                _ => None,
            })
    }
}
