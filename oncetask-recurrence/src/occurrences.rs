//! The occurrences of a recurrence.

use std::iter::FusedIterator;
use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::clock::WallClock;
use crate::local::civil::Second;
use crate::moment::{Moment, instant_to_second, local_to_second, second_to_instant};
use crate::plan::Plan;
use crate::recurrence::{Parts, Recurrence};
use crate::zone::Zone;

impl Recurrence {
    /// Returns the first occurrence strictly after an instant, or `None` if there is none up to the year 9999.
    ///
    /// A recurrence without a start starts at this instant. The cost does not depend on the distance to the
    /// start. A rule with `COUNT` is expanded once from its start, and the result is cached.
    ///
    /// # Examples
    ///
    /// ```
    /// use oncetask_recurrence::Recurrence;
    ///
    /// let daily = Recurrence::new("FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0")?;
    /// let next = daily.after("2026-01-05T09:00:00Z".parse()?);
    /// assert_eq!(next, Some("2026-01-06T09:00:00Z".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.iter_after(instant).next()
    }

    /// Returns the first occurrence, or `None` if there is none, or if the recurrence has no start.
    #[must_use]
    pub fn first(&self) -> Option<DateTime<Utc>> {
        second_to_instant(self.plan()?.next(Second::MIN)?)
    }

    /// Returns an iterator over the occurrences strictly after an instant, in order. Each occurrence is
    /// computed when it is requested.
    ///
    /// # Examples
    ///
    /// ```
    /// use oncetask_recurrence::{Gap, Recurrence};
    ///
    /// let nightly = Recurrence::new("FREQ=DAILY;COUNT=3")?
    ///     .tz("Europe/Paris".parse()?)
    ///     .starting_at("2026-03-28T02:30:00".parse()?);
    /// let times = |nightly: Recurrence| {
    ///     let all = nightly.iter_after("2026-01-01T00:00:00Z".parse().unwrap());
    ///     all.map(|time| time.format("%d %H:%M").to_string()).collect::<Vec<_>>()
    /// };
    /// assert_eq!(times(nightly.clone()), ["28 01:30", "30 00:30", "31 00:30"]);
    /// assert_eq!(times(nightly.gap(Gap::Shift)), ["28 01:30", "29 01:30", "30 00:30"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter_after(&self, instant: DateTime<Utc>) -> Occurrences {
        let plan = self.plan().or_else(|| self.anchored_at(instant).plan());
        Occurrences {
            plan,
            last: instant_to_second(instant),
        }
    }

    /// Returns an iterator over the occurrences from one instant, inclusive, to another, exclusive.
    ///
    /// # Examples
    ///
    /// ```
    /// use oncetask_recurrence::Recurrence;
    ///
    /// let hourly = Recurrence::new("FREQ=HOURLY")?.starting_at("2026-01-05T09:00:00".parse()?);
    /// let morning = hourly.occurrences_between("2026-01-05T10:00:00Z".parse()?, "2026-01-05T12:00:00Z".parse()?);
    /// assert_eq!(morning.count(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn occurrences_between(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> impl Iterator<Item = DateTime<Utc>> + use<> {
        let Occurrences { plan, .. } = self.iter_after(from);
        // The last whole second before `from`.
        let last = instant_to_second(from) - i64::from(from.timestamp_subsec_nanos() == 0);
        Occurrences { plan, last }.take_while(move |occurrence| *occurrence < to)
    }

    /// Returns the excluded dates that are not occurrences, and are therefore probably mistakes. The result
    /// is empty if the recurrence has no start.
    #[must_use]
    pub fn unused_exdates(&self) -> Vec<Moment> {
        let Some(plan) = self.plan() else {
            return Vec::new();
        };
        let is_unused = |date: &&Moment| {
            !self
                .parts()
                .instants(**date)
                .any(|instant| plan.contains(instant))
        };
        self.parts().exdates.iter().filter(is_unused).copied().collect()
    }
}

impl Parts {
    pub(crate) fn plan(&self, start: NaiveDateTime) -> Plan {
        let all = |dates: &[Moment]| dates.iter().flat_map(|date| self.instants(*date)).collect();
        Plan::new(&self.rule, local_to_second(start), self.clock())
            .with_dates(all(&self.rdates), all(&self.exdates))
    }

    pub(crate) fn clock(&self) -> WallClock {
        WallClock {
            tz: self.tz,
            gap: self.gap,
            overlap: self.overlap,
        }
    }

    /// Returns the instants that a date stands for.
    fn instants(&self, date: Moment) -> impl Iterator<Item = Second> + use<> {
        let (instant, local) = match date {
            Moment::Instant(instant) => (Some(instant_to_second(instant)), None),
            Moment::Local(local) => (None, Some(self.clock().instants(local_to_second(local)))),
        };
        instant.into_iter().chain(local.into_iter().flatten())
    }
}

/// An iterator over the occurrences of a recurrence, in order; created by [`Recurrence::iter_after`].
#[derive(Clone, Debug)]
#[must_use = "iterators do nothing unless consumed"]
pub struct Occurrences {
    plan: Option<Arc<Plan>>,
    last: Second,
}

impl Iterator for Occurrences {
    type Item = DateTime<Utc>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(next) = self.plan.as_ref()?.next(self.last) else {
            self.plan = None;
            return None;
        };
        self.last = next;
        second_to_instant(next)
    }
}

impl FusedIterator for Occurrences {}

/// Returns the next `n` occurrences from now, in the time zone of the recurrence.
///
/// A recurrence without a start starts now.
///
/// # Examples
///
/// ```
/// use oncetask_recurrence::{Recurrence, preview};
///
/// for time in preview(&Recurrence::new("FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0")?, 3) {
///     println!("{time}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn preview(recurrence: &Recurrence, n: usize) -> Vec<DateTime<Zone>> {
    preview_after(recurrence, Utc::now(), n)
}

/// Returns the next `n` occurrences strictly after an instant, in the time zone of the recurrence.
///
/// A recurrence without a start starts at this instant.
///
/// # Examples
///
/// ```
/// use oncetask_recurrence::{Recurrence, preview_after};
///
/// let daily = Recurrence::new("FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0")?.tz("Asia/Tokyo".parse()?);
/// let next = preview_after(&daily, "2026-01-05T12:00:00Z".parse()?, 2);
/// assert_eq!(next[0].to_string(), "2026-01-06 09:00:00 JST");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn preview_after(recurrence: &Recurrence, instant: DateTime<Utc>, n: usize) -> Vec<DateTime<Zone>> {
    let zone = recurrence.time_zone();
    recurrence
        .iter_after(instant)
        .take(n)
        .map(|occurrence| occurrence.with_timezone(&zone))
        .collect()
}
