//! The transitions of the diagram in `task/transition.rs`, one by one.

use std::time::Duration;

use oncetask::Status::{self, CancellationPending, Cancelled, Completed, Failed, Leased, Pending, Waiting};
use oncetask::task::transition::{self, Change, LeaseLost, MAX_ERROR_BYTES, Phase, Verdict};
use oncetask::task::{Json, LeaseToken, Task, TaskState};
use oncetask::{Progress, Recurrence};

use super::{at, claim, fail, lease_until, retry, task};

fn finish(task: &mut Task, token: LeaseToken, verdict: Verdict, seconds: i64) -> Result<(), LeaseLost> {
    transition::finish(&mut task.state, token, verdict, false, at(seconds))
}

/// Finishes a claim of a task whose type has a cleanup handler.
fn finish_with_cleanup(task: &mut Task, token: LeaseToken, verdict: Verdict, seconds: i64) {
    let finished = transition::finish(&mut task.state, token, verdict, true, at(seconds));
    assert_eq!(finished, Ok(()));
}

/// Returns a task after one claim and one verdict at second 5.
fn after(verdict: Verdict) -> Task {
    let mut task = task();
    let (token, _) = claim(&mut task, at(0));
    assert_eq!(finish(&mut task, token, verdict, 5), Ok(()));
    task
}

/// Returns the number of attempts and the number of errors.
fn counts(task: &Task) -> (u32, usize) {
    (task.attempts(), task.errors().len())
}

fn phase(task: &Task) -> Option<Phase> {
    task.state.lease.as_ref().map(|lease| lease.phase)
}

#[test]
fn a_new_task_waits_for_its_due_time() {
    let mut task = task();
    task.state.wait_until = at(10);
    assert_eq!(task.status(at(9)), Waiting);
    assert_eq!(task.status(at(10)), Pending);
    assert_eq!(counts(&task), (0, 0));
}

#[test]
fn a_claim_leases_the_task_and_counts_an_attempt() {
    let mut task = task();
    let (_, orphaned) = claim(&mut task, at(0));
    assert!(!orphaned);
    assert_eq!(task.status(at(59)), Leased);
    assert_eq!(phase(&task), Some(Phase::Run));
    assert_eq!(counts(&task), (1, 0));
}

#[test]
fn the_number_of_attempts_saturates() {
    let mut task = task();
    task.state.attempts = u32::MAX;
    claim(&mut task, at(0));
    assert_eq!(task.attempts(), u32::MAX);
}

#[test]
fn complete_completes_the_task() {
    let result = Json::parse("7").expect("JSON");
    let task = after(Verdict::Complete(Some(result.clone())));
    assert_eq!(task.status(at(6)), Completed);
    assert_eq!(task.state.result, Some(result));
    assert_eq!(counts(&task), (1, 0));
}

#[test]
fn retry_waits_for_the_backoff() {
    let task = after(retry(20));
    assert_eq!((task.status(at(19)), task.status(at(20))), (Waiting, Pending));
    assert_eq!(counts(&task), (1, 1));
}

#[test]
fn fail_fails_the_task() {
    let task = after(fail());
    assert_eq!(task.status(at(6)), Failed);
    assert_eq!(counts(&task), (1, 1));
}

#[test]
fn snooze_waits_and_counts_no_attempt() {
    let task = after(Verdict::Snooze { at: at(20) });
    assert_eq!((task.status(at(19)), task.status(at(20))), (Waiting, Pending));
    assert_eq!(counts(&task), (0, 0));
}

#[test]
fn release_makes_the_task_pending_and_counts_no_attempt() {
    let task = after(Verdict::Release);
    assert_eq!(task.status(at(5)), Pending);
    assert_eq!(counts(&task), (0, 0));
}

#[test]
fn defer_waits_and_counts_no_attempt() {
    let task = after(Verdict::Defer { at: at(65) });
    assert_eq!(task.status(at(64)), Waiting);
    assert_eq!((counts(&task), task.state.deferrals), ((0, 0), 1));
}

#[test]
fn deferrals_last_from_a_minute_to_an_hour() {
    let minutes = [0, 1, 2, 5, 6, 60, u32::MAX].map(|n| transition::deferral(n).as_secs() / 60);
    assert_eq!(minutes, [1, 2, 4, 32, 60, 60, 60]);
    assert_eq!(transition::deferral(0), Duration::from_mins(1));
}

#[test]
fn a_readable_payload_resets_the_deferrals() {
    for verdict in [retry(65), Verdict::Snooze { at: at(65) }, Verdict::Release] {
        let mut task = after(Verdict::Defer { at: at(65) });
        let (token, _) = claim(&mut task, at(65));
        assert_eq!(finish(&mut task, token, verdict, 65), Ok(()));
        assert_eq!(task.state.deferrals, 0);
    }
}

