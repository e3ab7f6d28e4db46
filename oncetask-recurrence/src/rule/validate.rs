//! The combinations of valid parts that RFC 5545 (3.3.10) forbids.

use crate::rule::token::{Mistake, Part};
use crate::rule::{Frequency, Rule, WEEKDAYS};

/// A function that returns the mistake of a rule, if it has one.
type Check = fn(&Rule) -> Option<String>;

/// Returns a mistake for each part that the rest of the rule forbids.
pub(crate) fn mistakes(rule: &Rule, parts: &[Part<'_>]) -> Vec<Mistake> {
    let checks: [(&str, Check); 6] = [
        ("UNTIL", count_and_until),
        ("BYWEEKNO", week_numbers),
        ("BYYEARDAY", year_days),
        ("BYMONTHDAY", month_days),
        ("BYDAY", numbered_weekdays),
        ("BYSETPOS", positions),
    ];
    let find = |name: &str| parts.iter().find(|part| part.name == name);
    checks
        .iter()
        .filter_map(|(name, check)| Some(find(name)?.mistake(check(rule)?)))
        .collect()
}

/// Rejects `UNTIL` together with `COUNT`.
fn count_and_until(rule: &Rule) -> Option<String> {
    rule.count
        .map(|_| "a rule can have `COUNT` or `UNTIL`, but not both".to_owned())
}

/// Rejects `BYWEEKNO` if the period is not a year, because weeks are numbered within a year.
fn week_numbers(rule: &Rule) -> Option<String> {
    let wrong = rule.frequency != Frequency::Yearly;
    wrong.then(|| not_allowed("BYWEEKNO", rule.frequency, "`FREQ=YEARLY`"))
}

/// Rejects `BYYEARDAY` if the period is a month, a week or a day, because its days are not numbered within the year.
fn year_days(rule: &Rule) -> Option<String> {
    let wrong = matches!(
        rule.frequency,
        Frequency::Monthly | Frequency::Weekly | Frequency::Daily
    );
    let right = "`FREQ=YEARLY`, `FREQ=HOURLY`, `FREQ=MINUTELY` or `FREQ=SECONDLY`";
    wrong.then(|| not_allowed("BYYEARDAY", rule.frequency, right))
}

/// Rejects `BYMONTHDAY` if the period is a week, because its days are not numbered within the month.
fn month_days(rule: &Rule) -> Option<String> {
    let wrong = rule.frequency == Frequency::Weekly;
    wrong.then(|| {
        not_allowed(
            "BYMONTHDAY",
            rule.frequency,
            "another frequency, such as `FREQ=MONTHLY`",
        )
    })
}

/// Rejects numbered weekdays if the period is shorter than a month, because weekdays are numbered within a month or a
/// year.
fn numbered_weekdays(rule: &Rule) -> Option<String> {
    let numbered = rule.weekdays.iter().find(|day| day.nth.is_some())?;
    let name = WEEKDAYS[numbered.weekday.unsigned_abs() as usize];
    if rule.frequency > Frequency::Monthly {
        let frequency = rule.frequency;
        Some(format!(
            "numbered weekdays are allowed only with `FREQ=MONTHLY` or `FREQ=YEARLY`; with `FREQ={frequency}` \
             write `{name}`"
        ))
    } else if rule.frequency == Frequency::Yearly && !rule.weeks.is_empty() {
        Some(format!(
            "numbered weekdays are not allowed together with `BYWEEKNO`; write `{name}`"
        ))
    } else {
        None
    }
}

/// Rejects `BYSETPOS` alone, because it selects from the set that other parts list.
fn positions(rule: &Rule) -> Option<String> {
    let has_set = rule.names_days()
        || [&rule.months, &rule.hours, &rule.minutes, &rule.seconds]
            .iter()
            .any(|list| !list.is_empty());
    (!has_set).then(|| "`BYSETPOS` needs another part to select from, such as `BYDAY=MO,TU`".to_owned())
}

fn not_allowed(part: &str, frequency: Frequency, right: &str) -> String {
    format!("`{part}` is not allowed with `FREQ={frequency}`; use it with {right}")
}
