//! The public type [`Recurrence`] and its builder methods.

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, NaiveDateTime, SubsecRound, Utc};

use crate::check;
use crate::error::RecurrenceError;
use crate::moment::Moment;
use crate::plan::Plan;
use crate::policy::{Gap, Missed, Overlap};
use crate::rule::Rule;
use crate::zone::Zone;

/// A recurrence: a rule of RFC 5545, evaluated in a time zone.
///
/// The rule is expanded to local times, and each local time is then mapped to an instant. [`Gap`] and
/// [`Overlap`] are the policies for local times that the clocks skip or show twice. They apply in the same way
/// to every frequency. An hourly rule therefore follows the hours of the wall clock, and two of its occurrences may be
/// up to an hour further apart or closer together when the clocks change. For a constant interval in real
/// time, leave the zone at UTC.
///
/// The start, `dtstart`, supplies the values that the rule does not specify: `FREQ=DAILY` occurs at the time
/// of day of the start. `INTERVAL` and `COUNT` count from the start. The start is an occurrence only if it
/// matches the rule. A recurrence without a start begins when it is first used; see
/// [`anchored_at`](Self::anchored_at).
///
/// # Examples
///
/// ```
/// use oncetask_recurrence::{Moment, Recurrence};
///
/// let standup = Recurrence::new("FREQ=WEEKLY;BYDAY=MO,WE,FR")?
///     .tz("Europe/Paris".parse()?)
///     .starting_at("2026-03-25T09:30:00".parse()?)
///     .exdate("2026-03-27T09:30:00".parse::<Moment>()?);
/// standup.validate()?;
///
/// let next = standup.after("2026-03-25T12:00:00Z".parse()?);
/// // Daylight saving time began on the 29th.
/// assert_eq!(next, Some("2026-03-30T07:30:00Z".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Recurrence {
    parts: Parts,
    /// Computed when first needed, and discarded when a part changes.
    plan: OnceLock<Arc<Plan>>,
}

/// The parts of a recurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) text: String,
    pub(crate) rule: Rule,
    pub(crate) tz: Zone,
    pub(crate) start: Option<NaiveDateTime>,
    pub(crate) exdates: Vec<Moment>,
    pub(crate) rdates: Vec<Moment>,
    pub(crate) gap: Gap,
    pub(crate) overlap: Overlap,
    pub(crate) missed: Missed,
}

impl Recurrence {
    /// Parses a rule such as `FREQ=WEEKLY;BYDAY=MO`. The recurrence is in UTC and has no start.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not a rule of RFC 5545, or if the rule never occurs. The error
    /// contains the reason and the invalid part of the text. If there are several errors, the first is
    /// returned.
    ///
    /// # Examples
    ///
    /// ```
    /// use oncetask_recurrence::Recurrence;
    ///
    /// let weekly = Recurrence::new("FREQ=WEEKLY;BYDAY=MO")?;
    /// assert_eq!(weekly.to_string(), "FREQ=WEEKLY;BYDAY=MO in UTC");
    /// assert!(Recurrence::new("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30").is_err());
    /// # Ok::<(), oncetask_recurrence::RecurrenceError>(())
    /// ```
    pub fn new(rule: &str) -> Result<Self, RecurrenceError> {
        check::rule(rule)
            .map(|parsed| Self::from_rule(rule, parsed))
            .map_err(check::first_error)
    }

    pub(crate) fn from_rule(text: &str, rule: Rule) -> Self {
        let parts = Parts {
            text: text.to_owned(),
            rule,
            tz: Zone::UTC,
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

    /// Sets the time zone in which the rule is evaluated.
    ///
    /// An existing start keeps its local time: `09:00` stays `09:00`.
    ///
    /// # Examples
    ///
    /// ```
    /// use oncetask_recurrence::Recurrence;
    ///
    /// let daily = Recurrence::new("FREQ=DAILY")?
    ///     .starting_at("2026-01-05T09:00:00".parse()?)
    ///     .tz("Europe/Paris".parse()?);
    /// assert_eq!(daily.first(), Some("2026-01-05T08:00:00Z".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn tz(self, tz: Zone) -> Self {
        self.with(|parts| parts.tz = tz)
    }

    /// Sets the start, a local time of the zone. Fractions of a second are dropped.
    #[must_use]
    pub fn starting_at(self, local: NaiveDateTime) -> Self {
        self.with(|parts| parts.start = Some(local.trunc_subsecs(0)))
    }

    /// Excludes an occurrence.
    ///
    /// A local time stands for the instants to which [`gap`](Self::gap) and [`overlap`](Self::overlap) map
    /// it.
    #[must_use]
    pub fn exdate(self, date: impl Into<Moment>) -> Self {
        self.exdates([date])
    }

    /// Excludes occurrences.
    #[must_use]
    pub fn exdates(self, dates: impl IntoIterator<Item = impl Into<Moment>>) -> Self {
        self.with(|parts| parts.exdates.extend(dates.into_iter().map(Into::into)))
    }

    /// Adds an occurrence. An instant that is already an occurrence does not occur twice.
    #[must_use]
    pub fn rdate(self, date: impl Into<Moment>) -> Self {
        self.rdates([date])
    }

    /// Adds occurrences.
    #[must_use]
    pub fn rdates(self, dates: impl IntoIterator<Item = impl Into<Moment>>) -> Self {
        self.with(|parts| parts.rdates.extend(dates.into_iter().map(Into::into)))
    }

    /// Sets the policy for local times that the clocks skip.
    #[must_use]
    pub fn gap(self, gap: Gap) -> Self {
        self.with(|parts| parts.gap = gap)
    }

    /// Sets the policy for local times that the clocks show twice.
    #[must_use]
    pub fn overlap(self, overlap: Overlap) -> Self {
        self.with(|parts| parts.overlap = overlap)
    }

    /// Sets the policy for occurrences that became due while no worker ran.
    #[must_use]
    pub fn missed(self, missed: Missed) -> Self {
        self.with(|parts| parts.missed = missed)
    }

    /// Returns the recurrence with a start: its own, or this instant if it has none. Fractions of a second
    /// are dropped.
    ///
    /// Call it once, when the recurrence is created, and store the result.
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

    /// Returns the plan, or `None` if the recurrence has no start.
    pub(crate) fn plan(&self) -> Option<Arc<Plan>> {
        let start = self.parts.start?;
        Some(self.plan.get_or_init(|| Arc::new(self.parts.plan(start))).clone())
    }
}