#[test]
fn the_first_error_and_the_last_99_are_kept() {
    let mut task = task();
    for _ in 0..250 {
        let (token, _) = claim(&mut task, at(0));
        assert_eq!(finish(&mut task, token, retry(0), 0), Ok(()));
    }
    let kept: Vec<_> = task.errors().iter().map(|error| error.attempt).collect();
    let expected: Vec<_> = std::iter::once(1).chain(152..=250).collect();
    assert_eq!(kept, expected);
}

#[test]
fn a_long_error_is_truncated_at_a_character() {
    for character in ["x", "ü", "漢", "🦀"] {
        let error = character.repeat(5000);
        let task = after(Verdict::Fail { error: error.clone() });
        let stored = &task.errors()[0].error;
        assert!(stored.len() <= MAX_ERROR_BYTES, "{} bytes", stored.len());
        let kept = stored
            .strip_suffix(" [truncated]")
            .expect("a truncated text ends with the mark");
        assert!(error.starts_with(kept) && kept.len() > MAX_ERROR_BYTES - 16);
    }
    let longest = "x".repeat(MAX_ERROR_BYTES);
    let task = after(Verdict::Fail {
        error: longest.clone(),
    });
    assert_eq!(task.errors()[0].error, longest);
}

#[test]
fn a_claim_after_an_expired_lease_records_the_orphaned_attempt() {
    let mut task = task();
    let (expired, _) = claim(&mut task, at(0));
    assert_eq!(task.status(at(60)), Pending);
    let (active, orphaned) = claim(&mut task, at(60));
    assert!(orphaned);
    assert_eq!(counts(&task), (2, 1));
    assert_eq!(task.errors()[0].attempt, 1);

    let before = task.clone();
    assert_eq!(
        finish(&mut task, expired, Verdict::Complete(None), 61),
        Err(LeaseLost)
    );
    assert_eq!(task, before, "a write under the expired lease changed the task");
    assert_eq!(finish(&mut task, active, Verdict::Complete(None), 62), Ok(()));
}

#[test]
fn attempts_used_up_by_orphaned_attempts_fail_the_task() {
    let mut task = task();
    claim(&mut task, at(0));
    claim(&mut task, at(100));
    let (token, orphaned) = claim(&mut task, at(200));
    assert!(orphaned);
    assert_eq!(finish(&mut task, token, Verdict::Exhausted, 200), Ok(()));
    assert_eq!(task.status(at(200)), Failed);
    assert_eq!(
        counts(&task),
        (2, 2),
        "the claim that called no handler does not count"
    );
}

#[test]
fn a_renewal_extends_the_lease_until_it_expires() {
    let mut task = task();
    let (token, _) = claim(&mut task, at(0));
    let renew =
        |task: &mut Task, now| transition::renew(&mut task.state, token, Some(at(now + 60)), None, at(now));
    assert_eq!(renew(&mut task, 59), Ok(()));
    assert_eq!(task.state.due(), Some(at(119)));
    assert_eq!(renew(&mut task, 119), Err(LeaseLost));
    assert_eq!(task.state.due(), Some(at(119)));
}

#[test]
fn a_late_renewal_does_not_shorten_the_lease() {
    let mut task = task();
    let (token, _) = claim(&mut task, at(0));
    for (until, now) in [(90, 30), (120, 59), (90, 30)] {
        let renewed = transition::renew(&mut task.state, token, Some(at(until)), None, at(now));
        assert_eq!(renewed, Ok(()));
    }
    assert_eq!(task.state.due(), Some(at(120)));
}

#[test]
fn progress_survives_a_renewal_without_any() {
    let mut task = task();
    let (token, _) = claim(&mut task, at(0));
    let progress = Progress::new(0.5, "half", at(1));
    for renewed in [Some(progress.clone()), None] {
        assert_eq!(
            transition::renew(&mut task.state, token, None, renewed, at(2)),
            Ok(())
        );
    }
    assert_eq!(task.state.progress, Some(progress));
    assert_eq!(task.state.due(), Some(at(60)));
}

#[test]
fn a_cancelled_waiting_task_is_due_for_its_cleanup() {
    let mut task = task();
    task.state.wait_until = at(1000);
    assert_eq!(transition::cancel(&mut task, at(5)), Change::Applied);
    assert_eq!(task.status(at(5)), CancellationPending);
    let (token, _) = claim(&mut task, at(5));
    assert_eq!(phase(&task), Some(Phase::Cleanup));
    assert_eq!((task.attempts(), task.state.cleanup_attempts), (0, 1));
    finish_with_cleanup(&mut task, token, Verdict::Complete(None), 6);
    assert_eq!(task.status(at(6)), Cancelled);
}

