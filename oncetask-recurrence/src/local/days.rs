//! The parts of a rule that select days: `BYMONTH`, `BYWEEKNO`, `BYYEARDAY`, `BYMONTHDAY` and `BYDAY`.

use crate::local::bits::DayBits;
use crate::local::civil::{Day, Year, month_length, weekday};
use crate::rule::{Frequency, NthWeekday, Rule};

/// A filter of days. An empty list admits every day.
#[derive(Clone, Debug)]
pub(crate) struct DayFilter {
    months: Vec<i16>,
    weeks: Vec<i16>,
    year_days: Vec<i16>,
    month_days: Vec<i16>,
    weekdays: Vec<NthWeekday>,
    numbered_in: Scope,
    week_start: i32,
}

/// The span within which weekdays are numbered.
#[derive(Clone, Copy, Debug)]
enum Scope {
    Month,
    Year,
}

/// A day with the numbers by which a rule can select it. Numbers count from 1.
struct NumberedDay {
    month: u32,
    month_day: i32,
    /// The length of the month.
    month_days: i32,
    year_day: i32,
    /// The length of the year.
    year_days: i32,
    /// In days after Monday.
    weekday: i32,
    /// The number of the week, and the number of weeks in the year of that week.
    week: (i32, i32),
}

impl DayFilter {
    /// Returns the filter of a rule. If the rule does not select days, `start` supplies the day.
    pub(crate) fn new(rule: &Rule, start: Option<Day>) -> Self {
        let yearly = rule.frequency == Frequency::Yearly;
        let mut filter = Self {
            months: rule.months.clone(),
            weeks: rule.weeks.clone(),
            year_days: rule.year_days.clone(),
            month_days: rule.month_days.clone(),
            weekdays: rule.weekdays.clone(),
            numbered_in: if yearly && rule.months.is_empty() {
                Scope::Year
            } else {
                Scope::Month
            },
            week_start: rule.week_start,
        };
        if let Some(start) = start.filter(|_| !rule.names_days()) {
            filter.select_day_of_start(start, rule.frequency);
        }
        filter
    }

    fn select_day_of_start(&mut self, start: Day, frequency: Frequency) {
        let year = Year::of(start);
        let index = (start - year.first).unsigned_abs() as usize;
        let Some(day) = numbered_days(year, self.week_start).nth(index) else {
            return;
        };
        match frequency {
            Frequency::Yearly if self.months.is_empty() => {
                self.months = vec![narrow(day.month.cast_signed())];
                self.month_days = vec![narrow(day.month_day)];
            }
            Frequency::Yearly | Frequency::Monthly => self.month_days = vec![narrow(day.month_day)],
            Frequency::Weekly => self.weekdays.push(NthWeekday {
                weekday: day.weekday,
                nth: None,
            }),
            _ => {}
        }
    }

    /// Returns the admitted days of a year, counted from 1 January.
    pub(crate) fn days_of(&self, year: Year) -> DayBits {
        let mut days = DayBits::default();
        for (day, index) in numbered_days(year, self.week_start).zip(0..) {
            if self.admits(&day) {
                days.insert(index);
            }
        }
        days
    }

    /// Returns the weekdays that an admitted day may have. The lowest bit is Monday.
    pub(crate) fn possible_weekdays(&self) -> u8 {
        if self.weekdays.is_empty() {
            return 0b111_1111;
        }
        self.weekdays.iter().fold(0, |set, day| set | 1 << day.weekday)
    }

    fn admits(&self, day: &NumberedDay) -> bool {
        let (week, weeks) = day.week;
        (self.months.is_empty() || contains(&self.months, day.month.cast_signed(), 0))
            && (self.weeks.is_empty() || contains(&self.weeks, week, weeks))
            && (self.year_days.is_empty() || contains(&self.year_days, day.year_day, day.year_days))
            && (self.month_days.is_empty() || contains(&self.month_days, day.month_day, day.month_days))
            && (self.weekdays.is_empty() || self.weekdays.iter().any(|weekday| self.is_nth(*weekday, day)))
    }

    fn is_nth(&self, wanted: NthWeekday, day: &NumberedDay) -> bool {
        let (number, length) = match self.numbered_in {
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
}

/// Returns the days of a year in order.
fn numbered_days(year: Year, week_start: i32) -> impl Iterator<Item = NumberedDay> {
    let leap = year.is_leap();
    let weeks = Weeks::new(year, week_start);
    let days = (1..=12).flat_map(move |month| {
        let length = month_length(leap, month).cast_signed();
        (1..=length).map(move |day| (month, day, length))
    });
    days.zip(0..)
        .map(move |((month, month_day, month_days), day)| NumberedDay {
            month,
            month_day,
            month_days,
            year_day: day + 1,
            year_days: year.days(),
            weekday: weekday(year.first + day),
            week: weeks.of(day),
        })
}

/// Returns whether the list contains a number. A negative entry counts from the end of `length`; a `length`
/// of 0 admits no negative entries.
fn contains(list: &[i16], number: i32, length: i32) -> bool {
    let has = |number| list.binary_search(&narrow(number)).is_ok();
    has(number) || length > 0 && has(number - length - 1)
}

/// Converts the number of a day, week or month, which is at most 366.
fn narrow(number: i32) -> i16 {
    i16::try_from(number).unwrap_or(i16::MAX)
}

/// The weeks of a year, numbered as in ISO 8601: week 1 is the first week with at least four days of the
/// year. Weeks may start on any weekday.
struct Weeks {
    /// The first day of week 1, in days after 1 January.
    first: i32,
    /// The first day of week 1 of the next year, in days after 1 January of this year.
    next: i32,
    /// The numbers of weeks in the previous year and in the next year.
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

    /// Returns the number of the week that contains a day, and the number of weeks in the year of that week.
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
