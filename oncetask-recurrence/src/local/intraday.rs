//! Rules by day, hour, minute or second: periods of equal length, at most a day long.

use crate::local::calendar::Calendar;
use crate::local::civil::{CYCLE_DAYS, DAY, END, Second};
use crate::local::day_of;
use crate::local::day_times::DayTimes;
use crate::local::modular::{align, gcd};
use crate::local::multiday::rank;
use crate::local::weekly::WeeklyWindows;
use crate::rule::{Frequency, Rule};

/// The periods of a rule by day, hour, minute or second.
///
/// The periods begin at `origin` and every `step` seconds before and after it. A period belongs to the rule
/// if it begins on an admitted day, at one of the `begins`.
#[derive(Debug)]
pub(crate) struct IntradayPeriods {
    /// The length of a period in seconds.
    unit: Second,
    /// The beginning of the period that contains the start of the rule.
    origin: Second,
    step: Second,
    /// The times of day at which a period may begin.
    begins: DayTimes,
    times: PeriodTimes,
    weekly: WeeklyWindows,
    /// True if no period belongs to the rule, or a period contains no time.
    is_empty: bool,
}

/// The times of the rule within a period, in seconds after its beginning.
#[derive(Debug)]
enum PeriodTimes {
    All(DayTimes),
    /// The times that `BYSETPOS` selects, in order.
    Selected(Vec<u32>),
}

/// The number of steps after which the search for a period uses [`WeeklyWindows`]. Most rules need fewer
/// steps, and each is cheaper than that calculation. It saves thousands of steps for a rule whose periods
/// shift by a few seconds each week.
const STEPS_BEFORE_WINDOWS: u32 = 16;

impl IntradayPeriods {
    /// Returns the periods of a rule. `begins` are the times of day at which a period may begin, and `times`
    /// are the times within a period.
    pub(crate) fn new(rule: &Rule, start: Second, weekdays: u8, begins: DayTimes, times: DayTimes) -> Self {
        let unit = match rule.frequency {
            Frequency::Hourly => 3600,
            Frequency::Minutely => 60,
            Frequency::Secondly => 1,
            _ => DAY,
        };
        let origin = start.div_euclid(unit) * unit;
        let step = unit * Second::from(rule.interval);
        let times = PeriodTimes::new(times, &rule.positions);
        let is_empty = times.at_or_after(0).is_none() || !reaches(origin, step, &begins);
        Self {
            unit,
            origin,
            step,
            begins,
            times,
            weekly: WeeklyWindows::new(weekdays, &begins),
            is_empty,
        }
    }

    /// Returns the first time of the rule that is not before `time`. `time` must not be before the start of
    /// the rule.
    pub(crate) fn at_or_after(&self, calendar: &Calendar, time: Second) -> Option<Second> {
        if self.is_empty {
            return None;
        }
        let begin = time.div_euclid(self.unit) * self.unit;
        let period = self.period_at_or_after(calendar, begin)?;
        if let Some(found) = self.times.at_or_after((time - period).max(0)) {
            return Some(period + found);
        }
        let period = self.period_at_or_after(calendar, period + self.unit)?;
        Some(period + self.times.at_or_after(0)?)
    }

    /// Returns the beginning of the first period of the rule that does not begin before `time`.
    ///
    /// Moves `time` forward to the next time that satisfies one condition after another, until one time
    /// satisfies all of them.
    fn period_at_or_after(&self, calendar: &Calendar, mut time: Second) -> Option<Second> {
        let end = END.min(time.saturating_add(cycle(self.step)));
        for steps in 0.. {
            time = align(time, self.origin, self.step);
            if steps > STEPS_BEFORE_WINDOWS {
                time = time.checked_add(self.weekly.wait(time, self.step)?)?;
            }
            if time >= end {
                break;
            }
            let earliest = self.earliest_begin(calendar, time)?;
            if earliest == time {
                return Some(time);
            }
            time = earliest;
        }
        None
    }

    /// Returns `time` if a period may begin at it, and otherwise a later time before which no period begins;
    /// `None` if no admitted day is left.
    fn earliest_begin(&self, calendar: &Calendar, time: Second) -> Option<Second> {
        let day = day_of(time);
        let admitted = calendar.at_or_after(day)?;
        if admitted > day {
            return Some(Second::from(admitted) * DAY);
        }
        let midnight = Second::from(day) * DAY;
        let begin = self.begins.at_or_after(u32::try_from(time - midnight).ok()?);
        Some(midnight + begin.map_or(DAY, Second::from))
    }
}

/// Returns whether the progression from `origin` by `step` reaches any of the times of day, on any day.
fn reaches(origin: Second, step: Second, times: &DayTimes) -> bool {
    let shared = gcd(step, DAY);
    let mut time = 0;
    while let Some(found) = u32::try_from(time)
        .ok()
        .and_then(|time| times.at_or_after(time))
        .map(Second::from)
    {
        time = align(found, origin, shared);
        if time == found {
            return true;
        }
    }
    false
}

/// Returns the number of seconds after which both the calendar and the progression by `step` repeat.
fn cycle(step: Second) -> Second {
    let calendar = Second::from(CYCLE_DAYS) * DAY;
    (calendar / gcd(calendar, step)).saturating_mul(step)
}

impl PeriodTimes {
    fn new(times: DayTimes, positions: &[i16]) -> Self {
        if positions.is_empty() {
            return Self::All(times);
        }
        let ranks = positions
            .iter()
            .filter_map(|position| rank((*position).into(), times.len().into()));
        let mut selected: Vec<_> = ranks.map(|rank| times.nth(rank)).collect();
        selected.sort_unstable();
        Self::Selected(selected)
    }

    fn at_or_after(&self, time: Second) -> Option<Second> {
        let time = u32::try_from(time).ok()?;
        let found = match self {
            Self::All(times) => times.at_or_after(time),
            Self::Selected(times) => times
                .get(times.partition_point(|selected| *selected < time))
                .copied(),
        };
        found.map(Second::from)
    }
}
