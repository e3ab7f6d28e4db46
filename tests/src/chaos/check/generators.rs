//! What holds of generators.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::{Missed, Task};

use super::super::producer::Known;
use super::broken;

/// The occurrences are instants of the rule, each once; all of them, unless the policy or a cancellation
/// leaves some out.
pub(super) fn check(generator: &Task, known: &Known, occurrences: &[Task]) -> Vec<String> {
    let Some(rule) = &generator.spec.recurrence else {
        return vec![broken("occurrences", format!("no rule is left: {generator:?}"))];
    };
    let begin = generator.spec.created_at - TimeDelta::days(1);
    let of_rule: BTreeSet<_> = rule.iter_after(begin).take(1000).collect();
    let spawned: Vec<_> = occurrences.iter().filter_map(at).collect();
    let distinct: BTreeSet<_> = spawned.iter().copied().collect();
    let mut violations = Vec::new();
    let mut wrong = |what: String| {
        let what = format!("{what}, for {} by {rule:?}: {spawned:?}", generator.id());
        violations.push(broken("occurrences", what));
    };
    if distinct.len() != spawned.len() {
        wrong("some come twice".to_owned());
    }
    let strange: Vec<_> = distinct.difference(&of_rule).collect();
    if !strange.is_empty() {
        wrong(format!("{strange:?} are not the rule's"));
    }
    let all_must_be_there = matches!(rule.missed_policy(), Missed::All { .. });
    if generator.state.cancelled_at.is_none() && all_must_be_there && distinct != of_rule {
        wrong(format!("not all of {of_rule:?} are there"));
    }
    if let Some((acknowledged, _)) = known.cancelled {
        // None was due yet that comes after the cancellation.
        let late: Vec<_> = distinct.iter().filter(|at| **at > acknowledged).collect();
        if !late.is_empty() {
            wrong(format!("{late:?} came after the cancellation at {acknowledged}"));
        }
    }
    violations
}

fn at(occurrence: &Task) -> Option<DateTime<Utc>> {
    occurrence.spec.occurrence.as_ref().map(|of| of.at)
}
