//! Generators, by a calculation of their own: the rules of a simulation are so many beats, so far apart.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use oncetask::task::transition::{Change, Verdict};
use oncetask::{Missed, TaskId};

use super::{Breach, writes};
use crate::simulation::clock::instant;
use crate::simulation::history::{History, Op, Write};
use crate::simulation::plan::{Plan, RulePlan, TaskPlan};

/// The beats of a generator's rule.
pub(crate) fn beats(task: &TaskPlan, rule: &RulePlan) -> Vec<DateTime<Utc>> {
    let first = starts(task);
    let beat = |number| first + TimeDelta::seconds(i64::from(number) * i64::from(rule.every));
    (0..rule.count).map(beat).collect()
}

/// When its rule begins: whole seconds, a moment after it was created.
pub(crate) fn starts(task: &TaskPlan) -> DateTime<Utc> {
    let second = (task.created + task.delay) / 1_000 + 2;
    instant(second * 1_000)
}

pub(super) fn occurrences_are_those_of_the_rule(history: &History, plan: &Plan) -> Option<Breach> {
    let rules: HashMap<TaskId, _> = plan
        .tasks
        .iter()
        .filter_map(|task| {
            let rule = task.rule.as_ref()?;
            Some((
                TaskId::new(format!("tick-{}", task.number)),
                (beats(task, rule), rule.missed),
            ))
        })
        .collect();
    let mut spawned = HashMap::<u64, Vec<&Write>>::new();
    for (.., write) in writes(history).filter(|(.., write)| matches!(write.op, Op::Spawn)) {
        spawned.entry(write.request).or_default().push(write);
    }
    writes(history).find_map(|(place, _, write)| {
        let (beats, missed) = rules.get(&write.id)?;
        let wrong = match &write.op {
            Op::Finish {
                verdict: Verdict::Advance { next },
                accepted: true,
                ..
            } => {
                let none = Vec::new();
                let of_this_turn = spawned.get(&write.request).unwrap_or(&none);
                wrong_turn(write, beats, *missed, *next, of_this_turn)
            }
            Op::Reset(Change::Applied) => {
                let due = write.after.as_ref()?.state.wait_until;
                (!beats.contains(&due))
                    .then(|| format!("it was reset to {due}, which is no beat of its rule"))
            }
            _ => None,
        };
        wrong.map(|what| Breach::of(place, &write.id, format!("`{}`: {what}", write.id)))
    })
}

fn wrong_turn(
    write: &Write,
    beats: &[DateTime<Utc>],
    missed: Missed,
    next: Option<DateTime<Utc>>,
    spawned: &[&Write],
) -> Option<String> {
    let due = write.before.as_ref()?.state.wait_until;
    // What came due up to this turn: from the beat that it stood at to the one that it goes on at.
    let late: Vec<_> = beats
        .iter()
        .filter(|beat| **beat >= due && next.is_none_or(|next| **beat < next))
        .copied()
        .collect();
    if !beats.contains(&due) || next.is_some_and(|next| !beats.contains(&next)) {
        return Some(format!(
            "its turn from {due} to {next:?} is not between beats of its rule"
        ));
    }
    let expected: Vec<_> = match missed {
        Missed::All { max } => late.into_iter().take(max as usize).collect(),
        Missed::Skip if late.len() > 1 => Vec::new(),
        Missed::One | Missed::Skip => vec![due],
    };
    let ids: Vec<_> = expected.iter().map(|at| occurrence(&write.id, *at)).collect();
    let asked: Vec<_> = spawned
        .iter()
        .filter(|spawn| is_of(&spawn.id, &write.id))
        .map(|spawn| spawn.id.clone())
        .collect();
    if asked != ids {
        return Some(format!("its turn has spawned {asked:?} instead of {ids:?}"));
    }
    let lost = spawned.iter().find(|spawn| spawn.after.is_none())?;
    Some(format!("its turn was accepted, and `{}` is not stored", lost.id))
}

fn occurrence(generator: &TaskId, at: DateTime<Utc>) -> TaskId {
    TaskId::new(format!(
        "{generator}_occ_{}",
        at.to_rfc3339_opts(SecondsFormat::Secs, true)
    ))
}

fn is_of(occurrence: &TaskId, generator: &TaskId) -> bool {
    let rest = occurrence.as_str().strip_prefix(generator.as_str());
    rest.is_some_and(|rest| rest.starts_with("_occ_"))
}
