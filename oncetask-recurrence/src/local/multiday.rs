//! Rules by year, month or week: each period has a set of days, and each of the days has the same times.

use crate::local::bits::DayBits;
use crate::local::calendar::Calendar;
use crate::local::civil::{CYCLE_DAYS, CYCLE_YEARS, DAY, Day, LAST_YEAR, Second, Year, month_span, weekday};
use crate::local::day_of;
use crate::local::day_times::DayTimes;
use crate::local::modular::gcd;
use crate::rule::{Frequency, Rule};

/// The periods of a rule by year, month or week.
#[derive(Debug)]
pub(crate) struct MultidayPeriods {
    unit: Unit,
    interval: i64,
    start: Day,
    times: DayTimes,
    /// The positions of `BYSETPOS`, in order. If there are none, a period has all its times.
    positions: Vec<i64>,
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    Year,
    Month,
    Week {
        /// The first day of the week, in days after Monday.
        start: i32,
    },
}

/// The admitted days of one period.
struct Period {
    first: Day,
    /// Counted from `first`.
    days: DayBits,
}

impl MultidayPeriods {
    pub(crate) fn new(rule: &Rule, start: Day, times: DayTimes) -> Self {
        let unit = match rule.frequency {
            Frequency::Yearly => Unit::Year,
            Frequency::Monthly => Unit::Month,
            _ => Unit::Week {
                start: rule.week_start,
            },
        };
        let positions = rule.positions.iter().copied().map(i64::from).collect();
        Self {
            unit,
            interval: rule.interval.into(),
            start,
            times,
            positions,
        }
    }

    /// Returns the first time of the rule that is not before `time`. `time` must not be before the start of
    /// the rule.
    pub(crate) fn at_or_after(&self, calendar: &Calendar, time: Second) -> Option<Second> {
        let origin = self.unit.index(self.start);
        let elapsed = self.unit.index(day_of(time)) - origin;
        let first = (elapsed + self.interval - 1).div_euclid(self.interval);
        // The first period may have begun before `time`. After it, the periods of one cycle suffice.
        (first..=first + self.unit.cycle(self.interval))
            .map_while(|number| self.period(calendar, origin + number * self.interval))
            .find_map(|period| self.first_in(&period, time))
    }

    /// Returns the period with this index; `None` after the last year.
    fn period(&self, calendar: &Calendar, index: i64) -> Option<Period> {
        let year = |number: i64| {
            let number = i32::try_from(number).ok().filter(|number| *number <= LAST_YEAR);
            number.map(Year::new)
        };
        match self.unit {
            Unit::Year => {
                let year = year(index)?;
                Some(Period {
                    first: year.first,
                    days: *calendar.year(year),
                })
            }
            Unit::Month => {
                let year = year(index.div_euclid(12))?;
                let month = u32::try_from(index.rem_euclid(12)).ok()? + 1;
                let (before, length) = month_span(year.is_leap(), month);
                let days = calendar.year(year).slice(before, length);
                Some(Period {
                    first: year.first + before.cast_signed(),
                    days,
                })
            }
            Unit::Week { start } => {
                let first = Day::try_from(index.checked_mul(7)? + i64::from(start)).ok()?;
                // In the week of `dtstart`, `BYSETPOS` counts from `dtstart`, as in python-dateutil.
                let begin = first.max(self.start);
                let length = (first + 7 - begin).unsigned_abs();
                let reachable = Year::of(begin).number <= LAST_YEAR;
                reachable.then(|| Period {
                    first: begin,
                    days: calendar.span(begin, length),
                })
            }
        }
    }

    /// Returns the first time of the period that is not before `time`.
    fn first_in(&self, period: &Period, time: Second) -> Option<Second> {
        if self.positions.is_empty() {
            self.first_of_all(period, time)
        } else {
            self.first_selected(period, time)
        }
    }

    fn first_of_all(&self, period: &Period, time: Second) -> Option<Second> {
        let begin = Second::from(period.first) * DAY;
        let (day, second) = split((time - begin).max(0))?;
        let found = period.days.at_or_after(day)?;
        let rest = if found == day {
            self.times.at_or_after(second)
        } else {
            self.times.at_or_after(0)
        };
        match rest {
            Some(second) => Some(begin + join(found, second)),
            None => Some(begin + join(period.days.at_or_after(found + 1)?, self.times.at_or_after(0)?)),
        }
    }

    fn first_selected(&self, period: &Period, time: Second) -> Option<Second> {
        let begin = Second::from(period.first) * DAY;
        let times = self.times.len();
        let size = i64::from(period.days.len()) * i64::from(times);
        // Positions are in order. Those beyond the size of the set, possibly hundreds, are skipped.
        let first = self.positions.partition_point(|position| *position < -size);
        let end = self.positions.partition_point(|position| *position <= size);
        let ranks = self.positions[first..end]
            .iter()
            .filter_map(|position| rank(*position, size));
        ranks
            .filter_map(|rank| {
                Some(begin + join(period.days.nth(rank / times)?, self.times.nth(rank % times)))
            })
            .filter(|found| *found >= time)
            .min()
    }
}

/// Returns the index of the element at a position of `BYSETPOS` in a set of this size, or `None` if the set has
/// no such element.
pub(crate) fn rank(position: i64, size: i64) -> Option<u32> {
    let rank = if position > 0 {
        position - 1
    } else {
        size + position
    };
    (0..size)
        .contains(&rank)
        .then(|| u32::try_from(rank).ok())
        .flatten()
}

/// Splits seconds into days and the seconds of the last day.
fn split(time: Second) -> Option<(u32, u32)> {
    Some((u32::try_from(time / DAY).ok()?, u32::try_from(time % DAY).ok()?))
}

fn join(day: u32, second: u32) -> Second {
    Second::from(day) * DAY + Second::from(second)
}

impl Unit {
    /// Returns the index of the period that contains a day.
    fn index(self, day: Day) -> i64 {
        let year = Year::of(day);
        match self {
            Self::Year => year.number.into(),
            Self::Month => {
                let day_of_year = (day - year.first).unsigned_abs();
                let month = (0..12)
                    .rev()
                    .find(|month| month_span(year.is_leap(), month + 1).0 <= day_of_year);
                i64::from(year.number) * 12 + i64::from(month.unwrap_or(0))
            }
            Self::Week { start } => {
                let first = day - weekday(day - start);
                i64::from(first - start).div_euclid(7)
            }
        }
    }

    /// Returns the number of periods of the rule after which the calendar repeats.
    fn cycle(self, interval: i64) -> i64 {
        let units = match self {
            Self::Year => i64::from(CYCLE_YEARS),
            Self::Month => i64::from(CYCLE_YEARS) * 12,
            Self::Week { .. } => i64::from(CYCLE_DAYS) / 7,
        };
        units / gcd(units, interval)
    }
}