#[test]
fn a_cancelled_running_task_keeps_its_lease() {
    let mut task = task();
    claim(&mut task, at(0));
    assert_eq!(transition::cancel(&mut task, at(5)), Change::Applied);
    assert_eq!(task.status(at(5)), CancellationPending);
    assert_eq!(task.state.due(), Some(at(60)));
}

#[test]
fn every_outcome_of_a_cancelled_handler_leads_to_the_cleanup() {
    let verdicts = [
        Verdict::Complete(None),
        fail(),
        retry(900),
        Verdict::Snooze { at: at(900) },
        Verdict::Release,
        Verdict::Cancel {
            reason: "me too".into(),
        },
    ];
    for verdict in verdicts {
        let mut task = task();
        let (token, _) = claim(&mut task, at(0));
        transition::cancel(&mut task, at(5));
        finish_with_cleanup(&mut task, token, verdict.clone(), 10);
        assert_eq!(task.state.due(), Some(at(10)), "{verdict:?}");
        let (token, _) = claim(&mut task, at(10));
        assert_eq!(phase(&task), Some(Phase::Cleanup), "{verdict:?}");
        finish_with_cleanup(&mut task, token, Verdict::Complete(None), 11);
        assert_eq!(task.status(at(11)), Cancelled, "{verdict:?}");
    }
}

#[test]
fn every_outcome_of_a_cancelled_handler_without_a_cleanup_ends_the_task_as_cancelled() {
    for verdict in [Verdict::Complete(None), fail(), retry(900), Verdict::Release] {
        let mut task = task();
        let (token, _) = claim(&mut task, at(0));
        transition::cancel(&mut task, at(5));
        assert_eq!(finish(&mut task, token, verdict.clone(), 10), Ok(()));
        assert_eq!(task.status(at(10)), Cancelled, "{verdict:?}");
    }
}

#[test]
fn the_result_of_a_cancelled_handler_is_not_replaced_by_its_cleanup() {
    let [run, cleanup] = ["1", "2"].map(|text| Json::parse(text).expect("JSON"));
    let mut task = task();
    let (token, _) = claim(&mut task, at(0));
    transition::cancel(&mut task, at(5));
    finish_with_cleanup(&mut task, token, Verdict::Complete(Some(run.clone())), 10);
    let (token, _) = claim(&mut task, at(10));
    finish_with_cleanup(&mut task, token, Verdict::Complete(Some(cleanup)), 11);
    assert_eq!(task.state.result, Some(run));
}

#[test]
fn a_failing_cleanup_is_retried_and_may_fail_the_task() {
    let mut task = task();
    transition::cancel(&mut task, at(0));
    let (token, _) = claim(&mut task, at(0));
    finish_with_cleanup(&mut task, token, retry(30), 1);
    assert_eq!(
        task.state.due(),
        Some(at(30)),
        "the cleanup waits for its backoff"
    );
    let (token, _) = claim(&mut task, at(30));
    finish_with_cleanup(&mut task, token, fail(), 31);
    assert_eq!(task.status(at(31)), Failed);
    assert!(task.errors().iter().all(|error| error.cleanup));
    assert_eq!((task.state.cleanup_attempts, task.errors().len()), (2, 2));
}

#[test]
fn a_handler_may_cancel_its_own_task() {
    let reason = || Verdict::Cancel {
        reason: "not needed".into(),
    };
    let ended = after(reason());
    assert_eq!(ended.status(at(5)), Cancelled);
    assert_eq!(ended.state.cancelled_at, Some(at(5)));

    let mut cleaned = task();
    let (token, _) = claim(&mut cleaned, at(0));
    finish_with_cleanup(&mut cleaned, token, reason(), 5);
    assert_eq!(cleaned.status(at(5)), CancellationPending);
    assert_eq!(cleaned.errors()[0].error, "not needed");
}

#[test]
fn a_cancelled_task_of_a_crashed_worker_is_claimed_for_its_cleanup() {
    let mut task = task();
    claim(&mut task, at(0));
    transition::cancel(&mut task, at(5));
    assert!(!transition::is_due(&task.state, at(59)));
    let (_, orphaned) = claim(&mut task, at(60));
    assert!(orphaned);
    assert_eq!(phase(&task), Some(Phase::Cleanup));
    assert!(
        !task.errors()[0].cleanup,
        "the orphaned attempt was one of the handler"
    );
}

#[test]
fn a_done_task_is_not_cancelled() {
    for verdict in [Verdict::Complete(None), fail()] {
        let mut task = after(verdict);
        let before = task.clone();
        assert_eq!(transition::cancel(&mut task, at(9)), Change::AlreadyDone);
        assert_eq!(task, before);
    }
}

