//! Each arrow of the diagram of a task's life.

use std::time::Duration;

use oncetask::Status::{self, CancellationPending, Cancelled, Completed, Failed, Leased, Pending, Waiting};
use oncetask::task::transition::{self, Change, LeaseLost, MAX_ERROR_BYTES, Phase, Verdict};
use oncetask::task::{Json, Lease, LeaseToken, Task, TaskState};
use oncetask::{Progress, Recurrence};

use super::{at, claim, fail, retry, task};

fn finish(task: &mut Task, token: LeaseToken, verdict: Verdict, seconds: i64) -> Result<(), LeaseLost> {
    transition::finish(&mut task.state, token, verdict, false, at(seconds))
}

/// A finish of a type that has a cleanup handler.
fn finish_cleaning(task: &mut Task, token: LeaseToken, verdict: Verdict, seconds: i64) {
    let finished = transition::finish(&mut task.state, token, verdict, true, at(seconds));
    assert_eq!(finished, Ok(()));
}

/// What a task is after one claim and one verdict at second 5.
fn after(verdict: Verdict) -> Task {
    let mut task = task();
    let (token, _) = claim(&mut task, at(0));
    assert_eq!(finish(&mut task, token, verdict, 5), Ok(()));
    task
}

/// The attempts and the errors.
fn ledger(task: &Task) -> (u32, usize) {
    (task.attempts(), task.errors().len())
}

fn phase(task: &Task) -> Option<Phase> {
    task.state.lease.as_ref().map(|lease| lease.phase)
}

#[test]
fn a_new_task_waits_for_its_instant() {
    let mut task = task();
    task.state.wait_until = at(10);
    assert_eq!(task.status(at(9)), Waiting);
    assert_eq!(task.status(at(10)), Pending);
    assert_eq!(ledger(&task), (0, 0));
}

#[test]
fn a_claim_leases_it_and_counts_an_attempt() {
    let mut task = task();
    let (_, silent) = claim(&mut task, at(0));
    assert!(!silent);
    assert_eq!(task.status(at(59)), Leased);
    assert_eq!(phase(&task), Some(Phase::Run));
    assert_eq!(ledger(&task), (1, 0));
}

#[test]
fn a_count_of_attempts_that_is_full_stays_so() {
    let mut task = task();
    task.state.attempts = u32::MAX;
    claim(&mut task, at(0));
    assert_eq!(task.attempts(), u32::MAX);
}

#[test]
fn ok_completes_it() {
    let result = Json::parse("7").expect("JSON");
    let task = after(Verdict::Complete(Some(result.clone())));
    assert_eq!(task.status(at(6)), Completed);
    assert_eq!(task.state.result, Some(result));
    assert_eq!(ledger(&task), (1, 0));
}

#[test]
fn an_error_with_attempts_left_waits_for_the_backoff() {
    let task = after(retry(20));
    assert_eq!((task.status(at(19)), task.status(at(20))), (Waiting, Pending));
    assert_eq!(ledger(&task), (1, 1));
}

#[test]
fn an_error_without_attempts_left_fails_it() {
    let task = after(fail());
    assert_eq!(task.status(at(6)), Failed);
    assert_eq!(ledger(&task), (1, 1));
}

#[test]
fn a_snooze_waits_and_counts_no_attempt() {
    let task = after(Verdict::Snooze { at: at(20) });
    assert_eq!((task.status(at(19)), task.status(at(20))), (Waiting, Pending));
    assert_eq!(ledger(&task), (0, 0));
}

#[test]
fn a_release_is_pending_and_counts_no_attempt() {
    let task = after(Verdict::Release);
    assert_eq!(task.status(at(5)), Pending);
    assert_eq!(ledger(&task), (0, 0));
}

#[test]
fn a_deferral_waits_and_counts_no_attempt() {
    let task = after(Verdict::Defer { at: at(65) });
    assert_eq!(task.status(at(64)), Waiting);
    assert_eq!((ledger(&task), task.state.deferrals), ((0, 0), 1));
}

