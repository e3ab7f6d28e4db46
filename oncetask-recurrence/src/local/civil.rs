//! Days and seconds of the proleptic Gregorian calendar as numbers.

/// A number of days since 0001-01-01, a Monday.
pub(crate) type Day = i32;

/// A number of seconds since 0001-01-01T00:00:00, of a local time or of an instant.
pub(crate) type Second = i64;

/// The number of seconds in a day.
pub(crate) const DAY: Second = 86_400;

/// The number of years after which the calendar repeats, including weekdays.
pub(crate) const CYCLE_YEARS: i32 = 400;

/// The number of days in [`CYCLE_YEARS`].
pub(crate) const CYCLE_DAYS: Day = 146_097;

/// The last year that the date format of RFC 5545 can express.
pub(crate) const LAST_YEAR: i32 = 9999;

/// The first second after [`LAST_YEAR`].
pub(crate) const END: Second = 3_652_059 * DAY;

/// The number of seconds from 0001-01-01 to 1970-01-01.
pub(crate) const UNIX_EPOCH: Second = 719_162 * DAY;

const MONTH_LENGTHS: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// A calendar year and its first day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Year {
    pub(crate) number: i32,
    pub(crate) first: Day,
}

impl Year {
    pub(crate) fn new(number: i32) -> Self {
        let past = number - 1;
        let leap_days = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
        Self {
            number,
            first: 365 * past + leap_days,
        }
    }

    /// Returns the year that contains a day.
    pub(crate) fn of(day: Day) -> Self {
        let within = day.rem_euclid(CYCLE_DAYS);
        // The last of four centuries and the last of four years are one day longer than the others.
        let century = (within / 36_524).min(3);
        let rest = within - century * 36_524;
        let (fours, rest) = (rest / 1461, rest % 1461);
        let year = (rest / 365).min(3);
        Self::new(day.div_euclid(CYCLE_DAYS) * CYCLE_YEARS + century * 100 + fours * 4 + year + 1)
    }

    pub(crate) fn next(self) -> Self {
        Self {
            number: self.number + 1,
            first: self.first + self.days(),
        }
    }

    pub(crate) fn is_leap(self) -> bool {
        is_leap(self.number)
    }

    pub(crate) fn days(self) -> Day {
        365 + Day::from(self.is_leap())
    }
}

/// Returns the first day of a month, counted from 1 January, and the number of its days.
pub(crate) fn month_span(leap: bool, month: u32) -> (u32, u32) {
    let first = (1..month).map(|month| month_length(leap, month)).sum();
    (first, month_length(leap, month))
}

pub(crate) fn month_length(leap: bool, month: u32) -> u32 {
    MONTH_LENGTHS[(month - 1) as usize] + u32::from(leap && month == 2)
}

/// Returns the number of days since the last Monday, from 0 to 6.
pub(crate) fn weekday(day: Day) -> i32 {
    day.rem_euclid(7)
}

pub(crate) fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_day_of_each_year_belong_to_it() {
        let mut year = Year::new(1);
        while year.number <= LAST_YEAR {
            let last = year.first + year.days() - 1;
            assert_eq!((Year::of(year.first), Year::of(last)), (year, year));
            year = year.next();
            assert_eq!(year, Year::new(year.number));
        }
        assert_eq!(Second::from(year.first) * DAY, END);
        assert_eq!(Second::from(Year::new(1970).first) * DAY, UNIX_EPOCH);
    }
}
