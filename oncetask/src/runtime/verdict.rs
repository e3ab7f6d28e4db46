//! From the outcome of a handler to the verdicts on its tasks.
//!
//! This module runs the user's code that a verdict depends on: the text of an error, the retry policy, and
//! the drop of the error. It catches their panics. The decisions themselves are pure functions in [`decide`].

use std::vec;

use chrono::{DateTime, Utc};

use crate::handler::{Handler, HandlerError, HandlerOutcome, Outcome, Retry, Signal};
use crate::lease::token;
use crate::panics;
use crate::store::{ClaimedTask, Finish};
use crate::task::transition::Verdict;
use crate::task::{Json, Task, advance, decide};

/// The outcome of one task.
pub(super) type TaskOutcome = Result<Option<Json>, HandlerError>;

/// The outcomes of a call, one for each of its tasks, in order.
pub(super) enum Outcomes {
    /// The handler returned one outcome for each task.
    Each(vec::IntoIter<Outcome>),
    /// The handler returned one outcome for all tasks. The last task gets the original, and the tasks before
    /// it get copies.
    Same {
        outcome: Option<TaskOutcome>,
        copies: usize,
    },
}

impl Outcomes {
    /// Returns the outcomes of a call with this many tasks. A handler that returned the wrong number of
    /// outcomes fails for every task.
    pub(super) fn new(outcome: HandlerOutcome, tasks: usize) -> Self {
        let same = match outcome {
            HandlerOutcome::Each(outcomes) if outcomes.len() == tasks => {
                return Self::Each(outcomes.into_iter());
            }
            HandlerOutcome::Each(outcomes) => Err(HandlerError::from(format!(
                "the handler took {tasks} tasks and returned {} outcomes; it must return one for each task, in order",
                outcomes.len()
            ))),
            HandlerOutcome::All(outcome) => outcome,
        };
        Self::Same {
            outcome: Some(same),
            copies: tasks.saturating_sub(1),
        }
    }
}

impl Iterator for Outcomes {
    type Item = TaskOutcome;

    fn next(&mut self) -> Option<TaskOutcome> {
        match self {
            Self::Each(outcomes) => outcomes.next().map(|Outcome(outcome)| outcome),
            Self::Same { outcome, copies: 0 } => outcome.take(),
            Self::Same { outcome, copies } => {
                *copies -= 1;
                match outcome.as_ref()? {
                    Ok(result) => Some(Ok(result.clone())),
                    Err(error) => Some(Err(error.duplicate())),
                }
            }
        }
    }
}

/// Returns the verdict on an attempt. `attempt` is its number, counted from one.
pub(super) fn verdict(outcome: TaskOutcome, attempt: u32, retry: &Retry, now: DateTime<Utc>) -> Verdict {
    match outcome.and_then(check_size) {
        Ok(result) => Verdict::Complete(result),
        Err(error) => {
            let verdict = failure(&error, attempt, retry, now);
            if let Err(panic) = panics::catch(|| drop(error)) {
                tracing::error!(%panic, "the drop of a handler's error panicked");
            }
            verdict
        }
    }
}

fn failure(error: &HandlerError, attempt: u32, retry: &Retry, now: DateTime<Utc>) -> Verdict {
    let text = panics::catch(|| error.chain())
        .unwrap_or_else(|panic| format!("an error without a text, because its `Display` {panic}"));
    let delay = match error.signal() {
        Signal::Snooze(delay) => return decide::snoozed(delay, now),
        Signal::Cancel => return Verdict::Cancel { reason: text },
        Signal::Permanent => None,
        Signal::RetryAfter(delay) => retry.allows_after(attempt).then_some(delay),
        Signal::Retry => match panics::catch(|| retry.delay(attempt, error)) {
            Ok(delay) => delay,
            Err(panic) => return decide::failed(format!("{text}; and the retry policy {panic}"), None, now),
        },
    };
    decide::failed(text, delay, now)
}

/// Returns the verdict on a claimed task whose orphaned attempts used up its retry policy. A policy that
/// panics allows no further attempt.
pub(super) fn exhausted(handler: &Handler, claimed: &ClaimedTask) -> Option<Verdict> {
    let task = &claimed.task;
    let retry = handler.retry(decide::phase(task));
    let verdict = decide::exhausted(task, claimed.orphaned, |attempt, error| {
        let delay = panics::catch(|| retry.delay(attempt, &HandlerError::from(error)));
        delay.is_ok_and(|delay| delay.is_some())
    })?;
    tracing::error!(id = %task.id(), kind = task.kind(), "task failed: the lease of its last attempt expired");
    Some(verdict)
}

/// Returns the end of a claim of one task.
pub(super) fn finish(handler: &Handler, task: &Task, verdict: Verdict) -> Finish {
    Finish::new(task.id().clone(), token(task), verdict).cleanup(handler.on_cancel.is_some())
}

/// Returns the end of a generator's claim: one atomic write that creates its due occurrences and moves it to its next
/// due time. A generator without a rule has none left.
pub(super) fn advance(generator: &Task, now: DateTime<Utc>) -> Finish {
    let (next, occurrences) = match advance::advance(generator, now) {
        Some(advance) => (advance.next, advance.occurrences),
        None => (None, Vec::new()),
    };
    let verdict = Verdict::Advance { next };
    Finish::new(generator.id().clone(), token(generator), verdict).spawn(occurrences)
}

/// Returns the end of a claim with the same verdict on each of its tasks.
pub(super) fn finish_all(handler: &Handler, tasks: &[ClaimedTask], verdict: &Verdict) -> Vec<Finish> {
    let finish = |claimed: &ClaimedTask| finish(handler, &claimed.task, verdict.clone());
    tasks.iter().map(finish).collect()
}

/// Turns a result that is too large for a store into an error of the attempt.
fn check_size(result: Option<Json>) -> TaskOutcome {
    match result.as_ref().and_then(decide::too_large) {
        Some(error) => Err(HandlerError::from(error)),
        None => Ok(result),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(outcome: HandlerOutcome, tasks: usize) -> Vec<Result<String, String>> {
        let text = |outcome: TaskOutcome| match outcome {
            Ok(result) => Ok(result.map_or_else(String::new, |json| json.as_str().to_owned())),
            Err(error) => Err(error.to_string()),
        };
        Outcomes::new(outcome, tasks).map(text).collect()
    }

    #[test]
    fn one_outcome_for_all_tasks_is_given_to_each_of_them() {
        let one = || Some(Json::of(&1).unwrap());
        assert_eq!(texts(HandlerOutcome::All(Ok(one())), 1), [Ok("1".into())]);
        assert_eq!(texts(HandlerOutcome::All(Ok(one())), 3), vec![Ok("1".into()); 3]);
        let error = HandlerOutcome::All(Err("no answer".into()));
        assert_eq!(texts(error, 2), vec![Err("no answer".into()); 2]);
    }

    #[test]
    fn outcomes_of_single_tasks_are_given_in_order() {
        let each = vec![Outcome::done(&1), Outcome::error("no answer")];
        let expected = [Ok("1".into()), Err("no answer".into())];
        assert_eq!(texts(HandlerOutcome::Each(each), 2), expected);
    }

    #[test]
    fn a_wrong_number_of_outcomes_fails_every_task() {
        let error =
            "the handler took 2 tasks and returned 1 outcomes; it must return one for each task, in order";
        let each = HandlerOutcome::Each(vec![Outcome::done(&1)]);
        assert_eq!(texts(each, 2), vec![Err(error.to_owned()); 2]);
    }
}
