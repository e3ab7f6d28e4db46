//! The advance of a generator: it creates its due occurrences and moves to the next instant, in one atomic
//! write.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::lease::token;
use crate::schedule::{Missed, Recurrence};
use crate::store::Finish;
use crate::task::transition::Verdict;
use crate::task::{Occurrence, Task, TaskId, TaskSpec};

/// Returns the end of a generator's claim: the occurrences to create, and the instant at which the generator
/// is due next.
///
/// The id of an occurrence follows from the id of the generator and the instant. So an advance that is
/// repeated after a crash creates no occurrence twice.
pub(super) fn advance(generator: &Task, now: DateTime<Utc>) -> Finish {
    let rule = generator
        .spec
        .recurrence
        .as_ref()
        .expect("a task that advances is a generator");
    let due = generator.state.wait_until;
    let occurrences = due_instants(rule, due, now)
        .into_iter()
        .map(|at| occurrence(generator, at, now))
        .collect();
    let next = rule.after(now.max(due));
    Finish::new(
        generator.id().clone(),
        token(generator),
        Verdict::Advance { next },
    )
    .spawn(occurrences)
}

/// Returns the due instants that get an occurrence under the rule's policy for missed occurrences. `first` is
/// the earliest due instant.
///
/// If several instants are due at once, all of them are missed. A single due instant is only late.
fn due_instants(rule: &Recurrence, first: DateTime<Utc>, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    match rule.missed_policy() {
        Missed::One => vec![first],
        Missed::All { max } => {
            let due = std::iter::successors(Some(first), |at| rule.after(*at).filter(|at| *at <= now));
            due.take(max as usize).collect()
        }
        Missed::Skip => {
            let is_missed = rule.after(first).is_some_and(|next| next <= now);
            if is_missed { Vec::new() } else { vec![first] }
        }
    }
}

fn occurrence(generator: &Task, at: DateTime<Utc>, now: DateTime<Utc>) -> Task {
    let instant = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let spec = TaskSpec {
        id: TaskId::new(format!("{}_occ_{instant}", generator.id())),
        created_at: now,
        recurrence: None,
        occurrence: Some(Occurrence::new(generator.id().clone(), at)),
        ..generator.spec.clone()
    };
    Task::new(spec, at)
}
