//! A generator's turn: it creates its occurrences and moves on, in one atomic write.

use chrono::{DateTime, SecondsFormat, Utc};

use super::lease::token;
use crate::schedule::{Missed, Recurrence};
use crate::store::Finish;
use crate::task::transition::Verdict;
use crate::task::{Occurrence, Task, TaskId, TaskSpec};

/// What follows when a generator is claimed: the occurrences to spawn, and when it is due again.
///
/// The id of an occurrence follows from the generator's and the instant, so that a turn that is taken twice
/// spawns nothing twice.
pub(super) fn advance(generator: &Task, now: DateTime<Utc>) -> Finish {
    let rule = generator
        .spec
        .recurrence
        .as_ref()
        .expect("only generators advance");
    let due = generator.state.wait_until;
    let instants = spawned(rule, due, now);
    let spawn = instants
        .into_iter()
        .map(|at| occurrence(generator, at, now))
        .collect();
    let next = rule.after(now.max(due));
    Finish {
        id: generator.id().clone(),
        token: token(generator),
        verdict: Verdict::Advance { next },
        cleanup: false,
        spawn,
        progress: None,
    }
}

/// Of the instants that are due, `first` the earliest, those that run under the rule's policy for missed ones.
///
/// One is missed when the next one is due as well: a worker that is a little late has missed nothing.
fn spawned(rule: &Recurrence, first: DateTime<Utc>, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    match rule.missed_policy() {
        Missed::One => vec![first],
        Missed::All { max } => {
            let late = std::iter::successors(Some(first), |at| rule.after(*at).filter(|at| *at <= now));
            late.take(max as usize).collect()
        }
        Missed::Skip => {
            let another_is_due = rule.after(first).is_some_and(|next| next <= now);
            if another_is_due { Vec::new() } else { vec![first] }
        }
    }
}

fn occurrence(generator: &Task, at: DateTime<Utc>, now: DateTime<Utc>) -> Task {
    let instant = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let spec = TaskSpec {
        id: TaskId::new(format!("{}_occ_{instant}", generator.id())),
        created_at: now,
        recurrence: None,
        occurrence: Some(Occurrence {
            generator: generator.id().clone(),
            at,
        }),
        ..generator.spec.clone()
    };
    Task::new(spec, at)
}
