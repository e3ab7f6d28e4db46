//! The check of a recurrence rule, by the crate that also evaluates it at run time.

use oncetask_recurrence::{Argument, Draft, RecurrenceError};
use syn::{LitStr, Result};

use crate::attr::Rule;
use crate::errors::Errors;

/// Checks that a rule is valid and has an occurrence.
pub(super) fn check(rule: &Rule) -> Result<()> {
    let text = rule.text.value();
    let [tz, dtstart] = [&rule.tz, &rule.dtstart].map(|text| text.as_ref().map(LitStr::value));
    let [exdates, rdates] = [&rule.exdates, &rule.rdates].map(|dates| values(dates));
    let draft = Draft {
        rule: &text,
        tz: tz.as_deref(),
        dtstart: dtstart.as_deref(),
        exdates: exdates.iter().map(String::as_str).collect(),
        rdates: rdates.iter().map(String::as_str).collect(),
        gap: rule.gap.unwrap_or_default(),
        overlap: rule.overlap.unwrap_or_default(),
        missed: rule.missed.unwrap_or_default(),
    };
    let mut errors = Errors::default();
    for error in draft.read().err().into_iter().flatten() {
        errors.at(literal(rule, &error), error.reason());
    }
    errors.finish(Some(()))
}

fn values(dates: &[LitStr]) -> Vec<String> {
    dates.iter().map(LitStr::value).collect()
}

/// Returns the literal that an error is about.
fn literal<'a>(rule: &'a Rule, error: &RecurrenceError) -> &'a LitStr {
    let literal = match error.argument() {
        Argument::TimeZone => rule.tz.as_ref(),
        Argument::Start => rule.dtstart.as_ref(),
        Argument::Exdate(index) => rule.exdates.get(index),
        Argument::Rdate(index) => rule.rdates.get(index),
        _ => None,
    };
    literal.unwrap_or(&rule.text)
}
