//! The times of the week at which a period of a rule can begin at all.

use crate::local::civil::{DAY, Second};
use crate::local::day_times::DayTimes;
use crate::local::modular::first_multiple_within;

/// A few runs of seconds that hold every time of the week at which a rule may occur, and perhaps others.
///
/// Within them a rule is looked for step by step; to the first of them there is a shortcut.
#[derive(Debug)]
pub(crate) struct Weekly {
    /// A day, or a week where weekdays matter.
    cycle: Second,
    runs: Vec<Run>,
}

/// Some seconds of the cycle, one after the other.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: Second,
    /// How many seconds come after the first.
    more: Second,
}

/// Each run costs a search; where there are more of them they are so close that some can be taken as one.
const MOST: usize = 64;

impl Weekly {
    /// For the admitted weekdays, the lowest bit being Monday, and the times of day.
    pub(crate) fn new(weekdays: u8, times: &DayTimes) -> Self {
        let every_day = weekdays == 0b111_1111;
        let (cycle, days) = if every_day { (DAY, 1) } else { (7 * DAY, weekdays) };
        let daily = runs(times, MOST / days.count_ones().max(1) as usize);
        Self {
            cycle,
            runs: shifted(&daily, days.into(), DAY),
        }
    }

    /// How long until a beat, from `time` on every `step`, first falls into a run; nothing if it never does.
    pub(crate) fn wait(&self, time: Second, step: Second) -> Option<Second> {
        let beats = self
            .runs
            .iter()
            .filter_map(|run| run.beats(time, step, self.cycle))
            .min()?;
        beats.checked_mul(step)
    }
}

impl Run {
    fn beats(&self, time: Second, step: Second, cycle: Second) -> Option<i64> {
        let ahead = (time - self.first).rem_euclid(cycle);
        if ahead <= self.more {
            return Some(0);
        }
        first_multiple_within(step % cycle, cycle, cycle - ahead, cycle - ahead + self.more)
    }
}

/// The times of day as runs: exactly if that takes few enough, or else by whole minutes, or hours.
fn runs(times: &DayTimes, most: usize) -> Vec<Run> {
    let DayTimes {
        hours,
        minutes,
        seconds,
    } = *times;
    let by_second = spans(seconds, 1);
    let by_minute = spans(minutes, 60);
    let in_minutes = (hours.count_ones() * minutes.count_ones()) as usize * by_second.len();
    let in_hours = hours.count_ones() as usize * by_minute.len();
    if seconds != EVERY && in_minutes <= most {
        let hourly = shifted(&by_second, minutes, 60);
        shifted(&hourly, hours, 3600)
    } else if minutes != EVERY && in_hours <= most {
        shifted(&by_minute, hours, 3600)
    } else {
        spans(hours, 3600)
    }
}

/// All of 60 minutes or seconds.
const EVERY: u64 = (1 << 60) - 1;

/// The runs of numbers in the set, each number standing for so many seconds.
fn spans(mut set: u64, unit: Second) -> Vec<Run> {
    let mut spans = Vec::new();
    let mut past = 0;
    while set != 0 {
        let gap = set.trailing_zeros();
        let length = (set >> gap).trailing_ones();
        let (first, length_in_seconds) = (Second::from(past + gap) * unit, Second::from(length) * unit);
        spans.push(Run {
            first,
            more: length_in_seconds - 1,
        });
        past += gap + length;
        set = set >> gap >> length;
    }
    spans
}

/// The runs once for each number in the set, later by as many units.
fn shifted(runs: &[Run], set: u64, unit: Second) -> Vec<Run> {
    let numbers = (0..64).filter(|number| set >> number & 1 == 1);
    let at = |number: Second| {
        runs.iter().map(move |run| Run {
            first: number * unit + run.first,
            ..*run
        })
    };
    numbers.flat_map(at).collect()
}
