//! The check of generators.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::{Missed, Task};

use super::super::producer::Known;
use super::violation;

/// Checks that every occurrence is an instant of the rule and exists once, and that none is missing unless the
/// policy or a cancellation allows it.
pub(super) fn check(generator: &Task, known: &Known, occurrences: &[Task]) -> Vec<String> {
    let Some(rule) = &generator.spec.recurrence else {
        let description = format!("the generator has no rule: {generator:?}");
        return vec![violation("occurrences", description)];
    };
    let start = generator.spec.created_at - TimeDelta::days(1);
    let instants: BTreeSet<_> = rule.iter_after(start).take(1000).collect();
    let created: Vec<_> = occurrences.iter().filter_map(instant_of).collect();
    let distinct: BTreeSet<_> = created.iter().copied().collect();
    let mut violations = Vec::new();
    let mut report = |description: String| {
        let description = format!("{description}, of {} by {rule:?}: {created:?}", generator.id());
        violations.push(violation("occurrences", description));
    };
    if distinct.len() != created.len() {
        report("an instant has two occurrences".to_owned());
    }
    let foreign: Vec<_> = distinct.difference(&instants).collect();
    if !foreign.is_empty() {
        report(format!("{foreign:?} are not instants of the rule"));
    }
    let needs_all = matches!(rule.missed_policy(), Missed::All { .. });
    if generator.state.cancelled_at.is_none() && needs_all && distinct != instants {
        report(format!("some of {instants:?} have no occurrence"));
    }
    if let Some((acknowledged, _)) = known.cancelled {
        let late: Vec<_> = distinct.iter().filter(|at| **at > acknowledged).collect();
        if !late.is_empty() {
            report(format!(
                "{late:?} are later than the cancellation at {acknowledged}"
            ));
        }
    }
    violations
}

fn instant_of(occurrence: &Task) -> Option<DateTime<Utc>> {
    occurrence.spec.occurrence.as_ref().map(|of| of.at)
}
