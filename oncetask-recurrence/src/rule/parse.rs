//! From the text of a rule to the rule, or to every mistake in it.

use std::fmt;
use std::ops::Range;

use crate::error::RecurrenceError;
use crate::rule::legal;
use crate::rule::values::{
    Sign, count, frequency, list, nth_weekday, numbers, positive, seconds, until, weekday,
};
use crate::rule::{Frequency, Rule};
use crate::suggest::did_you_mean;

/// A rule that lists every number there is, in every part, is shorter.
const LONGEST: usize = 8192;

/// Beyond these, further mistakes are not worth their memory.
const MOST_MISTAKES: usize = 16;

/// Reads a rule such as `FREQ=DAILY;BYHOUR=9`; upper and lower case are the same.
pub(crate) fn parse(text: &str) -> Result<Rule, Vec<RecurrenceError>> {
    if text.len() > LONGEST {
        let reason = format!(
            "a recurrence rule has at most {LONGEST} bytes, not {}",
            text.len()
        );
        return Err(vec![RecurrenceError::of_rule("..", reason)]);
    }
    let head = text.trim_start().to_ascii_uppercase();
    if ["RRULE", "DTSTART", "EXRULE"]
        .iter()
        .any(|name| head.starts_with(name))
    {
        let reason = "expected the rule alone, without `RRULE:`";
        return Err(vec![RecurrenceError::of_rule(text, reason)]);
    }
    read(text).map_err(|mut mistakes| {
        mistakes.sort_by_key(|mistake| mistake.span.start);
        mistakes
            .into_iter()
            .take(MOST_MISTAKES)
            .map(|mistake| mistake.of(text))
            .collect()
    })
}

fn read(text: &str) -> Result<Rule, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut parts = Vec::new();
    for token in Token::whole(text).split(';') {
        match Part::read(token, &parts) {
            Ok(part) => parts.push(part),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    let rule = read_parts(&parts, &mut mistakes);
    if mistakes.is_empty() {
        mistakes = legal::mistakes(&rule, &parts);
    }
    if mistakes.is_empty() {
        Ok(rule)
    } else {
        Err(mistakes)
    }
}

/// The rule, as far as its parts make sense.
fn read_parts(parts: &[Part<'_>], mistakes: &mut Vec<Mistake>) -> Rule {
    let mut rule = Rule::new(Frequency::Yearly);
    for part in parts {
        if let Err(mistake) = read_part(&mut rule, part) {
            mistakes.push(mistake);
        }
    }
    if mistakes.is_empty() && !parts.iter().any(|part| part.name == "FREQ") {
        mistakes.push(Mistake {
            span: 0..0,
            reason: "`FREQ` is missing; a rule begins as `FREQ=DAILY` does".into(),
        });
    }
    rule
}

fn read_part(rule: &mut Rule, part: &Part<'_>) -> Result<(), Mistake> {
    match part.name {
        "FREQ" => rule.frequency = frequency(part.value)?,
        "INTERVAL" => rule.interval = positive(part, u32::MAX)?,
        "COUNT" => rule.count = Some(count(part)?),
        "UNTIL" => rule.until = Some(until(part.value)?),
        "BYMONTH" => rule.months = numbers(part, 1..=12, Sign::Plus)?,
        "BYWEEKNO" => rule.weeks = numbers(part, 1..=53, Sign::Both)?,
        "BYYEARDAY" => rule.year_days = numbers(part, 1..=366, Sign::Both)?,
        "BYMONTHDAY" => rule.month_days = numbers(part, 1..=31, Sign::Both)?,
        "BYDAY" => rule.weekdays = list(part, nth_weekday)?,
        "BYHOUR" => rule.hours = numbers(part, 0..=23, Sign::Plus)?,
        "BYMINUTE" => rule.minutes = numbers(part, 0..=59, Sign::Plus)?,
        "BYSECOND" => rule.seconds = seconds(part)?,
        "BYSETPOS" => rule.positions = numbers(part, 1..=366, Sign::Both)?,
        _ => rule.week_start = weekday(part.value)?,
    }
    Ok(())
}

/// A mistake, and the bytes of the rule that hold it.
#[derive(Debug)]
pub(crate) struct Mistake {
    pub(crate) span: Range<usize>,
    pub(crate) reason: String,
}

impl Mistake {
    fn of(self, text: &str) -> RecurrenceError {
        RecurrenceError::in_rule(text, self.span, self.reason)
    }
}

/// Some bytes of the rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) start: usize,
}

impl<'a> Token<'a> {
    fn whole(text: &'a str) -> Self {
        Self { text, start: 0 }
    }

    pub(super) fn split(self, separator: char) -> impl Iterator<Item = Self> {
        let mut start = self.start;
        self.text.split(separator).map(move |text| {
            let token = Self { text, start };
            start += text.len() + separator.len_utf8();
            token
        })
    }

    fn range(self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    pub(super) fn wrong(self, reason: impl fmt::Display) -> Mistake {
        Mistake {
            span: self.range(),
            reason: format!("{self} {reason}"),
        }
    }
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.text)
    }
}

/// One `NAME=value` of a rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) name: &'static str,
    pub(super) value: Token<'a>,
    whole: Token<'a>,
}

const NAMES: [&str; 14] = [
    "FREQ",
    "INTERVAL",
    "COUNT",
    "UNTIL",
    "BYMONTH",
    "BYWEEKNO",
    "BYYEARDAY",
    "BYMONTHDAY",
    "BYDAY",
    "BYHOUR",
    "BYMINUTE",
    "BYSECOND",
    "BYSETPOS",
    "WKST",
];

impl<'a> Part<'a> {
    fn read(token: Token<'a>, earlier: &[Self]) -> Result<Self, Mistake> {
        let Some((name, value)) = token.text.split_once('=') else {
            return Err(token.wrong("is not of the form `NAME=value`"));
        };
        let value = Token {
            text: value,
            start: token.start + name.len() + 1,
        };
        let name = Token {
            text: name,
            start: token.start,
        };
        let known = NAMES
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(name.text));
        let known = known.ok_or_else(|| unknown(name))?;
        if earlier.iter().any(|part| part.name == known) {
            return Err(Token {
                start: token.start,
                text: known,
            }
            .wrong("is given twice; separate values by commas"));
        }
        Ok(Self {
            name: known,
            value,
            whole: token,
        })
    }

    pub(crate) fn wrong(&self, reason: impl Into<String>) -> Mistake {
        Mistake {
            span: self.whole.range(),
            reason: reason.into(),
        }
    }
}

fn unknown(name: Token<'_>) -> Mistake {
    let hint = match did_you_mean(name.text, NAMES) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("the parts are {}", NAMES.join(", ")),
    };
    name.wrong(format_args!("is not a part of a rule; {hint}"))
}
