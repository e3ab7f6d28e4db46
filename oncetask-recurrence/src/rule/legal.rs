//! What RFC 5545 (3.3.10) forbids although each part is right by itself.

use crate::rule::parse::{Mistake, Part};
use crate::rule::{Frequency, Rule, WEEKDAYS};

/// What a rule has wrong, if it has.
type Check = fn(&Rule) -> Option<String>;

/// The combinations of this rule that RFC 5545 forbids.
pub(crate) fn mistakes(rule: &Rule, parts: &[Part<'_>]) -> Vec<Mistake> {
    let checks: [(&str, Check); 6] = [
        ("UNTIL", count_and_until),
        ("BYWEEKNO", week_numbers),
        ("BYYEARDAY", year_days),
        ("BYMONTHDAY", month_days),
        ("BYDAY", counted_weekdays),
        ("BYSETPOS", positions),
    ];
    let found = |name: &str| parts.iter().find(|part| part.name == name);
    checks
        .iter()
        .filter_map(|(name, check)| Some(found(name)?.wrong(check(rule)?)))
        .collect()
}

/// The rule ends by one of them.
fn count_and_until(rule: &Rule) -> Option<String> {
    rule.count
        .map(|_| "a rule ends by `COUNT` or by `UNTIL`, not both".to_owned())
}

/// Weeks are numbered within a year.
fn week_numbers(rule: &Rule) -> Option<String> {
    let wrong = rule.frequency != Frequency::Yearly;
    wrong.then(|| only_with("BYWEEKNO", rule.frequency, "`FREQ=YEARLY`"))
}

/// A day of the year picks nothing of a month, week or day.
fn year_days(rule: &Rule) -> Option<String> {
    let wrong = matches!(
        rule.frequency,
        Frequency::Monthly | Frequency::Weekly | Frequency::Daily
    );
    wrong.then(|| only_with("BYYEARDAY", rule.frequency, "`FREQ=YEARLY`, or below a day"))
}

/// A day of the month picks nothing of a week.
fn month_days(rule: &Rule) -> Option<String> {
    let wrong = rule.frequency == Frequency::Weekly;
    wrong.then(|| only_with("BYMONTHDAY", rule.frequency, "another, such as `FREQ=MONTHLY`"))
}

/// Weekdays are counted within a month or a year.
fn counted_weekdays(rule: &Rule) -> Option<String> {
    let counted = rule.weekdays.iter().find(|day| day.nth.is_some())?;
    let name = WEEKDAYS[counted.weekday.unsigned_abs() as usize];
    if rule.frequency > Frequency::Monthly {
        let frequency = rule.frequency;
        Some(format!(
            "weekdays are counted with `FREQ=MONTHLY` or `FREQ=YEARLY`; with `FREQ={frequency}` write `{name}`"
        ))
    } else if rule.frequency == Frequency::Yearly && !rule.weeks.is_empty() {
        Some(format!(
            "weekdays are not counted beside `BYWEEKNO`; write `{name}`"
        ))
    } else {
        None
    }
}

/// A position needs a set to pick from.
fn positions(rule: &Rule) -> Option<String> {
    let picked = rule.names_days()
        || [&rule.months, &rule.hours, &rule.minutes, &rule.seconds]
            .iter()
            .any(|list| !list.is_empty());
    (!picked).then(|| "`BYSETPOS` picks from what another part lists, such as `BYDAY=MO,TU`".to_owned())
}

fn only_with(part: &str, frequency: Frequency, right: &str) -> String {
    format!("`{part}` is not for `FREQ={frequency}`; it goes with {right}")
}
