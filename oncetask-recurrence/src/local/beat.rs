//! Rules by day, hour, minute or second: periods of equal length, none longer than a day.

use crate::local::calendar::Calendar;
use crate::local::civil::{CYCLE_DAYS, DAY, END, Second};
use crate::local::day_of;
use crate::local::day_times::DayTimes;
use crate::local::modular::{align, gcd};
use crate::local::periods::rank;
use crate::local::weekly::Weekly;
use crate::rule::{Frequency, Rule};

/// Every so many seconds a period begins, and those count that begin on an admitted day at one of some times.
#[derive(Debug)]
pub(crate) struct Beat {
    unit: Second,
    /// The beginning of the period that has the start of the rule.
    origin: Second,
    step: Second,
    slots: DayTimes,
    within: Within,
    weekly: Weekly,
    never: bool,
}

/// The times of a period, in seconds after its beginning.
#[derive(Debug)]
enum Within {
    All(DayTimes),
    /// Those that `BYSETPOS` picks.
    Picked(Vec<u32>),
}

impl Beat {
    pub(crate) fn new(rule: &Rule, start: Second, weekdays: u8, slots: DayTimes, within: DayTimes) -> Self {
        let unit = match rule.frequency {
            Frequency::Hourly => 3600,
            Frequency::Minutely => 60,
            Frequency::Secondly => 1,
            _ => DAY,
        };
        let origin = start.div_euclid(unit) * unit;
        let step = unit * Second::from(rule.interval);
        let within = Within::new(within, &rule.positions);
        let never = within.at_or_after(0).is_none() || !meets(origin, step, &slots);
        Self {
            unit,
            origin,
            step,
            slots,
            within,
            weekly: Weekly::new(weekdays, &slots),
            never,
        }
    }

    /// The first time that is not before this one, which is not before the start of the rule.
    pub(crate) fn at_or_after(&self, calendar: &Calendar, time: Second) -> Option<Second> {
        if self.never {
            return None;
        }
        let begin = time.div_euclid(self.unit) * self.unit;
        let period = self.period_at_or_after(calendar, begin)?;
        if let Some(found) = self.within.at_or_after((time - period).max(0)) {
            return Some(period + found);
        }
        let period = self.period_at_or_after(calendar, period + self.unit)?;
        Some(period + self.within.at_or_after(0)?)
    }

    /// Goes from each condition to the next time that meets it, until one time meets them all.
    fn period_at_or_after(&self, calendar: &Calendar, mut time: Second) -> Option<Second> {
        let end = END.min(time.saturating_add(cycle(self.step)));
        for tries in 0.. {
            time = align(time, self.origin, self.step);
            if tries > PATIENCE {
                time = time.checked_add(self.weekly.wait(time, self.step)?)?;
            }
            if time >= end {
                break;
            }
            match self.missed(calendar, time)? {
                None => return Some(time),
                Some(later) => time = later,
            }
        }
        None
    }

    /// A later time, before which no period of the rule begins; nothing if one begins at `time`.
    #[expect(
        clippy::option_option,
        reason = "the outer one ends the search, as calendars end"
    )]
    fn missed(&self, calendar: &Calendar, time: Second) -> Option<Option<Second>> {
        let day = day_of(time);
        let midnight = Second::from(day) * DAY;
        let admitted = calendar.at_or_after(day)?;
        if admitted > day {
            return Some(Some(Second::from(admitted) * DAY));
        }
        let slot = self
            .slots
            .at_or_after(u32::try_from(time - midnight).ok()?)
            .map_or(DAY, Second::from);
        Some(Some(midnight + slot).filter(|slot| *slot != time))
    }
}

/// So many leaps find the next period of most rules. Looking further ahead costs more, but spares the others,
/// whose beat shifts by seconds a week, thousands of leaps.
const PATIENCE: u32 = 16;

/// Whether the beat comes at any of these times of day, on whatever days.
fn meets(origin: Second, step: Second, slots: &DayTimes) -> bool {
    let shared = gcd(step, DAY);
    let mut time = 0;
    while let Some(slot) = u32::try_from(time)
        .ok()
        .and_then(|time| slots.at_or_after(time))
        .map(Second::from)
    {
        time = align(slot, origin, shared);
        if time == slot {
            return true;
        }
    }
    false
}

/// After how long both the calendar and the beat repeat, in seconds.
fn cycle(step: Second) -> Second {
    let calendar = Second::from(CYCLE_DAYS) * DAY;
    (calendar / gcd(calendar, step)).saturating_mul(step)
}

impl Within {
    fn new(times: DayTimes, positions: &[i16]) -> Self {
        if positions.is_empty() {
            return Self::All(times);
        }
        let ranks = positions
            .iter()
            .filter_map(|position| rank((*position).into(), times.len().into()));
        let mut picked: Vec<_> = ranks.map(|rank| times.nth(rank)).collect();
        picked.sort_unstable();
        Self::Picked(picked)
    }

    fn at_or_after(&self, time: Second) -> Option<Second> {
        let time = u32::try_from(time).ok()?;
        let found = match self {
            Self::All(times) => times.at_or_after(time),
            Self::Picked(times) => times.get(times.partition_point(|picked| *picked < time)).copied(),
        };
        found.map(Second::from)
    }
}
