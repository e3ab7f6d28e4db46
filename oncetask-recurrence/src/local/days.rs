//! What a rule says of days: its parts `BYMONTH`, `BYWEEKNO`, `BYYEARDAY`, `BYMONTHDAY` and `BYDAY`.

use crate::local::bits::DayBits;
use crate::local::civil::{Day, Year, month_length, weekday};
use crate::rule::{Frequency, NthWeekday, Rule};

/// A test for days. An empty list admits every day.
#[derive(Clone, Debug)]
pub(crate) struct DayFilter {
    months: Vec<i16>,
    weeks: Vec<i16>,
    year_days: Vec<i16>,
    month_days: Vec<i16>,
    weekdays: Vec<NthWeekday>,
    counted_in: Scope,
    week_start: i32,
}

/// The span within which weekdays are counted.
#[derive(Clone, Copy, Debug)]
enum Scope {
    Month,
    Year,
}

/// A day, and the numbers by which rules name it.
struct Place {
    month: u32,
    /// From 1.
    month_day: i32,
    month_days: i32,
    /// From 1.
    year_day: i32,
    year_days: i32,
    weekday: i32,
    /// From 1, and how many weeks that week's year has.
    week: (i32, i32),
}

impl DayFilter {
    /// The filters of the rule; `dtstart` names the day when the rule does not.
    pub(crate) fn new(rule: &Rule, start: Option<Day>) -> Self {
        let yearly = rule.frequency == Frequency::Yearly;
        let mut filter = Self {
            months: rule.months.clone(),
            weeks: rule.weeks.clone(),
            year_days: rule.year_days.clone(),
            month_days: rule.month_days.clone(),
            weekdays: rule.weekdays.clone(),
            counted_in: if yearly && rule.months.is_empty() {
                Scope::Year
            } else {
                Scope::Month
            },
            week_start: rule.week_start,
        };
        if let Some(day) = start.filter(|_| !rule.names_days()) {
            filter.name_day_of(day, rule.frequency);
        }
        filter
    }

    fn name_day_of(&mut self, day: Day, frequency: Frequency) {
        let year = Year::of(day);
        let place = Self::places(year, self.week_start).nth((day - year.first).unsigned_abs() as usize);
        let Some(place) = place else { return };
        match frequency {
            Frequency::Yearly if self.months.is_empty() => {
                self.months = vec![narrow(place.month.cast_signed())];
                self.month_days = vec![narrow(place.month_day)];
            }
            Frequency::Yearly | Frequency::Monthly => self.month_days = vec![narrow(place.month_day)],
            Frequency::Weekly => self.weekdays.push(NthWeekday {
                weekday: place.weekday,
                nth: None,
            }),
            _ => {}
        }
    }

    /// The days of this year that are admitted.
    pub(crate) fn days_of(&self, year: Year) -> DayBits {
        let mut days = DayBits::default();
        for (place, day) in Self::places(year, self.week_start).zip(0..) {
            if self.admits(&place) {
                days.insert(day);
            }
        }
        days
    }

    /// The weekdays that any admitted day may have: the lowest bit is Monday.
    pub(crate) fn possible_weekdays(&self) -> u8 {
        if self.weekdays.is_empty() {
            return 0b111_1111;
        }
        self.weekdays.iter().fold(0, |set, day| set | 1 << day.weekday)
    }

    fn admits(&self, day: &Place) -> bool {
        let (week, weeks) = day.week;
        (self.months.is_empty() || names(&self.months, day.month.cast_signed(), 0))
            && (self.weeks.is_empty() || names(&self.weeks, week, weeks))
            && (self.year_days.is_empty() || names(&self.year_days, day.year_day, day.year_days))
            && (self.month_days.is_empty() || names(&self.month_days, day.month_day, day.month_days))
            && (self.weekdays.is_empty() || self.weekdays.iter().any(|weekday| self.is_nth(*weekday, day)))
    }

    fn is_nth(&self, wanted: NthWeekday, day: &Place) -> bool {
        let (number, length) = match self.counted_in {
            Scope::Month => (day.month_day, day.month_days),
            Scope::Year => (day.year_day, day.year_days),
        };
        wanted.weekday == day.weekday
            && match wanted.nth.map(i32::from) {
                None => true,
                Some(nth) if nth > 0 => (number - 1) / 7 + 1 == nth,
                Some(nth) => (length - number) / 7 + 1 == -nth,
            }
    }

    fn places(year: Year, week_start: i32) -> impl Iterator<Item = Place> {
        let leap = year.is_leap();
        let weeks = Weeks::new(year, week_start);
        let days = (1..=12).flat_map(move |month| {
            let length = month_length(leap, month).cast_signed();
            (1..=length).map(move |day| (month, day, length))
        });
        days.zip(0..)
            .map(move |((month, month_day, month_days), day)| Place {
                month,
                month_day,
                month_days,
                year_day: day + 1,
                year_days: year.days(),
                weekday: weekday(year.first + day),
                week: weeks.of(day),
            })
    }
}

/// Whether the list has this number, counted from 1 or, when negative, from the end of `length`.
fn names(list: &[i16], number: i32, length: i32) -> bool {
    let has = |number| list.binary_search(&narrow(number)).is_ok();
    has(number) || length > 0 && has(number - length - 1)
}

/// No number of a day, week or month exceeds 366.
fn narrow(number: i32) -> i16 {
    i16::try_from(number).unwrap_or(i16::MAX)
}

/// The weeks of a year as ISO 8601 numbers them, but for the day on which they start: the first is the one
/// that has at least four days of the year.
struct Weeks {
    /// The first day of week 1, in days after the new year.
    first: i32,
    /// The first day of the next year's week 1.
    next: i32,
    /// How many weeks the year before and the year after have.
    neighbours: (i32, i32),
}

impl Weeks {
    fn new(year: Year, week_start: i32) -> Self {
        let first_of = |number| {
            let other = Year::new(number);
            let gap = (week_start - weekday(other.first)).rem_euclid(7);
            other.first - year.first + if gap >= 4 { gap - 7 } else { gap }
        };
        let [before, first, next, after] = [-1, 0, 1, 2].map(|offset| first_of(year.number + offset));
        Self {
            first,
            next,
            neighbours: ((first - before) / 7, (after - next) / 7),
        }
    }

    /// The number of the week that has this day, and how many weeks that week's year has.
    fn of(&self, day: i32) -> (i32, i32) {
        let (before, after) = self.neighbours;
        if day < self.first {
            (before, before)
        } else if day >= self.next {
            (1, after)
        } else {
            ((day - self.first) / 7 + 1, (self.next - self.first) / 7)
        }
    }
}
