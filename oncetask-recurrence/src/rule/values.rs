//! Parsers for the values of rule parts.

use std::ops::RangeInclusive;

use crate::local::civil::{DAY, Second, Year, month_length, month_span};
use crate::rule::token::{Mistake, Part, Token};
use crate::rule::{Frequency, NthWeekday, Until, WEEKDAYS};

pub(super) fn frequency(value: Token<'_>) -> Result<Frequency, Mistake> {
    let known = Frequency::ALL
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(value.text));
    known.map(|(_, frequency)| *frequency).ok_or_else(|| {
        let names = Frequency::ALL.map(|(name, _)| name).join(", ");
        value.mistake(format_args!(
            "is not a valid frequency; the frequencies are {names}"
        ))
    })
}

/// The maximum of `COUNT`. The cost of finding the last occurrence of a rule grows with `COUNT`.
const MAX_COUNT: u32 = 100_000;

pub(super) fn positive(part: &Part<'_>, max: u32) -> Result<u32, Mistake> {
    let number = digits(part.value.text).and_then(|digits| digits.parse().ok());
    number.filter(|number| (1..=max).contains(number)).ok_or_else(|| {
        part.value.mistake(format_args!(
            "is not a valid `{}`; expected a number from 1 to {max}",
            part.name
        ))
    })
}

pub(super) fn count(part: &Part<'_>) -> Result<u32, Mistake> {
    positive(part, MAX_COUNT).map_err(|mistake| Mistake {
        reason: mistake.reason + "; end a longer rule with `UNTIL`",
        ..mistake
    })
}

/// The signs that numbers may have. A negative number counts from the end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Both,
}

pub(super) fn numbers(part: &Part<'_>, range: RangeInclusive<i16>, sign: Sign) -> Result<Vec<i16>, Mistake> {
    list(part, |part, token| {
        number(token.text, &range, sign).ok_or_else(|| {
            let negative = match sign {
                Sign::Plus => String::new(),
                Sign::Both => format!(", or from -{} to -{}", range.end(), range.start()),
            };
            let (name, first, last) = (part.name, range.start(), range.end());
            token.mistake(format_args!(
                "is not a valid `{name}`; expected numbers from {first} to {last}{negative}, separated by commas"
            ))
        })
    })
}

fn number(text: &str, range: &RangeInclusive<i16>, sign: Sign) -> Option<i16> {
    let number = signed(text, sign)?;
    range.contains(&number.abs()).then_some(number)
}

fn signed(text: &str, sign: Sign) -> Option<i16> {
    let (factor, rest) = match (text.as_bytes().first()?, sign) {
        (b'-', Sign::Both) => (-1, &text[1..]),
        (b'+', Sign::Both) => (1, &text[1..]),
        _ => (1, text),
    };
    Some(factor * digits(rest)?.parse::<i16>().ok()?)
}

fn digits(text: &str) -> Option<&str> {
    let numeric = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numeric.then_some(text)
}

/// Parses the values of a part. The result is sorted and has no duplicates.
pub(super) fn list<T: Ord>(
    part: &Part<'_>,
    parse: impl Fn(&Part<'_>, Token<'_>) -> Result<T, Mistake>,
) -> Result<Vec<T>, Mistake> {
    let mut values = part
        .value
        .split(',')
        .map(|token| parse(part, token))
        .collect::<Result<Vec<_>, _>>()?;
    values.sort_unstable();
    values.dedup();
    Ok(values)
}

/// Parses seconds. The leap second 60 becomes second 59, as RFC 5545 (3.3.12) requires of systems without
/// leap seconds.
pub(super) fn seconds(part: &Part<'_>) -> Result<Vec<i16>, Mistake> {
    let mut seconds = numbers(part, 0..=60, Sign::Plus)?;
    for second in &mut seconds {
        *second = (*second).min(59);
    }
    seconds.dedup();
    Ok(seconds)
}

pub(super) fn nth_weekday(_: &Part<'_>, token: Token<'_>) -> Result<NthWeekday, Mistake> {
    let split = token.text.len().saturating_sub(2);
    let mistake =
        || token.mistake("is not a valid `BYDAY`; expected weekdays such as `MO,WE`, `1MO` or `-1FR`");
    let (nth, name) = token.text.split_at_checked(split).ok_or_else(mistake)?;
    let nth = match nth {
        "" => None,
        nth => Some(number(nth, &(1..=53), Sign::Both).ok_or_else(mistake)?),
    };
    let weekday = weekday(Token {
        text: name,
        start: token.start + split,
    })
    .map_err(|_| mistake())?;
    Ok(NthWeekday { weekday, nth })
}

pub(super) fn weekday(token: Token<'_>) -> Result<i32, Mistake> {
    let known = WEEKDAYS
        .iter()
        .zip(0..)
        .find(|(name, _)| name.eq_ignore_ascii_case(token.text));
    known.map(|(_, weekday)| weekday).ok_or_else(|| {
        token.mistake(format_args!(
            "is not a weekday; the weekdays are {}",
            WEEKDAYS.join(", ")
        ))
    })
}

/// Parses an instant such as `20261224T180000Z`, a local time such as `20261224T180000`, or a date such as
/// `20261224`, which stands for its midnight in local time.
pub(super) fn until(token: Token<'_>) -> Result<Until, Mistake> {
    moment(token.text).ok_or_else(|| {
        token.mistake(
            "is not a valid `UNTIL`; expected an instant such as `20261224T180000Z`, or a local time such as \
             `20261224T180000`",
        )
    })
}

fn moment(text: &str) -> Option<Until> {
    let text = text.to_ascii_uppercase();
    let (local, utc) = match text.strip_suffix('Z') {
        Some(local) => (local, true),
        None => (&*text, false),
    };
    let (date, time) = match local.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (local, None),
    };
    let midnight = date_of(date)?;
    match (time, utc) {
        (None, true) => None,
        (None, false) => Some(Until::Local(midnight)),
        (Some(time), false) => Some(Until::Local(midnight + time_of(time)?)),
        (Some(time), true) => Some(Until::Instant(midnight + time_of(time)?)),
    }
}

fn date_of(text: &str) -> Option<Second> {
    let number = digits(text).filter(|text| text.len() == 8)?.parse::<u32>().ok()?;
    let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
    let year = Year::new(i32::try_from(year).ok()?);
    let valid = year.number >= 1
        && (1..=12).contains(&month)
        && (1..=month_length(year.is_leap(), month)).contains(&day);
    let (before, _) = valid.then(|| month_span(year.is_leap(), month))?;
    Some((Second::from(year.first) + Second::from(before + day - 1)) * DAY)
}

fn time_of(text: &str) -> Option<Second> {
    let number = digits(text).filter(|text| text.len() == 6)?.parse::<u32>().ok()?;
    let (hour, minute, second) = (number / 10_000, number / 100 % 100, number % 100);
    let valid = hour < 24 && minute < 60 && second <= 60;
    valid.then(|| Second::from(hour * 3600 + minute * 60 + second.min(59)))
}
