//! Rules by year, month or week: in each period a set of days, on each day the same times.

use crate::local::bits::DayBits;
use crate::local::calendar::Calendar;
use crate::local::civil::{CYCLE_DAYS, CYCLE_YEARS, DAY, Day, LAST_YEAR, Second, Year, month_span, weekday};
use crate::local::day_of;
use crate::local::day_times::DayTimes;
use crate::local::modular::gcd;
use crate::rule::{Frequency, Rule};

#[derive(Debug)]
pub(crate) struct Periods {
    unit: Unit,
    interval: i64,
    start: Day,
    times: DayTimes,
    /// `BYSETPOS`, in order; every time of a period without.
    positions: Vec<i64>,
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    Year,
    Month,
    Week {
        /// Days after Monday.
        start: i32,
    },
}

/// The admitted days of one period, counted from its first.
struct Period {
    first: Day,
    days: DayBits,
}

impl Periods {
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

    /// The first time that is not before this one, which is not before the start of the rule.
    pub(crate) fn at_or_after(&self, calendar: &Calendar, time: Second) -> Option<Second> {
        let origin = self.unit.index(self.start);
        let passed = self.unit.index(day_of(time)) - origin;
        let first = (passed + self.interval - 1).div_euclid(self.interval);
        // The first period may be half over; those of a whole cycle after it are all there are.
        (first..=first + self.unit.cycle(self.interval))
            .map_while(|number| self.period(calendar, origin + number * self.interval))
            .find_map(|period| self.first_in(&period, time))
    }

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
                // The week of `dtstart` begins with it, as python-dateutil counts `BYSETPOS`.
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

    fn first_in(&self, period: &Period, time: Second) -> Option<Second> {
        if self.positions.is_empty() {
            self.first_of_all(period, time)
        } else {
            self.first_picked(period, time)
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

    fn first_picked(&self, period: &Period, time: Second) -> Option<Second> {
        let begin = Second::from(period.first) * DAY;
        let times = self.times.len();
        let size = i64::from(period.days.len()) * i64::from(times);
        // Positions are in order; those beyond the set, of which there may be hundreds, need no look.
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

/// The index that a position of `BYSETPOS` stands for in a set of this size.
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

fn split(time: Second) -> Option<(u32, u32)> {
    Some((u32::try_from(time / DAY).ok()?, u32::try_from(time % DAY).ok()?))
}

fn join(day: u32, second: u32) -> Second {
    Second::from(day) * DAY + Second::from(second)
}

impl Unit {
    /// The number of the period that has this day.
    fn index(self, day: Day) -> i64 {
        let year = Year::of(day);
        match self {
            Self::Year => year.number.into(),
            Self::Month => {
                let past = (day - year.first).unsigned_abs();
                let month = (0..12)
                    .rev()
                    .find(|month| month_span(year.is_leap(), month + 1).0 <= past);
                i64::from(year.number) * 12 + i64::from(month.unwrap_or(0))
            }
            Self::Week { start } => {
                let first = day - weekday(day - start);
                i64::from(first - start).div_euclid(7)
            }
        }
    }

    /// After how many periods of the rule the calendar repeats.
    fn cycle(self, interval: i64) -> i64 {
        let units = match self {
            Self::Year => i64::from(CYCLE_YEARS),
            Self::Month => i64::from(CYCLE_YEARS) * 12,
            Self::Week { .. } => i64::from(CYCLE_DAYS) / 7,
        };
        units / gcd(units, interval)
    }
}
