//! The public type: a recurrence, and how one is put together.

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, NaiveDateTime, SubsecRound, Utc};
use chrono_tz::Tz;

use crate::check;
use crate::error::RecurrenceError;
use crate::moment::Moment;
use crate::plan::Plan;
use crate::policy::{Gap, Missed, Overlap};
use crate::rule::Rule;

/// When something happens again and again: a rule of RFC 5545, followed on the clocks of a time zone.
///
/// The rule is expanded in local time, and each local time is then mapped to an instant: what the clocks skip
/// or show twice is settled by [`Gap`] and [`Overlap`], for rules of every frequency alike. So an hourly rule
/// keeps the beat of the wall clock. Where clocks change, two of its occurrences may lie up to an hour more
/// or less apart; choose [`Overlap::Both`], or leave the zone at UTC, to have them come at the beat of real
/// time.
///
/// The start, `dtstart`, says what the rule leaves open (`FREQ=DAILY` happens at the time of day of the
/// start) and from when `INTERVAL` and `COUNT` count. It is an occurrence only if the rule names it. Without a
/// start the recurrence begins when it is first used; see [`anchored_at`](Self::anchored_at).
///
/// # Examples
///
/// ```
/// use oncetask_recurrence::{Recurrence, parse_tz};
///
/// let standup = Recurrence::new("FREQ=WEEKLY;BYDAY=MO,WE,FR")?
///     .tz(parse_tz("Europe/Paris")?)
///     .starting_at("2026-03-25T09:30:00".parse()?)
///     .exdate("2026-03-27T09:30:00".parse::<oncetask_recurrence::Moment>()?);
/// standup.validate()?;
///
/// let next = standup.after("2026-03-25T12:00:00Z".parse()?);
/// assert_eq!(next, Some("2026-03-30T07:30:00Z".parse()?)); // daylight saving has begun on the 29th
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Recurrence {
    parts: Parts,
    /// Worked out when first needed, and again after any change of the parts.
    plan: OnceLock<Arc<Plan>>,
}

/// What a recurrence consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) text: String,
    pub(crate) rule: Rule,
    pub(crate) tz: Tz,
    pub(crate) start: Option<NaiveDateTime>,
    pub(crate) exdates: Vec<Moment>,
    pub(crate) rdates: Vec<Moment>,
    pub(crate) gap: Gap,
    pub(crate) overlap: Overlap,
    pub(crate) missed: Missed,
}

impl Recurrence {
    /// Reads a rule such as `FREQ=WEEKLY;BYDAY=MO`, in UTC and without a start until they are given.
    ///
    /// # Errors
    ///
    /// When the text is not a rule of RFC 5545, or a rule that names no time at all. The error says the reason
    /// and the place; of several mistakes it is the first.
    pub fn new(rule: &str) -> Result<Self, RecurrenceError> {
        check::rule(rule)
            .map(|parsed| Self::from_rule(rule, parsed))
            .map_err(check::first)
    }

    pub(crate) fn from_rule(text: &str, rule: Rule) -> Self {
        let parts = Parts {
            text: text.to_owned(),
            rule,
            tz: Tz::UTC,
            start: None,
            exdates: Vec::new(),
            rdates: Vec::new(),
            gap: Gap::default(),
            overlap: Overlap::default(),
            missed: Missed::default(),
        };
        Self {
            parts,
            plan: OnceLock::new(),
        }
    }

    /// Follows the rule on the clocks of this time zone, daylight saving included.
    ///
    /// A recurrence that has a start keeps what its clocks show: `09:00` stays `09:00`.
    #[must_use]
    pub fn tz(self, tz: Tz) -> Self {
        self.with(|parts| parts.tz = tz)
    }

    /// Starts at this local time of the zone; parts of a second are dropped.
    #[must_use]
    pub fn starting_at(self, local: NaiveDateTime) -> Self {
        self.with(|parts| parts.start = Some(local.trunc_subsecs(0)))
    }

    /// Leaves this occurrence out.
    ///
    /// A local time stands for the instants that [`gap`](Self::gap) and [`overlap`](Self::overlap) map it to.
    #[must_use]
    pub fn exdate(self, date: impl Into<Moment>) -> Self {
        self.exdates([date])
    }

    /// Leaves these occurrences out.
    #[must_use]
    pub fn exdates(self, dates: impl IntoIterator<Item = impl Into<Moment>>) -> Self {
        self.with(|parts| parts.exdates.extend(dates.into_iter().map(Into::into)))
    }

    /// Adds an occurrence that the rule does not name; one that it names stays one.
    #[must_use]
    pub fn rdate(self, date: impl Into<Moment>) -> Self {
        self.rdates([date])
    }

    /// Adds occurrences that the rule does not name.
    #[must_use]
    pub fn rdates(self, dates: impl IntoIterator<Item = impl Into<Moment>>) -> Self {
        self.with(|parts| parts.rdates.extend(dates.into_iter().map(Into::into)))
    }

    /// Says what becomes of a local time that the clocks skip.
    #[must_use]
    pub fn gap(self, gap: Gap) -> Self {
        self.with(|parts| parts.gap = gap)
    }

    /// Says what becomes of a local time that the clocks show twice.
    #[must_use]
    pub fn overlap(self, overlap: Overlap) -> Self {
        self.with(|parts| parts.overlap = overlap)
    }

    /// Says what becomes of occurrences that came due while nobody was there to run them.
    #[must_use]
    pub fn missed(self, missed: Missed) -> Self {
        self.with(|parts| parts.missed = missed)
    }

    /// The same recurrence with a start: this instant, if it has none yet.
    ///
    /// To be called once, when the recurrence is created; parts of a second are dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use oncetask_recurrence::Recurrence;
    ///
    /// let created = "2026-01-05T09:30:15.25Z".parse()?;
    /// let hourly = Recurrence::new("FREQ=HOURLY")?.anchored_at(created);
    /// assert_eq!(hourly.after(created), Some("2026-01-05T10:30:15Z".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn anchored_at(&self, instant: DateTime<Utc>) -> Self {
        match self.parts.start {
            Some(_) => self.clone(),
            None => self
                .clone()
                .starting_at(instant.with_timezone(&self.parts.tz).naive_local()),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        change(&mut self.parts);
        self.plan = OnceLock::new();
        self
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The plan of a recurrence that has a start.
    pub(crate) fn plan(&self) -> Option<Arc<Plan>> {
        let start = self.parts.start?;
        Some(self.plan.get_or_init(|| Arc::new(self.parts.plan(start))).clone())
    }
}