#[test]
fn a_second_cancellation_changes_nothing() {
    let mut task = task();
    transition::cancel(&mut task, at(1));
    let before = task.clone();
    assert_eq!(transition::cancel(&mut task, at(2)), Change::AlreadyCancelled);
    assert_eq!(task, before);

    let (token, _) = claim(&mut task, at(3));
    finish_with_cleanup(&mut task, token, Verdict::Complete(None), 4);
    assert_eq!(transition::cancel(&mut task, at(5)), Change::AlreadyCancelled);
}

#[test]
fn a_reset_task_is_as_new() {
    let cancel = Verdict::Cancel { reason: "no".into() };
    for verdict in [
        Verdict::Complete(Some(Json::parse("7").expect("JSON"))),
        fail(),
        cancel,
    ] {
        let mut task = after(verdict);
        assert_eq!(transition::reset(&mut task, at(9)), Change::Applied);
        assert_eq!(task.state, TaskState::waiting_until(at(9)));
    }
}

#[test]
fn a_task_that_is_not_done_is_not_reset() {
    let mut leased = task();
    claim(&mut leased, at(0));
    for mut task in [task(), after(retry(99)), leased] {
        let before = task.clone();
        assert_eq!(transition::reset(&mut task, at(9)), Change::NotDone);
        assert_eq!(task, before);
    }
}

fn rule(text: &str) -> Recurrence {
    Recurrence::new(text).expect("a rule").anchored_at(at(0))
}

fn generator() -> Task {
    let mut task = task();
    task.spec.recurrence = Some(rule("FREQ=DAILY"));
    task
}

#[test]
fn a_generator_advances_without_attempts() {
    let mut generator = generator();
    let (token, _) = claim(&mut generator, at(0));
    assert_eq!(
        finish(
            &mut generator,
            token,
            Verdict::Advance {
                next: Some(at(86_400))
            },
            1
        ),
        Ok(())
    );
    assert_eq!(generator.status(at(1)), Waiting);
    assert_eq!(generator.state.due(), Some(at(86_400)));
    let (token, _) = claim(&mut generator, at(86_400));
    assert_eq!(
        finish(&mut generator, token, Verdict::Advance { next: None }, 86_401),
        Ok(())
    );
    assert_eq!(generator.status(at(86_402)), Completed);
    assert_eq!(counts(&generator), (0, 0));
}

#[test]
fn a_cancelled_generator_ends_at_once() {
    let mut generator = generator();
    let (token, _) = claim(&mut generator, at(0));
    assert_eq!(transition::cancel(&mut generator, at(1)), Change::Applied);
    assert_eq!(generator.status(at(1)), Cancelled);
    let advance = Verdict::Advance { next: Some(at(9)) };
    assert_eq!(finish(&mut generator, token, advance, 2), Err(LeaseLost));
}

#[test]
fn a_generator_adopts_a_new_rule_and_refuses_the_claim_under_the_old_one() {
    let mut generator = generator();
    let (token, _) = claim(&mut generator, at(0));
    let hourly = rule("FREQ=HOURLY");
    assert_eq!(
        transition::replace_rule(&mut generator, &hourly, at(30)),
        Change::Applied
    );
    assert_eq!(generator.spec.recurrence, Some(hourly.clone()));
    assert_eq!(generator.state.due(), Some(at(30)));
    let advance = Verdict::Advance { next: Some(at(9)) };
    assert_eq!(finish(&mut generator, token, advance, 2), Err(LeaseLost));

    transition::cancel(&mut generator, at(3));
    assert_eq!(
        transition::replace_rule(&mut generator, &hourly, at(30)),
        Change::AlreadyDone
    );
}

#[test]
fn every_state_has_one_status() {
    let waiting = TaskState::waiting_until(at(10));
    let mut leased = waiting.clone();
    leased.lease = Some(lease_until(at(70), Phase::Run));
    let mut cancelled = leased.clone();
    cancelled.cancelled_at = Some(at(5));
    let statuses = [
        (&waiting, 9, Waiting),
        (&waiting, 10, Pending),
        (&leased, 69, Leased),
        (&leased, 70, Pending),
        (&cancelled, 69, CancellationPending),
        (&cancelled, 70, CancellationPending),
    ];
    for (state, seconds, expected) in statuses {
        let mut task = task();
        task.state = state.clone();
        assert_eq!(task.status(at(seconds)), expected);
        assert!(!expected.is_done());
    }
    assert_eq!(Status::ALL.iter().filter(|status| status.is_done()).count(), 3);
}
