//! The times of day that a rule names: every combination of some hours, minutes and seconds.

use crate::local::bits::select;

/// A set of times of day, each in seconds since midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DayTimes {
    pub(crate) hours: u64,
    pub(crate) minutes: u64,
    pub(crate) seconds: u64,
}

impl DayTimes {
    /// How many times there are, from none to 86,400.
    pub(crate) fn len(&self) -> u32 {
        self.hours.count_ones() * self.minutes.count_ones() * self.seconds.count_ones()
    }

    /// The time that has `rank` others of the set before it.
    pub(crate) fn nth(&self, rank: u32) -> u32 {
        let (minutes, seconds) = (self.minutes.count_ones(), self.seconds.count_ones());
        let (hour, rest) = (rank / (minutes * seconds), rank % (minutes * seconds));
        select(self.hours, hour) * 3600
            + select(self.minutes, rest / seconds) * 60
            + select(self.seconds, rest % seconds)
    }

    /// The first time of the set that is not before this one.
    pub(crate) fn at_or_after(&self, time: u32) -> Option<u32> {
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        self.same_minute(hour, minute, second)
            .or_else(|| self.same_hour(hour, minute + 1))
            .or_else(|| Some(next(self.hours, hour + 1)? * 3600 + self.first_of_hour()?))
    }

    fn same_minute(&self, hour: u32, minute: u32, second: u32) -> Option<u32> {
        let shown = has(self.hours, hour) && has(self.minutes, minute);
        shown
            .then(|| next(self.seconds, second))
            .flatten()
            .map(|second| hour * 3600 + minute * 60 + second)
    }

    fn same_hour(&self, hour: u32, minute: u32) -> Option<u32> {
        let minute = has(self.hours, hour)
            .then(|| next(self.minutes, minute))
            .flatten()?;
        Some(hour * 3600 + minute * 60 + next(self.seconds, 0)?)
    }

    fn first_of_hour(&self) -> Option<u32> {
        Some(next(self.minutes, 0)? * 60 + next(self.seconds, 0)?)
    }
}

fn has(set: u64, value: u32) -> bool {
    value < 64 && set >> value & 1 == 1
}

fn next(set: u64, value: u32) -> Option<u32> {
    let rest = if value < 64 { set & (u64::MAX << value) } else { 0 };
    (rest != 0).then(|| rest.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_order_however_they_are_asked_for() {
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
