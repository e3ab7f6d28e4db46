//! Durations as text, with their units.

use std::time::Duration;

/// The units of a duration, in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// No delay or lease is longer, so that no sum of an instant and a duration can overflow.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// The duration that a text such as `1h30m` means.
///
/// # Errors
///
/// Why it means none.
pub(crate) fn parse(text: &str) -> std::result::Result<Duration, String> {
    let example = "write it like `\"90s\"` or `\"1h30m\"`";
    let mut total = Some(Duration::ZERO);
    let mut rest = text;
    if rest.is_empty() {
        return Err(format!("it is empty; {example}"));
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
                "`{unit}` is none of the units `d`, `h`, `m`, `s` and `ms`"
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
    let total = total.filter(|total| *total <= LONGEST);
    total.ok_or_else(|| format!("it is longer than {}", show(LONGEST)))
}

fn split_while(text: &str, keep: fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !keep(c)).unwrap_or(text.len()))
}

/// A duration as an attribute would write it.
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
