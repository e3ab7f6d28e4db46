//! The invariant that a generator's occurrences follow its rule, by an independent calculation: every rule of a
//! simulation has `count` instants that are `every` seconds apart.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use oncetask::task::transition::{Change, Verdict};
use oncetask::{Missed, TaskId};

use super::{Finding, writes};
use crate::simulation::clock::instant;
use crate::simulation::history::{History, Op, Write};
use crate::simulation::plan::{Plan, RulePlan, TaskPlan};

/// Returns the instants of a rule.
fn rule_instants(task: &TaskPlan, rule: &RulePlan) -> Vec<DateTime<Utc>> {
    let first = rule_start(task);
    let nth = |number| first + TimeDelta::seconds(i64::from(number) * i64::from(rule.every));
    (0..rule.count).map(nth).collect()
}

/// Returns the first instant of a task's rule: a whole second, shortly after its creation.
pub(crate) fn rule_start(task: &TaskPlan) -> DateTime<Utc> {
    let second = (task.created + task.delay) / 1_000 + 2;
    instant(second * 1_000)
}

pub(super) fn occurrences_follow_the_rule(history: &History, plan: &Plan) -> Option<Finding> {
    let rules: HashMap<TaskId, _> = plan
        .tasks
        .iter()
        .filter_map(|task| {
            let rule = task.rule.as_ref()?;
            let id = TaskId::new(format!("tick-{}", task.number));
            Some((id, (rule_instants(task, rule), rule.missed)))
        })
        .collect();
    let mut spawned = HashMap::<u64, Vec<&Write>>::new();
    for (.., write) in writes(history).filter(|(.., write)| matches!(write.op, Op::Spawn)) {
        spawned.entry(write.request).or_default().push(write);
    }
    writes(history).find_map(|(index, _, write)| {
        let (instants, missed) = rules.get(&write.id)?;
        let error = match &write.op {
            Op::Finish {
                verdict: Verdict::Advance { next },
                accepted: true,
                ..
            } => {
                let spawned = spawned.get(&write.request).map_or(&[][..], Vec::as_slice);
                advance_error(write, instants, *missed, *next, spawned)
            }
            Op::Reset(Change::Applied) => {
                let due = write.after.as_ref()?.state.wait_until;
                (!instants.contains(&due))
                    .then(|| format!("it was reset to {due}, which is not an instant of its rule"))
            }
            _ => None,
        };
        error.map(|text| Finding::new(index, &write.id, format!("`{}`: {text}", write.id)))
    })
}

/// Returns the error of an advance. `spawned` contains the occurrences of its request.
fn advance_error(
    write: &Write,
    instants: &[DateTime<Utc>],
    missed: Missed,
    next: Option<DateTime<Utc>>,
    spawned: &[&Write],
) -> Option<String> {
    let due = write.before.as_ref()?.state.wait_until;
    if !instants.contains(&due) || next.is_some_and(|next| !instants.contains(&next)) {
        return Some(format!(
            "its advance from {due} to {next:?} is not between instants of its rule"
        ));
    }
    let passed: Vec<_> = instants
        .iter()
        .filter(|at| **at >= due && next.is_none_or(|next| **at < next))
        .copied()
        .collect();
    let expected: Vec<_> = match missed {
        Missed::All { max } => passed.into_iter().take(max as usize).collect(),
        Missed::Skip if passed.len() > 1 => Vec::new(),
        Missed::One | Missed::Skip => vec![due],
    };
    let expected: Vec<_> = expected.iter().map(|at| occurrence_id(&write.id, *at)).collect();
    let actual: Vec<_> = spawned
        .iter()
        .filter(|spawn| is_occurrence_of(&spawn.id, &write.id))
        .map(|spawn| spawn.id.clone())
        .collect();
    if actual != expected {
        return Some(format!("its advance created {actual:?} instead of {expected:?}"));
    }
    let lost = spawned.iter().find(|spawn| spawn.after.is_none())?;
    Some(format!(
        "its advance was accepted, and `{}` is not stored",
        lost.id
    ))
}

fn occurrence_id(generator: &TaskId, at: DateTime<Utc>) -> TaskId {
    TaskId::new(format!(
        "{generator}_occ_{}",
        at.to_rfc3339_opts(SecondsFormat::Secs, true)
    ))
}

fn is_occurrence_of(id: &TaskId, generator: &TaskId) -> bool {
    let rest = id.as_str().strip_prefix(generator.as_str());
    rest.is_some_and(|rest| rest.starts_with("_occ_"))
}
