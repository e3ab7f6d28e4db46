//! The windows of the week in which a period of a rule can begin.

use crate::local::civil::{DAY, Second};
use crate::local::day_times::DayTimes;
use crate::local::modular::first_multiple_within;

/// A small set of windows that covers every time of the week at which a period of the rule may begin. It may
/// also cover other times.
///
/// The first time at which a progression enters a window is calculated without visiting the times before it.
#[derive(Debug)]
pub(crate) struct WeeklyWindows {
    /// The duration after which the windows repeat: a day if every weekday is admitted, otherwise a week.
    cycle: Second,
    windows: Vec<Window>,
}

/// Consecutive seconds of the cycle.
#[derive(Clone, Copy, Debug)]
struct Window {
    first: Second,
    length: Second,
}

/// The maximum number of windows, because each costs a calculation. More windows lie so close together that
/// some can be merged.
const MAX_WINDOWS: usize = 64;

impl WeeklyWindows {
    /// Returns the windows for the admitted weekdays and the times of day. The lowest bit of `weekdays` is
    /// Monday.
    pub(crate) fn new(weekdays: u8, times: &DayTimes) -> Self {
        let every_day = weekdays == 0b111_1111;
        let (cycle, days) = if every_day { (DAY, 1) } else { (7 * DAY, weekdays) };
        let daily = daily_windows(times, MAX_WINDOWS / days.count_ones().max(1) as usize);
        Self {
            cycle,
            windows: repeated(&daily, days.into(), DAY),
        }
    }

    /// Returns the number of seconds until the progression from `time` by `step` first enters a window;
    /// `None` if it never does.
    pub(crate) fn wait(&self, time: Second, step: Second) -> Option<Second> {
        let steps = self
            .windows
            .iter()
            .filter_map(|window| window.steps_until(time, step, self.cycle))
            .min()?;
        steps.checked_mul(step)
    }
}

impl Window {
    /// Returns the number of steps until the progression from `time` by `step` first enters this window.
    fn steps_until(&self, time: Second, step: Second, cycle: Second) -> Option<i64> {
        let since_first = (time - self.first).rem_euclid(cycle);
        if since_first < self.length {
            return Some(0);
        }
        let until_first = cycle - since_first;
        first_multiple_within(step % cycle, cycle, until_first, until_first + self.length - 1)
    }
}

/// Returns windows that cover the times of day: exact windows if `max` suffices for them, otherwise windows
/// of whole minutes or hours.
fn daily_windows(times: &DayTimes, max: usize) -> Vec<Window> {
    let DayTimes {
        hours,
        minutes,
        seconds,
    } = *times;
    let by_second = windows_of(seconds, 1);
    let by_minute = windows_of(minutes, 60);
    let count_by_second = (hours.count_ones() * minutes.count_ones()) as usize * by_second.len();
    let count_by_minute = hours.count_ones() as usize * by_minute.len();
    if seconds != ALL_60 && count_by_second <= max {
        let hourly = repeated(&by_second, minutes, 60);
        repeated(&hourly, hours, 3600)
    } else if minutes != ALL_60 && count_by_minute <= max {
        repeated(&by_minute, hours, 3600)
    } else {
        windows_of(hours, 3600)
    }
}

/// The set of all 60 minutes or seconds.
const ALL_60: u64 = (1 << 60) - 1;

/// Returns the windows of consecutive numbers in the set. Each number stands for `unit` seconds.
fn windows_of(mut set: u64, unit: Second) -> Vec<Window> {
    let mut windows = Vec::new();
    let mut passed = 0;
    while set != 0 {
        let gap = set.trailing_zeros();
        let length = (set >> gap).trailing_ones();
        windows.push(Window {
            first: Second::from(passed + gap) * unit,
            length: Second::from(length) * unit,
        });
        passed += gap + length;
        set = set >> gap >> length;
    }
    windows
}

/// Returns a copy of the windows for each number in the set, later by that many units of `unit` seconds.
fn repeated(windows: &[Window], set: u64, unit: Second) -> Vec<Window> {
    let numbers = (0..64).filter(|number| set >> number & 1 == 1);
    let at = |number: Second| {
        windows.iter().map(move |window| Window {
            first: number * unit + window.first,
            ..*window
        })
    };
    numbers.flat_map(at).collect()
}
