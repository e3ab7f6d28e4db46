//! Durations as text, such as `1h30m`.

use std::time::Duration;

/// The units of a duration, and the length of each in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The maximum duration. It keeps the sum of an instant and a duration from overflowing.
const MAX: Duration = Duration::from_hours(365 * 24);

/// Parses a duration such as `1h30m`.
///
/// # Errors
///
/// Returns the reason as text if the duration is invalid.
pub(crate) fn parse(text: &str) -> std::result::Result<Duration, String> {
    let example = "write a duration such as `\"90s\"` or `\"1h30m\"`";
    let mut total = Some(Duration::ZERO);
    let mut rest = text;
    if rest.is_empty() {
        return Err(format!("the text is empty; {example}"));
    }
    while !rest.is_empty() {
        let (number, after) = split_while(rest, |c| c.is_ascii_digit());
        let (unit, after) = split_while(after, char::is_alphabetic);
        if number.is_empty() {
            return Err(format!("expected a number before `{rest}`; {example}"));
        }
        if unit.is_empty() {
            return Err(format!("`{number}` has no unit; {example}"));
        }
        let Some((_, millis)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!(
                "there is no unit `{unit}`; use `d`, `h`, `m`, `s` or `ms`"
            ));
        };
        let part = number
            .parse()
            .ok()
            .and_then(|number: u64| number.checked_mul(*millis));
        let sum = |(total, part): (Duration, u64)| total.checked_add(Duration::from_millis(part));
        total = total.zip(part).and_then(sum);
        rest = after;
    }
    let total = total.filter(|total| *total <= MAX);
    total.ok_or_else(|| format!("at most {} is allowed", show(MAX)))
}

fn split_while(text: &str, keep: fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !keep(c)).unwrap_or(text.len()))
}

/// Returns a duration in the syntax of an attribute.
pub(crate) fn show(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let parts = UNITS.map(|(unit, millis)| {
        let count = rest / millis;
        rest %= millis;
        if count == 0 {
            String::new()
        } else {
            format!("{count}{unit}")
        }
    });
    let text = parts.concat();
    if text.is_empty() { "0s".to_owned() } else { text }
}
