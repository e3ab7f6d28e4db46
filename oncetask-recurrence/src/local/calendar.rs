//! The days on which a rule may occur.

use std::sync::OnceLock;

use crate::local::bits::DayBits;
use crate::local::civil::{CYCLE_YEARS, Day, LAST_YEAR, Year, is_leap, weekday};
use crate::local::days::DayFilter;

/// The days that a rule's filters admit, year by year.
///
/// They depend only on the weekday of 1 January and on whether the year or one of its neighbours is a leap
/// year. The days are therefore computed at most once for each of 28 kinds of year.
#[derive(Debug)]
pub(crate) struct Calendar {
    filter: DayFilter,
    kinds: [OnceLock<DayBits>; 28],
}

impl Calendar {
    pub(crate) fn new(filter: DayFilter) -> Self {
        Self {
            filter,
            kinds: [const { OnceLock::new() }; 28],
        }
    }

    /// Returns the admitted days of a year, counted from 1 January.
    pub(crate) fn year(&self, year: Year) -> &DayBits {
        self.kinds[kind(year)].get_or_init(|| self.filter.days_of(year))
    }

    /// Returns the first admitted day that is not before `day`.
    pub(crate) fn at_or_after(&self, day: Day) -> Option<Day> {
        let mut year = Year::of(day);
        let mut from = (day - year.first).unsigned_abs();
        let last = LAST_YEAR.min(year.number + CYCLE_YEARS);
        while year.number <= last {
            if let Some(found) = self.year(year).at_or_after(from) {
                return Some(year.first + found.cast_signed());
            }
            (year, from) = (year.next(), 0);
        }
        None
    }

    /// Returns the admitted days among the `length` days from `first` on, counted from `first`.
    pub(crate) fn span(&self, first: Day, length: u32) -> DayBits {
        let mut span = DayBits::default();
        let mut day = self.at_or_after(first);
        while let Some(found) = day
            .map(|day| (day - first).unsigned_abs())
            .filter(|found| *found < length)
        {
            span.insert(found);
            day = self.at_or_after(first + found.cast_signed() + 1);
        }
        span
    }
}

/// Returns the kind of a year, from 0 to 27.
fn kind(year: Year) -> usize {
    let leap = if year.is_leap() {
        1
    } else if is_leap(year.number - 1) {
        2
    } else if is_leap(year.number + 1) {
        3
    } else {
        0
    };
    (weekday(year.first) * 4 + leap).unsigned_abs() as usize
}
