//! A rule of RFC 5545, as it was written.

mod legal;
pub(crate) mod parse;
mod values;

use std::fmt;

use crate::local::civil::Second;

/// A rule: what RFC 5545 calls a `RECUR` value. An empty list stands for a part that is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) frequency: Frequency,
    pub(crate) interval: u32,
    pub(crate) count: Option<u32>,
    pub(crate) until: Option<Until>,
    pub(crate) months: Vec<i16>,
    pub(crate) weeks: Vec<i16>,
    pub(crate) year_days: Vec<i16>,
    pub(crate) month_days: Vec<i16>,
    pub(crate) weekdays: Vec<NthWeekday>,
    pub(crate) hours: Vec<i16>,
    pub(crate) minutes: Vec<i16>,
    pub(crate) seconds: Vec<i16>,
    pub(crate) positions: Vec<i16>,
    /// Days after Monday.
    pub(crate) week_start: i32,
}

impl Rule {
    pub(crate) fn new(frequency: Frequency) -> Self {
        Self {
            frequency,
            interval: 1,
            count: None,
            until: None,
            months: Vec::new(),
            weeks: Vec::new(),
            year_days: Vec::new(),
            month_days: Vec::new(),
            weekdays: Vec::new(),
            hours: Vec::new(),
            minutes: Vec::new(),
            seconds: Vec::new(),
            positions: Vec::new(),
            week_start: 0,
        }
    }

    /// Whether the rule says itself on which days it occurs; `dtstart` says it otherwise.
    pub(crate) fn names_days(&self) -> bool {
        !(self.weeks.is_empty()
            && self.year_days.is_empty()
            && self.month_days.is_empty()
            && self.weekdays.is_empty())
    }
}

/// How long a period is. The order is that of their lengths, the longest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Frequency {
    Yearly,
    Monthly,
    Weekly,
    Daily,
    Hourly,
    Minutely,
    Secondly,
}

impl Frequency {
    pub(crate) const ALL: [(&str, Self); 7] = [
        ("YEARLY", Self::Yearly),
        ("MONTHLY", Self::Monthly),
        ("WEEKLY", Self::Weekly),
        ("DAILY", Self::Daily),
        ("HOURLY", Self::Hourly),
        ("MINUTELY", Self::Minutely),
        ("SECONDLY", Self::Secondly),
    ];
}

impl fmt::Display for Frequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL
            .iter()
            .find(|(_, frequency)| frequency == self)
            .map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// The last moment at which a rule may occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    Local(Second),
    Instant(Second),
}

/// A weekday of a rule: every one of the period, or the nth, counted from its end when negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NthWeekday {
    /// Days after Monday.
    pub(crate) weekday: i32,
    pub(crate) nth: Option<i16>,
}

/// The names of the weekdays, from Monday on.
pub(crate) const WEEKDAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