#[test]
fn deferrals_last_from_a_minute_to_an_hour() {
    let minutes = [0, 1, 2, 5, 6, 60, u32::MAX].map(|n| transition::deferral(n).as_secs() / 60);
    assert_eq!(minutes, [1, 2, 4, 32, 60, 60, 60]);
    assert_eq!(transition::deferral(0), Duration::from_mins(1));
}

#[test]
fn a_payload_that_can_be_read_again_begins_the_deferrals_anew() {
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
fn a_long_error_is_cut_at_a_character() {
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
fn a_lease_that_ends_is_taken_over_and_the_silence_is_noted() {
    let mut task = task();
    let (dead, _) = claim(&mut task, at(0));
    assert_eq!(task.status(at(60)), Pending);
    let (alive, silent) = claim(&mut task, at(60));
    assert!(silent);
    assert_eq!(ledger(&task), (2, 1));
    assert_eq!(task.errors()[0].attempt, 1);

    let before = task.clone();
    assert_eq!(
        finish(&mut task, dead, Verdict::Complete(None), 61),
        Err(LeaseLost)
    );
    assert_eq!(task, before, "the old one's write changed nothing");
    assert_eq!(finish(&mut task, alive, Verdict::Complete(None), 62), Ok(()));
}

#[test]
fn attempts_used_up_by_silence_fail_it() {
    let mut task = task();
    claim(&mut task, at(0));
    claim(&mut task, at(100));
    let (token, silent) = claim(&mut task, at(200));
    assert!(silent);
    assert_eq!(finish(&mut task, token, Verdict::Exhausted, 200), Ok(()));
    assert_eq!(task.status(at(200)), Failed);
    assert_eq!(ledger(&task), (2, 2), "the claim that ran nothing does not count");
}

#[test]
fn a_renewal_extends_the_lease_until_it_has_ended() {
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
fn a_renewal_that_comes_late_does_not_set_the_lease_back() {
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
    let said = Progress {
        fraction: 0.5,
        message: "half".into(),
        at: at(1),
    };
    for progress in [Some(said.clone()), None] {
        assert_eq!(
            transition::renew(&mut task.state, token, None, progress, at(2)),
            Ok(())
        );
    }
    assert_eq!(task.state.progress, Some(said));
    assert_eq!(task.state.due(), Some(at(60)));
}

#[test]
fn a_waiting_task_that_is_cancelled_is_due_for_its_cleanup() {
    let mut task = task();
    task.state.wait_until = at(1000);
    assert_eq!(transition::cancel(&mut task, at(5)), Change::Applied);
    assert_eq!(task.status(at(5)), CancellationPending);
    let (token, _) = claim(&mut task, at(5));
    assert_eq!(phase(&task), Some(Phase::Cleanup));
    assert_eq!((task.attempts(), task.state.cleanup_attempts), (0, 1));
    finish_cleaning(&mut task, token, Verdict::Complete(None), 6);
    assert_eq!(task.status(at(6)), Cancelled);
}

#[test]
fn a_running_task_that_is_cancelled_keeps_its_lease() {
    let mut task = task();
    claim(&mut task, at(0));
    assert_eq!(transition::cancel(&mut task, at(5)), Change::Applied);
    assert_eq!(task.status(at(5)), CancellationPending);
    assert_eq!(task.state.due(), Some(at(60)));
}

#[test]
fn whatever_a_cancelled_handler_returns_its_cleanup_follows() {
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
        finish_cleaning(&mut task, token, verdict.clone(), 10);
        assert_eq!(task.state.due(), Some(at(10)), "{verdict:?}");
        let (token, _) = claim(&mut task, at(10));
        assert_eq!(phase(&task), Some(Phase::Cleanup), "{verdict:?}");
        finish_cleaning(&mut task, token, Verdict::Complete(None), 11);
        assert_eq!(task.status(at(11)), Cancelled, "{verdict:?}");
    }
}

#[test]
fn whatever_a_cancelled_handler_returns_without_a_cleanup_it_ends_as_cancelled() {
    for verdict in [Verdict::Complete(None), fail(), retry(900), Verdict::Release] {
        let mut task = task();
        let (token, _) = claim(&mut task, at(0));
        transition::cancel(&mut task, at(5));
        assert_eq!(finish(&mut task, token, verdict.clone(), 10), Ok(()));
        assert_eq!(task.status(at(10)), Cancelled, "{verdict:?}");
    }
}

#[test]
fn the_result_of_a_cancelled_handler_outlives_that_of_its_cleanup() {
    let [run, cleanup] = ["1", "2"].map(|text| Json::parse(text).expect("JSON"));
    let mut task = task();
    let (token, _) = claim(&mut task, at(0));
    transition::cancel(&mut task, at(5));
    finish_cleaning(&mut task, token, Verdict::Complete(Some(run.clone())), 10);
    let (token, _) = claim(&mut task, at(10));
    finish_cleaning(&mut task, token, Verdict::Complete(Some(cleanup)), 11);
    assert_eq!(task.state.result, Some(run));
}

#[test]
fn a_cleanup_that_fails_is_retried_and_may_fail_the_task() {
    let mut task = task();
    transition::cancel(&mut task, at(0));
    let (token, _) = claim(&mut task, at(0));
    finish_cleaning(&mut task, token, retry(30), 1);
    assert_eq!(task.state.due(), Some(at(30)), "its backoff is kept");
    let (token, _) = claim(&mut task, at(30));
    finish_cleaning(&mut task, token, fail(), 31);
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
    finish_cleaning(&mut cleaned, token, reason(), 5);
    assert_eq!(cleaned.status(at(5)), CancellationPending);
    assert_eq!(cleaned.errors()[0].error, "not needed");
}

#[test]
fn a_cancellation_while_leased_to_a_dead_worker_goes_to_the_cleanup() {
    let mut task = task();
    claim(&mut task, at(0));
    transition::cancel(&mut task, at(5));
    assert!(!transition::is_due(&task.state, at(59)));
    let (_, silent) = claim(&mut task, at(60));
    assert!(silent);
    assert_eq!(phase(&task), Some(Phase::Cleanup));
    assert!(!task.errors()[0].cleanup, "it was the handler that fell silent");
}

#[test]
fn what_has_ended_is_not_cancelled() {
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
    finish_cleaning(&mut task, token, Verdict::Complete(None), 4);
    assert_eq!(transition::cancel(&mut task, at(5)), Change::AlreadyCancelled);
}

#[test]
fn reset_takes_every_end_back_to_the_beginning() {
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
fn what_has_not_ended_is_not_reset() {
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
    assert_eq!(ledger(&generator), (0, 0));
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
fn a_generator_follows_a_new_rule_and_refuses_a_claim_under_the_old_one() {
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
    let lease = |seconds| Lease {
        token: LeaseToken::random(),
        until: at(seconds),
        owner: "worker".into(),
        phase: Phase::Run,
    };
    let waiting = TaskState::waiting_until(at(10));
    let leased = TaskState {
        lease: Some(lease(70)),
        ..TaskState::waiting_until(at(10))
    };
    let cancelled = TaskState {
        cancelled_at: Some(at(5)),
        ..leased.clone()
    };
    let statuses = [
        (&waiting, 9, Waiting),
        (&waiting, 10, Pending),
        (&leased, 69, Leased),
        (&leased, 70, Pending),
        (&cancelled, 69, CancellationPending),
        (&cancelled, 70, CancellationPending),
    ];
    for (state, seconds, expected) in statuses {
        let task = Task {
            state: state.clone(),
            ..task()
        };
        assert_eq!(task.status(at(seconds)), expected);
        assert!(!expected.is_done());
    }
    assert_eq!(Status::ALL.iter().filter(|status| status.is_done()).count(), 3);
}
