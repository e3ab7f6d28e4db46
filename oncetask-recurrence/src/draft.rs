//! A recurrence as texts, from an attribute or a file.

use chrono::NaiveDateTime;

use crate::check;
use crate::error::{Argument, RecurrenceError};
use crate::moment::Moment;
use crate::policy::{Gap, Missed, Overlap};
use crate::recurrence::Recurrence;
use crate::zone::Zone;

/// A recurrence as texts, such as the arguments of an attribute. Reading it reports all errors at once.
///
/// # Examples
///
/// ```
/// use oncetask_recurrence::{Argument, Draft};
///
/// let draft = Draft { rule: "FREQ=FORTNIGHTLY", tz: Some("Europe/Pariss"), ..Draft::default() };
/// let errors = draft.read().unwrap_err();
/// assert_eq!(errors[0].argument(), Argument::Rule);
/// assert_eq!(errors[1].reason(), "unknown time zone `Europe/Pariss`; did you mean `Europe/Paris`?");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Draft<'a> {
    /// The rule, such as `FREQ=DAILY`.
    pub rule: &'a str,
    /// The name of the time zone; UTC if there is none.
    pub tz: Option<&'a str>,
    /// The start, a local time such as `2026-01-05T09:00:00`.
    pub dtstart: Option<&'a str>,
    /// The excluded occurrences: local times, or instants such as `2026-01-05T09:00:00Z`.
    pub exdates: Vec<&'a str>,
    /// The added occurrences: local times or instants.
    pub rdates: Vec<&'a str>,
    /// The treatment of local times that the clocks skip.
    pub gap: Gap,
    /// The treatment of local times that the clocks show twice.
    pub overlap: Overlap,
    /// The treatment of occurrences that became due while no worker ran.
    pub missed: Missed,
}

impl Draft<'_> {
    /// Parses and validates the recurrence.
    ///
    /// # Errors
    ///
    /// Returns every error, in the order of the fields: the errors of [`parse`](Self::parse) and of
    /// [`Recurrence::validate`], and an error for each of the `exdates` that is not an occurrence.
    ///
    /// # Examples
    ///
    /// ```
    /// use oncetask_recurrence::Draft;
    ///
    /// let mut draft = Draft { rule: "FREQ=DAILY", dtstart: Some("2026-01-05T09:00:00"), ..Draft::default() };
    /// assert!(draft.read().is_ok());
    /// draft.exdates = vec!["2026-01-06T10:00:00"];
    /// let errors = draft.read().unwrap_err();
    /// assert_eq!(errors[0].reason(), "`2026-01-06T10:00:00` is not an occurrence of this rule");
    /// ```
    pub fn read(&self) -> Result<Recurrence, Vec<RecurrenceError>> {
        let recurrence = self.parse()?;
        let mut errors = recurrence.validation_errors();
        if errors.is_empty() {
            errors.extend(recurrence.unused_exdate_errors());
        }
        if errors.is_empty() {
            Ok(recurrence)
        } else {
            Err(errors)
        }
    }

    /// Parses the recurrence without validating it.
    ///
    /// # Errors
    ///
    /// Returns an error for each text that cannot be parsed: a rule that is not a rule of RFC 5545 or that
    /// never occurs, an unknown time zone, an invalid date and time.
    pub fn parse(&self) -> Result<Recurrence, Vec<RecurrenceError>> {
        let mut errors = Vec::new();
        let rule = check::rule(self.rule)
            .map_err(|rule_errors| errors.extend(rule_errors))
            .ok();
        let tz = collect_ok(self.tz.map(str::parse::<Zone>), &mut errors);
        let start = collect_ok(self.dtstart.map(parse_start), &mut errors);
        let exdates = collect_ok(parse_dates(&self.exdates, Argument::Exdate), &mut errors);
        let rdates = collect_ok(parse_dates(&self.rdates, Argument::Rdate), &mut errors);
        let Some(rule) = rule.filter(|_| errors.is_empty()) else {
            return Err(errors);
        };
        let recurrence = Recurrence::from_rule(self.rule, rule)
            .tz(tz.first().copied().unwrap_or(Zone::UTC))
            .exdates(exdates)
            .rdates(rdates)
            .gap(self.gap)
            .overlap(self.overlap)
            .missed(self.missed);
        Ok(start.into_iter().fold(recurrence, Recurrence::starting_at))
    }
}

/// Returns the values of the successful results, and appends the errors of the others to `errors`.
fn collect_ok<T>(
    results: impl IntoIterator<Item = Result<T, RecurrenceError>>,
    errors: &mut Vec<RecurrenceError>,
) -> Vec<T> {
    results
        .into_iter()
        .filter_map(|result| result.map_err(|error| errors.push(error)).ok())
        .collect()
}

const EXPECTED_DATE: &str =
    "expected a local date and time such as `\"2026-01-05T09:00:00\"`; `tz` sets its time zone";

fn parse_start(text: &str) -> Result<NaiveDateTime, RecurrenceError> {
    text.parse()
        .map_err(|_| RecurrenceError::new(Argument::Start, text, EXPECTED_DATE))
}

fn parse_dates(texts: &[&str], argument: fn(usize) -> Argument) -> Vec<Result<Moment, RecurrenceError>> {
    let parse_date = |(index, text): (usize, &&str)| {
        text.parse()
            .map_err(|_| RecurrenceError::new(argument(index), text, EXPECTED_DATE))
    };
    texts.iter().enumerate().map(parse_date).collect()
}

impl Recurrence {
    fn unused_exdate_errors(&self) -> impl Iterator<Item = RecurrenceError> {
        let unused = self.unused_exdates();
        let exdates = self.excluded().to_vec().into_iter().enumerate();
        exdates
            .filter(move |(_, date)| unused.contains(date))
            .map(|(index, date)| {
                let reason = format!("`{date}` is not an occurrence of this rule");
                RecurrenceError::new(Argument::Exdate(index), date, reason)
            })
    }
}

/// Constructors for the code that the attribute generates. [`Draft::read`] accepted their texts when that
/// code was compiled.
#[doc(hidden)]
impl Recurrence {
    #[must_use]
    pub fn __checked(rule: &'static str) -> Self {
        Self::new(rule).expect(CHECKED)
    }

    #[must_use]
    pub fn __tz(self, tz: &'static str) -> Self {
        self.tz(tz.parse().expect(CHECKED))
    }

    #[must_use]
    pub fn __dtstart(self, local: &'static str) -> Self {
        self.starting_at(parse_start(local).expect(CHECKED))
    }

    #[must_use]
    pub fn __exdate(self, date: &'static str) -> Self {
        self.exdate(date.parse::<Moment>().expect(CHECKED))
    }

    #[must_use]
    pub fn __rdate(self, date: &'static str) -> Self {
        self.rdate(date.parse::<Moment>().expect(CHECKED))
    }
}

const CHECKED: &str = "the text was checked when the task type was compiled";
