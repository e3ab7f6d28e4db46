//! Times of day as sets: every combination of some hours, minutes and seconds.

use crate::local::bits::select;

/// A set of times of day. It contains every combination of its hours, minutes and seconds, each a set of
/// bits.
///
/// A time is given in seconds since midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DayTimes {
    pub(crate) hours: u64,
    pub(crate) minutes: u64,
    pub(crate) seconds: u64,
}

impl DayTimes {
    /// Returns the number of times, from 0 to 86,400.
    pub(crate) fn len(&self) -> u32 {
        self.hours.count_ones() * self.minutes.count_ones() * self.seconds.count_ones()
    }

    /// Returns the time that has `rank` times of the set before it.
    pub(crate) fn nth(&self, rank: u32) -> u32 {
        let (minutes, seconds) = (self.minutes.count_ones(), self.seconds.count_ones());
        let (hour, rest) = (rank / (minutes * seconds), rank % (minutes * seconds));
        select(self.hours, hour) * 3600
            + select(self.minutes, rest / seconds) * 60
            + select(self.seconds, rest % seconds)
    }

    /// Returns the first time of the set that is not before `time`.
    pub(crate) fn at_or_after(&self, time: u32) -> Option<u32> {
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        self.in_minute(hour, minute, second)
            .or_else(|| self.in_hour(hour, minute + 1))
            .or_else(|| Some(next(self.hours, hour + 1)? * 3600 + self.first_of_hour()?))
    }

    /// Returns the first time of the set in this minute, from `second` on.
    fn in_minute(&self, hour: u32, minute: u32, second: u32) -> Option<u32> {
        let admitted = contains(self.hours, hour) && contains(self.minutes, minute);
        admitted
            .then(|| next(self.seconds, second))
            .flatten()
            .map(|second| hour * 3600 + minute * 60 + second)
    }

    /// Returns the first time of the set in this hour, from `minute` on.
    fn in_hour(&self, hour: u32, minute: u32) -> Option<u32> {
        let minute = contains(self.hours, hour)
            .then(|| next(self.minutes, minute))
            .flatten()?;
        Some(hour * 3600 + minute * 60 + next(self.seconds, 0)?)
    }

    fn first_of_hour(&self) -> Option<u32> {
        Some(next(self.minutes, 0)? * 60 + next(self.seconds, 0)?)
    }
}

fn contains(set: u64, value: u32) -> bool {
    value < 64 && set >> value & 1 == 1
}

/// Returns the first value of the set that is not below `value`.
fn next(set: u64, value: u32) -> Option<u32> {
    let rest = if value < 64 { set & (u64::MAX << value) } else { 0 };
    (rest != 0).then(|| rest.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iteration_by_rank_and_by_time_gives_the_same_order() {
        let times = DayTimes {
            hours: 1 << 3 | 1 << 23,
            minutes: 1 | 1 << 59,
            seconds: 1 << 5 | 1 << 59,
        };
        let all: Vec<_> = (0..times.len()).map(|rank| times.nth(rank)).collect();
        let from = |time| times.at_or_after(time);
        let followed: Vec<_> = std::iter::successors(from(0), |time| from(time + 1)).collect();
        assert_eq!(all, followed);
        assert_eq!((all[0], all[7]), (3 * 3600 + 5, 86_399));
        assert_eq!(from(86_400), None);
    }
}
