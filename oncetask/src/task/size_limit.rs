//! The end of a claim in a store whose records have a maximum size.

use chrono::{DateTime, Utc};

use super::transition::{self, LeaseLost, Verdict};
use super::{Json, LeaseToken, Progress, Task};

/// The number of bytes to which each error is shortened if all errors together are too large.
const SHORT_ERROR_BYTES: usize = 200;

/// The end of a claim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SizedFinish<'a> {
    pub(crate) token: LeaseToken,
    pub(crate) verdict: &'a Verdict,
    /// True if the task's type has a cleanup handler.
    pub(crate) has_cleanup: bool,
    /// The handler's last progress.
    pub(crate) progress: Option<&'a Progress>,
}

/// Returns the task as it is after the end of the claim, in a record that fits the store.
///
/// If the whole record does not fit, these parts of it are dropped, in this order, until it does:
///
/// 1. the last progress;
/// 2. the result: the task fails instead, with the error that `too_large` returns for the result;
/// 3. the errors between the first and the last, the oldest first;
/// 4. the text of each error beyond its first 200 bytes.
///
/// # Errors
///
/// Returns [`LeaseLost`] if the task has another lease token or is done.
pub(crate) fn finish_to_fit(
    task: &Task,
    end: SizedFinish<'_>,
    now: DateTime<Utc>,
    fits: impl Fn(&Task) -> bool,
    too_large: impl FnOnce(&Json) -> String,
) -> Result<Task, LeaseLost> {
    let complete = finished(task, end, now)?;
    if fits(&complete) {
        return Ok(complete);
    }
    let without_progress = finished(
        task,
        SizedFinish {
            progress: None,
            ..end
        },
        now,
    )?;
    if fits(&without_progress) {
        return Ok(without_progress);
    }
    let mut shrunk = match end.verdict {
        Verdict::Complete(Some(result)) => {
            let verdict = Verdict::Fail {
                error: too_large(result),
            };
            let end = SizedFinish {
                verdict: &verdict,
                progress: None,
                ..end
            };
            finished(task, end, now)?
        }
        _ => without_progress,
    };
    shrink_errors(&mut shrunk, fits);
    Ok(shrunk)
}

fn finished(task: &Task, end: SizedFinish<'_>, now: DateTime<Utc>) -> Result<Task, LeaseLost> {
    let mut task = task.clone();
    transition::set_progress(&mut task.state, end.token, end.progress.cloned())?;
    transition::finish(
        &mut task.state,
        end.token,
        end.verdict.clone(),
        end.has_cleanup,
        now,
    )?;
    Ok(task)
}

fn shrink_errors(task: &mut Task, fits: impl Fn(&Task) -> bool) {
    while !fits(task) && task.state.errors.len() > 2 {
        task.state.errors.remove(1);
    }
    if !fits(task) {
        for error in &mut task.state.errors {
            let end = error.error.floor_char_boundary(SHORT_ERROR_BYTES);
            error.error.truncate(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::task::transition::Phase;
    use crate::task::{AttemptError, Ending, Lease, TaskSpec};

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn claimed(errors: usize, error_bytes: usize) -> (Task, LeaseToken) {
        let payload = Json::parse("null").expect("JSON");
        let mut task = Task::new(TaskSpec::new("a".into(), "K", payload, NOW), NOW);
        let token = LeaseToken::random();
        let lease = Lease::new(token, NOW + TimeDelta::seconds(60), "w", Phase::Run);
        transition::claim(&mut task, lease, NOW);
        let error = |attempt| AttemptError::new(NOW, attempt, "e".repeat(error_bytes));
        task.state.errors = (0..errors)
            .map(|i| error(u32::try_from(i).expect("few")))
            .collect();
        (task, token)
    }

    /// Returns the number of bytes of the parts of a task that may be dropped.
    fn bytes(task: &Task) -> usize {
        let result = task
            .state
            .result
            .as_ref()
            .map_or(0, |result| result.as_str().len());
        let progress = task.state.progress.as_ref();
        let errors = task.errors().iter().map(|error| error.error.len());
        result + progress.map_or(0, |progress| progress.message.len()) + errors.sum::<usize>()
    }

    /// Ends the claim with this verdict and a progress of 100 bytes, in a record of at most `limit` bytes.
    fn finish(task: &Task, token: LeaseToken, verdict: &Verdict, limit: usize) -> Task {
        let progress = Progress::new(0.5, "p".repeat(100), NOW);
        let end = SizedFinish {
            token,
            verdict,
            has_cleanup: false,
            progress: Some(&progress),
        };
        let too_large = |result: &Json| format!("{} bytes", result.as_str().len());
        finish_to_fit(task, end, NOW, |task| bytes(task) <= limit, too_large).expect("a lease")
    }

    fn complete(result_bytes: usize) -> Verdict {
        Verdict::Complete(Some(Json::of(&"r".repeat(result_bytes - 2)).expect("JSON")))
    }

    fn ending(task: &Task) -> Option<Ending> {
        task.state.done.map(|done| done.how)
    }

    #[test]
    fn a_record_that_fits_is_stored_completely() {
        let (task, token) = claimed(3, 10);
        let finished = finish(&task, token, &complete(50), 180);
        assert_eq!(
            (ending(&finished), bytes(&finished)),
            (Some(Ending::Completed), 180)
        );
    }

    #[test]
    fn the_progress_is_given_up_before_the_result() {
        let (task, token) = claimed(0, 0);
        let finished = finish(&task, token, &complete(50), 149);
        assert_eq!(ending(&finished), Some(Ending::Completed));
        assert_eq!((finished.state.progress.is_none(), bytes(&finished)), (true, 50));
    }

    #[test]
    fn a_result_that_does_not_fit_fails_the_attempt() {
        let (task, token) = claimed(0, 0);
        let finished = finish(&task, token, &complete(50), 49);
        assert_eq!(ending(&finished), Some(Ending::Failed));
        assert!(finished.state.result.is_none() && finished.state.progress.is_none());
        assert_eq!(finished.errors()[0].error, "50 bytes");
    }

    #[test]
    fn the_first_and_the_last_error_are_kept() {
        let (task, token) = claimed(5, 10);
        let verdict = Verdict::Fail { error: "last".into() };
        let finished = finish(&task, token, &verdict, 25);
        let attempts: Vec<_> = finished.errors().iter().map(|error| error.attempt).collect();
        assert_eq!(
            attempts,
            [0, 4, 1],
            "the entries between are given up from the oldest"
        );
        let finished = finish(&task, token, &verdict, 14);
        assert_eq!(finished.errors().len(), 2);
        assert_eq!(finished.errors()[1].error, "last");
    }

    #[test]
    fn errors_are_shortened_last() {
        let (task, token) = claimed(3, 1000);
        let finished = finish(
            &task,
            token,
            &Verdict::Fail {
                error: "é".repeat(500),
            },
            400,
        );
        let lengths: Vec<_> = finished.errors().iter().map(|error| error.error.len()).collect();
        assert_eq!(lengths, [200, 200]);
    }

    #[test]
    fn a_lost_lease_changes_nothing() {
        let (task, _) = claimed(0, 0);
        let end = SizedFinish {
            token: LeaseToken::random(),
            verdict: &Verdict::Complete(None),
            has_cleanup: false,
            progress: None,
        };
        let finished = finish_to_fit(&task, end, NOW, |_| true, |_| String::new());
        assert_eq!(finished, Err(LeaseLost));
    }
}
