//! A recurrence in texts, from an attribute or a file.

use chrono::NaiveDateTime;
use chrono_tz::{TZ_VARIANTS, Tz};

use crate::check;
use crate::error::{Argument, RecurrenceError};
use crate::moment::Moment;
use crate::policy::{Gap, Missed, Overlap};
use crate::recurrence::Recurrence;
use crate::suggest::did_you_mean;

/// A recurrence in texts, as written in an attribute, to be read with all its mistakes at once.
///
/// # Examples
///
/// ```
/// use oncetask_recurrence::{Argument, Draft};
///
/// let draft = Draft { rule: "FREQ=FORTNIGHTLY", tz: Some("Europe/Pariss"), ..Draft::default() };
/// let errors = draft.read().unwrap_err();
/// assert_eq!(errors[0].argument(), Argument::Rule);
/// assert_eq!(errors[1].reason(), "there is no time zone `Europe/Pariss`; did you mean `Europe/Paris`?");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Draft<'a> {
    /// The rule, such as `FREQ=DAILY`.
    pub rule: &'a str,
    /// The name of the time zone; UTC without.
    pub tz: Option<&'a str>,
    /// The start: a local time such as `2026-01-05T09:00:00`.
    pub dtstart: Option<&'a str>,
    /// Occurrences left out: local times, or instants such as `2026-01-05T09:00:00Z`.
    pub exdates: Vec<&'a str>,
    /// Occurrences added: local times or instants.
    pub rdates: Vec<&'a str>,
    /// What becomes of local times that the clocks skip.
    pub gap: Gap,
    /// What becomes of local times that the clocks show twice.
    pub overlap: Overlap,
    /// What becomes of occurrences that came due while nobody was there to run them.
    pub missed: Missed,
}

impl Draft<'_> {
    /// Reads the texts and makes sure that they make a recurrence that can be followed.
    ///
    /// # Errors
    ///
    /// Every mistake, in the order of the fields: what [`parse`](Self::parse) and
    /// [`Recurrence::validate`] say, and each of the `exdates` that is not an occurrence.
    pub fn read(&self) -> Result<Recurrence, Vec<RecurrenceError>> {
        let recurrence = self.parse()?;
        let mut errors = recurrence.mistakes();
        if errors.is_empty() {
            errors.extend(recurrence.unused());
        }
        if errors.is_empty() {
            Ok(recurrence)
        } else {
            Err(errors)
        }
    }

    /// Reads the texts.
    ///
    /// # Errors
    ///
    /// Every text that is not what it should be: no rule of RFC 5545 or one that names no time at all, no name
    /// of a time zone, no date and time.
    pub fn parse(&self) -> Result<Recurrence, Vec<RecurrenceError>> {
        let mut errors = Vec::new();
        let rule = check::rule(self.rule)
            .map_err(|mistakes| errors.extend(mistakes))
            .ok();
        let tz = collect(self.tz.map(parse_tz), &mut errors);
        let start = collect(self.dtstart.map(start), &mut errors);
        let exdates = collect(dates(&self.exdates, Argument::Exdate), &mut errors);
        let rdates = collect(dates(&self.rdates, Argument::Rdate), &mut errors);
        let Some(rule) = rule.filter(|_| errors.is_empty()) else {
            return Err(errors);
        };
        let recurrence = Recurrence::from_rule(self.rule, rule)
            .tz(tz.first().copied().unwrap_or(Tz::UTC))
            .exdates(exdates)
            .rdates(rdates)
            .gap(self.gap)
            .overlap(self.overlap)
            .missed(self.missed);
        Ok(start.into_iter().fold(recurrence, Recurrence::starting_at))
    }
}

/// What could be read; the rest is added to the errors.
fn collect<T>(
    results: impl IntoIterator<Item = Result<T, RecurrenceError>>,
    errors: &mut Vec<RecurrenceError>,
) -> Vec<T> {
    results
        .into_iter()
        .filter_map(|result| result.map_err(|error| errors.push(error)).ok())
        .collect()
}

/// The time zone of this name in the IANA database.
///
/// # Errors
///
/// When there is none; the error suggests the name that was probably meant.
///
/// # Examples
///
/// ```
/// use oncetask_recurrence::parse_tz;
///
/// let error = parse_tz("Europe/Pariss").unwrap_err();
/// assert_eq!(error.to_string(), "there is no time zone `Europe/Pariss`; did you mean `Europe/Paris`?");
/// ```
pub fn parse_tz(name: &str) -> Result<Tz, RecurrenceError> {
    name.parse().map_err(|_| {
        let hint = match did_you_mean(name, TZ_VARIANTS.iter().map(|tz| tz.name())) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "expected a name of the IANA database, such as `Europe/Paris`".to_owned(),
        };
        let reason = format!("there is no time zone `{name}`; {hint}");
        RecurrenceError::new(Argument::TimeZone, name, reason)
    })
}

fn start(text: &str) -> Result<NaiveDateTime, RecurrenceError> {
    let reason = "expected a local date and time, such as `\"2026-01-05T09:00:00\"`; `tz` says where";
    text.parse()
        .map_err(|_| RecurrenceError::new(Argument::Start, text, reason))
}

fn dates(texts: &[&str], argument: fn(usize) -> Argument) -> Vec<Result<Moment, RecurrenceError>> {
    let reason = "expected a local date and time, such as `\"2026-01-05T09:00:00\"`; `tz` says where";
    let date = |(index, text): (usize, &&str)| {
        text.parse()
            .map_err(|_| RecurrenceError::new(argument(index), text, reason))
    };
    texts.iter().enumerate().map(date).collect()
}

impl Recurrence {
    fn unused(&self) -> impl Iterator<Item = RecurrenceError> {
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

/// For code that the attribute generates, whose texts were read by [`Draft::read`] while compiling.
#[doc(hidden)]
impl Recurrence {
    #[must_use]
    pub fn __checked(rule: &'static str) -> Self {
        Self::new(rule).expect(CHECKED)
    }

    #[must_use]
    pub fn __tz(self, tz: &'static str) -> Self {
        self.tz(parse_tz(tz).expect(CHECKED))
    }

    #[must_use]
    pub fn __dtstart(self, local: &'static str) -> Self {
        self.starting_at(start(local).expect(CHECKED))
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

const CHECKED: &str = "was checked when the task type was compiled";
