//! The parser of rules. It reports all mistakes in the text, up to a maximum number.

use crate::error::RecurrenceError;
use crate::rule::token::{Mistake, Part, Token};
use crate::rule::validate;
use crate::rule::values::{
    Sign, count, frequency, list, nth_weekday, numbers, positive, seconds, until, weekday,
};
use crate::rule::{Frequency, Rule};

/// The maximum length of a rule in bytes. A rule that lists every possible value of every part is shorter.
const MAX_BYTES: usize = 8192;

/// The maximum number of reported mistakes, to limit the memory for them.
const MAX_MISTAKES: usize = 16;

/// Parses a rule such as `FREQ=DAILY;BYHOUR=9`. Upper and lower case are equivalent.
pub(crate) fn parse(text: &str) -> Result<Rule, Vec<RecurrenceError>> {
    if text.len() > MAX_BYTES {
        let reason = format!(
            "the rule has {} bytes; at most {MAX_BYTES} are allowed",
            text.len()
        );
        return Err(vec![RecurrenceError::of_rule("..", reason)]);
    }
    let head = text.trim_start().to_ascii_uppercase();
    if ["RRULE", "DTSTART", "EXRULE"]
        .iter()
        .any(|name| head.starts_with(name))
    {
        let reason = "expected only the rule, such as `FREQ=DAILY`, without `RRULE:` or `DTSTART`";
        return Err(vec![RecurrenceError::of_rule(text, reason)]);
    }
    parse_rule(text).map_err(|mut mistakes| {
        mistakes.sort_by_key(|mistake| mistake.span.start);
        mistakes
            .into_iter()
            .take(MAX_MISTAKES)
            .map(|mistake| mistake.into_error(text))
            .collect()
    })
}

fn parse_rule(text: &str) -> Result<Rule, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut parts = Vec::new();
    for token in Token::whole(text).split(';') {
        match Part::parse(token, &parts) {
            Ok(part) => parts.push(part),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    let rule = parse_parts(&parts, &mut mistakes);
    if mistakes.is_empty() {
        mistakes = validate::mistakes(&rule, &parts);
    }
    if mistakes.is_empty() {
        Ok(rule)
    } else {
        Err(mistakes)
    }
}

/// Returns the rule of the valid parts, and appends the mistakes in the others to `mistakes`.
fn parse_parts(parts: &[Part<'_>], mistakes: &mut Vec<Mistake>) -> Rule {
    let mut rule = Rule::new(Frequency::Yearly);
    for part in parts {
        if let Err(mistake) = parse_part(&mut rule, part) {
            mistakes.push(mistake);
        }
    }
    if mistakes.is_empty() && !parts.iter().any(|part| part.name == "FREQ") {
        mistakes.push(Mistake {
            span: 0..0,
            reason: "`FREQ` is missing; add a frequency, such as `FREQ=DAILY`".into(),
        });
    }
    rule
}

fn parse_part(rule: &mut Rule, part: &Part<'_>) -> Result<(), Mistake> {
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
