//! The occurrences of a recurrence.

use std::iter::FusedIterator;
use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::Tz;

use crate::clock::Clock;
use crate::local::civil::Second;
use crate::moment::{Moment, instant_to_second, local_to_second, second_to_instant};
use crate::plan::Plan;
use crate::recurrence::{Parts, Recurrence};

impl Recurrence {
    /// The first occurrence after this instant, strictly; `None` when there is none up to the year 9999.
    ///
    /// A recurrence without a start is taken to start at this instant. The time this takes does not depend on
    /// how long ago the start was: a rule with `COUNT` is followed from its start once, and then remembered.
    #[must_use]
    pub fn after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.iter_after(instant).next()
    }

    /// The first occurrence of all; `None` too as long as there is no start.
    #[must_use]
    pub fn first(&self) -> Option<DateTime<Utc>> {
        second_to_instant(self.plan()?.next(Second::MIN)?)
    }

    /// The occurrences after this instant, strictly, in order, each worked out when it is asked for.
    ///
    /// # Examples
    ///
    /// ```
    /// use oncetask_recurrence::{Gap, Recurrence};
    ///
    /// let nightly = Recurrence::new("FREQ=DAILY;COUNT=3")?
    ///     .tz(chrono_tz::Europe::Paris)
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

    /// The occurrences from one instant, inclusive, up to another, exclusive.
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

    /// The dates to be left out that would not have occurred anyway, most likely mistakes.
    ///
    /// Empty as long as there is no start.
    #[must_use]
    pub fn unused_exdates(&self) -> Vec<Moment> {
        let Some(plan) = self.plan() else {
            return Vec::new();
        };
        let unused = |date: &&Moment| !self.parts().instants(**date).any(|instant| plan.has(instant));
        self.parts().exdates.iter().filter(unused).copied().collect()
    }
}

impl Parts {
    pub(crate) fn plan(&self, start: NaiveDateTime) -> Plan {
        let all = |dates: &[Moment]| dates.iter().flat_map(|date| self.instants(*date)).collect();
        Plan::new(&self.rule, local_to_second(start), self.clock())
            .with_dates(all(&self.rdates), all(&self.exdates))
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock {
            tz: self.tz,
            gap: self.gap,
            overlap: self.overlap,
        }
    }

    /// The instants for which a date stands.
    fn instants(&self, date: Moment) -> impl Iterator<Item = Second> + use<> {
        let (instant, local) = match date {
            Moment::Instant(instant) => (Some(instant_to_second(instant)), None),
            Moment::Local(local) => (None, Some(self.clock().instants(local_to_second(local)))),
        };
        instant.into_iter().chain(local.into_iter().flatten())
    }
}

/// The occurrences of a recurrence, in order; from [`Recurrence::iter_after`].
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

/// The next `n` occurrences from now, on the clocks of the recurrence's zone.
///
/// Without a start the recurrence is taken to start now.
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
pub fn preview(recurrence: &Recurrence, n: usize) -> Vec<DateTime<Tz>> {
    preview_after(recurrence, Utc::now(), n)
}

/// The next `n` occurrences after this instant, strictly, on the clocks of the recurrence's zone.
#[must_use]
pub fn preview_after(recurrence: &Recurrence, instant: DateTime<Utc>, n: usize) -> Vec<DateTime<Tz>> {
    let tz = recurrence.time_zone();
    recurrence
        .iter_after(instant)
        .take(n)
        .map(|occurrence| occurrence.with_timezone(&tz))
        .collect()
}
