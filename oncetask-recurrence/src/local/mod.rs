//! A rule in local time: which times it names, one after the other.
//!
//! Nothing is enumerated from the start. A question is answered by going to the period that has the time
//! asked for, and from there to the next period that has an occurrence:
//!
//! - [`periods`] has the rules by year, month and week, whose periods are sets of days;
//! - [`beat`] those by day, hour, minute and second, whose periods have one length;
//! - [`calendar`] the days that the filters of a rule admit, for both.

mod beat;
mod bits;
mod calendar;
pub(crate) mod civil;
mod day_times;
mod days;
mod modular;
mod periods;
mod weekly;

use crate::local::beat::Beat;
use crate::local::calendar::Calendar;
use crate::local::civil::{DAY, Day, END, Second};
use crate::local::day_times::DayTimes;
use crate::local::days::DayFilter;
use crate::local::periods::Periods;
use crate::rule::{Frequency, Rule};

/// The local times of a rule that starts at a given one, without end.
#[derive(Debug)]
pub(crate) struct Expansion {
    start: Second,
    calendar: Calendar,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Periods of days: years, months, weeks.
    Long(Periods),
    /// Periods of equal length within a day.
    Short(Beat),
}

impl Expansion {
    /// The times of the rule, of which those that it leaves open are taken from `start`.
    pub(crate) fn new(rule: &Rule, start: Second) -> Self {
        Self::with(rule, start, DayFilter::new(rule, Some(day_of(start))))
    }

    /// Whether the rule names any time at all, whenever it starts.
    pub(crate) fn is_possible(rule: &Rule) -> bool {
        let rule = &Rule {
            interval: 1,
            ..rule.clone()
        };
        Self::with(rule, 0, DayFilter::new(rule, None))
            .at_or_after(0)
            .is_some()
    }

    fn with(rule: &Rule, start: Second, filter: DayFilter) -> Self {
        let times = DayTimesOf { rule, start };
        let kind = if rule.frequency < Frequency::Daily {
            Kind::Long(Periods::new(rule, day_of(start), times.whole()))
        } else {
            Kind::Short(Beat::new(
                rule,
                start,
                filter.possible_weekdays(),
                times.slots(),
                times.within(),
            ))
        };
        Self {
            start,
            calendar: Calendar::new(filter),
            kind,
        }
    }

    /// The first time of the rule that is not before this one.
    pub(crate) fn at_or_after(&self, time: Second) -> Option<Second> {
        let time = time.max(self.start);
        if time >= END {
            return None;
        }
        match &self.kind {
            Kind::Long(periods) => periods.at_or_after(&self.calendar, time),
            Kind::Short(beat) => beat.at_or_after(&self.calendar, time),
        }
    }
}

/// The day of this time; far outside of the calendar, its end.
pub(crate) fn day_of(time: Second) -> Day {
    let day = time.div_euclid(DAY);
    Day::try_from(day).unwrap_or(if day < 0 { Day::MIN } else { Day::MAX })
}

/// The hours, minutes and seconds of a rule, split where its period ends.
struct DayTimesOf<'a> {
    rule: &'a Rule,
    /// Says what the rule leaves open.
    start: Second,
}

impl DayTimesOf<'_> {
    fn whole(&self) -> DayTimes {
        let Rule {
            hours,
            minutes,
            seconds,
            ..
        } = self.rule;
        DayTimes {
            hours: self.field(hours, Frequency::Hourly, 24, 3600),
            minutes: self.field(minutes, Frequency::Minutely, 60, 60),
            seconds: self.field(seconds, Frequency::Secondly, 60, 1),
        }
    }

    /// The times of day at which a period may begin.
    fn slots(&self) -> DayTimes {
        self.keep(|field| field <= self.rule.frequency)
    }

    /// The times after the beginning of each period.
    fn within(&self) -> DayTimes {
        self.keep(|field| field > self.rule.frequency)
    }

    /// The times of day, but with zero for the fields that are not kept.
    fn keep(&self, kept: impl Fn(Frequency) -> bool) -> DayTimes {
        let DayTimes {
            hours,
            minutes,
            seconds,
        } = self.whole();
        let or_zero = |field, set| if kept(field) { set } else { 1 };
        DayTimes {
            hours: or_zero(Frequency::Hourly, hours),
            minutes: or_zero(Frequency::Minutely, minutes),
            seconds: or_zero(Frequency::Secondly, seconds),
        }
    }

    /// One field of the times of day: what the rule lists, or what the start has, or any, where each period
    /// of the rule has another.
    fn field(&self, list: &[i16], field: Frequency, size: i64, unit: Second) -> u64 {
        if !list.is_empty() {
            list.iter().fold(0, |set, value| set | 1 << value)
        } else if field > self.rule.frequency {
            1 << self.start.div_euclid(unit).rem_euclid(size)
        } else {
            (1 << size) - 1
        }
    }
}
