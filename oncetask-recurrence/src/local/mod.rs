//! The local times of a rule.
//!
//! Times are not enumerated from the start. A lookup begins at the period that contains the given time, and
//! continues with the next period that has an occurrence:
//!
//! - [`multiday`] contains the rules by year, month and week, whose periods are sets of days;
//! - [`intraday`] contains the rules by day, hour, minute and second, whose periods have equal lengths;
//! - [`calendar`] contains the days that the filters of a rule admit, for both.

mod bits;
mod calendar;
pub(crate) mod civil;
mod day_times;
mod days;
mod intraday;
mod modular;
mod multiday;
mod weekly;

use crate::local::calendar::Calendar;
use crate::local::civil::{DAY, Day, END, Second};
use crate::local::day_times::DayTimes;
use crate::local::days::DayFilter;
use crate::local::intraday::IntradayPeriods;
use crate::local::multiday::MultidayPeriods;
use crate::rule::{Frequency, Rule};

/// The local times of a rule with a start. `COUNT` and `UNTIL` are not applied.
#[derive(Debug)]
pub(crate) struct Expansion {
    start: Second,
    calendar: Calendar,
    periods: Periods,
}

#[derive(Debug)]
enum Periods {
    Multiday(MultidayPeriods),
    Intraday(IntradayPeriods),
}

impl Expansion {
    /// Returns the times of a rule. `start` supplies the values that the rule does not specify.
    pub(crate) fn new(rule: &Rule, start: Second) -> Self {
        Self::with(rule, start, DayFilter::new(rule, Some(day_of(start))))
    }

    /// Returns whether the rule has a time, for any start.
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
        let times = RuleTimes { rule, start };
        let periods = if rule.frequency < Frequency::Daily {
            Periods::Multiday(MultidayPeriods::new(rule, day_of(start), times.whole()))
        } else {
            Periods::Intraday(IntradayPeriods::new(
                rule,
                start,
                filter.possible_weekdays(),
                times.period_begins(),
                times.within_period(),
            ))
        };
        Self {
            start,
            calendar: Calendar::new(filter),
            periods,
        }
    }

    /// Returns the first time of the rule that is not before `time`.
    pub(crate) fn at_or_after(&self, time: Second) -> Option<Second> {
        let time = time.max(self.start);
        if time >= END {
            return None;
        }
        match &self.periods {
            Periods::Multiday(periods) => periods.at_or_after(&self.calendar, time),
            Periods::Intraday(periods) => periods.at_or_after(&self.calendar, time),
        }
    }
}

/// Returns the day of a time. A day outside the range of [`Day`] becomes the nearest end of the range.
pub(crate) fn day_of(time: Second) -> Day {
    let day = time.div_euclid(DAY);
    Day::try_from(day).unwrap_or(if day < 0 { Day::MIN } else { Day::MAX })
}

/// The times of day of a rule, and their division into the beginning of a period and the times within it.
struct RuleTimes<'a> {
    rule: &'a Rule,
    /// The start, which supplies the values that the rule does not specify.
    start: Second,
}

impl RuleTimes<'_> {
    /// Returns the times of day of the rule.
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

    /// Returns the times of day at which a period may begin.
    fn period_begins(&self) -> DayTimes {
        self.keep(|field| field <= self.rule.frequency)
    }

    /// Returns the times within a period, relative to its beginning.
    fn within_period(&self) -> DayTimes {
        self.keep(|field| field > self.rule.frequency)
    }

    /// Returns the times of day, with zero for the fields that are not kept.
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

    /// Returns the values of one field of the times of day: the values that the rule lists, otherwise the
    /// value of the start, or all values if the field is not shorter than a period.
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
