//! The advance of a generator: the occurrences that it creates, and its next due time.

use chrono::{DateTime, SecondsFormat, Utc};

use super::{Occurrence, Task, TaskId, TaskSpec};
use crate::schedule::{Missed, Recurrence};

/// The decision of an advance.
pub(crate) struct Advance {
    /// The occurrences to create.
    pub(crate) occurrences: Vec<Task>,
    /// The next due time of the generator; `None` if its rule has no further occurrence.
    pub(crate) next: Option<DateTime<Utc>>,
}

/// Decides the advance of a generator that is due; `None` if the task is not a generator.
///
/// The id of an occurrence follows from the id of the generator and the instant. So an advance that is repeated after a
/// crash creates no occurrence twice.
pub(crate) fn advance(generator: &Task, now: DateTime<Utc>) -> Option<Advance> {
    let rule = generator.spec.recurrence.as_ref()?;
    let due = generator.state.wait_until;
    let occurrences = due_instants(rule, due, now)
        .into_iter()
        .map(|at| occurrence(generator, at, now))
        .collect();
    let next = rule.after(now.max(due));
    Some(Advance { occurrences, next })
}

/// Returns the due instants that get an occurrence under the rule's policy for missed occurrences. `first` is the
/// earliest due instant.
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

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::task::Json;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    /// Advances a generator of one occurrence a minute that is due at minute 1. Returns the minutes of the occurrences and
    /// of the next due time.
    fn minutes(missed: Missed, now: i64) -> (Vec<i64>, Option<i64>) {
        let rule = Recurrence::new("FREQ=MINUTELY")
            .unwrap()
            .anchored_at(at(0))
            .missed(missed);
        let mut spec = TaskSpec::new("beat".into(), "Beat", Json::trusted("{}"), at(0));
        spec.recurrence = Some(rule);
        let advance = advance(&Task::new(spec, at(1)), at(now)).expect("a generator");
        let minute = |at: DateTime<Utc>| at.timestamp() / 60;
        let created = advance
            .occurrences
            .iter()
            .map(|task| minute(task.state.wait_until));
        (created.collect(), advance.next.map(minute))
    }

    #[test]
    fn the_policy_decides_which_missed_occurrences_are_created() {
        assert_eq!(minutes(Missed::One, 1), (vec![1], Some(2)));
        assert_eq!(minutes(Missed::One, 4), (vec![1], Some(5)));
        assert_eq!(minutes(Missed::All { max: 3 }, 4), (vec![1, 2, 3], Some(5)));
        assert_eq!(minutes(Missed::Skip, 1), (vec![1], Some(2)));
        assert_eq!(minutes(Missed::Skip, 4), (vec![], Some(5)));
    }

    #[test]
    fn an_occurrence_has_the_generator_and_the_instant_in_its_id() {
        let mut spec = TaskSpec::new("beat".into(), "Beat", Json::trusted("{}"), at(0));
        spec.recurrence = Some(Recurrence::new("FREQ=MINUTELY").unwrap().anchored_at(at(0)));
        let advance = advance(&Task::new(spec, at(1)), at(1)).expect("a generator");
        let occurrence = &advance.occurrences[0];
        assert_eq!(occurrence.id().as_str(), "beat_occ_1970-01-01T00:01:00Z");
        assert_eq!(
            occurrence.spec.occurrence,
            Some(Occurrence::new("beat".into(), at(1)))
        );
        assert_eq!(occurrence.spec.recurrence, None);
    }
}
