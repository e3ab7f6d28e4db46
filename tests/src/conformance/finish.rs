//! The end of a claim: each verdict, and its refusal.

use oncetask::Status;
use oncetask::store::{Finish, Renewed};
use oncetask::task::transition::{LeaseLost, Phase, Verdict};
use oncetask::task::{Done, Ending, Json, LeaseToken, Progress};

use super::list_cases;
use super::support::{Backend, StoreHandle, at, complete, extension, finish, millis, task};

list_cases!("finish":
    complete_stores_the_result,
    retry_waits_and_stores_the_error,
    fail_ends_the_task,
    cancel_ends_a_task_without_a_cleanup_handler,
    cancel_leads_to_the_cleanup_handler,
    snooze_waits_and_does_not_count_the_attempt,
    release_is_due_at_once_and_does_not_count_the_attempt,
    defer_waits_and_counts_the_deferrals,
    exhausted_fails_after_orphaned_attempts,
    progress_is_stored_with_the_end_of_a_claim,
    progress_is_stored_after_the_lease_has_expired,
    a_finish_without_progress_keeps_the_stored_progress,
    a_foreign_token_is_refused,
    a_second_finish_is_refused,
    the_finish_of_a_deleted_task_is_refused,
    the_finish_of_an_unknown_task_is_refused,
    a_task_cancelled_while_it_runs_ends_as_cancelled_and_keeps_its_result,
    a_task_cancelled_while_it_runs_is_cleaned_up,
    a_failed_cleanup_is_retried,
    a_cleanup_that_fails_for_good_fails_the_task,
    a_retried_task_runs_again_with_another_token,
    one_of_competing_finishes_is_accepted,
    results_are_in_request_order,
);

async fn verdict(store: &StoreHandle, verdict: Verdict, seconds: i64) -> oncetask::Task {
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    assert_eq!(store.finish(&claimed, verdict, at(seconds)).await, Ok(()));
    let task = store.task("a").await;
    assert_eq!(task.state.lease, None);
    task
}

fn done(seconds: i64, how: Ending) -> Done {
    Done::new(at(seconds), how)
}

async fn complete_stores_the_result(backend: Backend) {
    let store = backend.open().await;
    let result = Json::parse(r#"{"sent":true}"#).expect("valid JSON");
    let task = verdict(&store, Verdict::Complete(Some(result.clone())), 5).await;
    assert_eq!(task.state.done, Some(done(5, Ending::Completed)));
    assert_eq!(task.state.result, Some(result));
    assert_eq!((task.attempts(), task.errors().len()), (1, 0));
    store.assert_nothing_due(at(1000)).await;
}

async fn retry_waits_and_stores_the_error(backend: Backend) {
    let store = backend.open().await;
    let retry = Verdict::Retry {
        at: millis(9_250),
        error: "no answer".into(),
    };
    let task = verdict(&store, retry, 5).await;
    assert_eq!(task.status(at(9)), Status::Waiting);
    assert_eq!(task.state.wait_until, millis(9_250));
    let [error] = task.errors() else {
        panic!("{:?}", task.errors())
    };
    assert_eq!(
        (error.at, error.attempt, error.cleanup, &error.error[..]),
        (at(5), 1, false, "no answer")
    );
    store.assert_nothing_due(millis(9_249)).await;
    assert_eq!(store.claim_one(millis(9_250)).await.task.attempts(), 2);
}

async fn fail_ends_the_task(backend: Backend) {
    let store = backend.open().await;
    let task = verdict(
        &store,
        Verdict::Fail {
            error: "broken".into(),
        },
        5,
    )
    .await;
    assert_eq!(task.state.done, Some(done(5, Ending::Failed)));
    assert_eq!(task.errors()[0].error, "broken");
    store.assert_nothing_due(at(1000)).await;
}

async fn cancel_ends_a_task_without_a_cleanup_handler(backend: Backend) {
    let store = backend.open().await;
    let task = verdict(
        &store,
        Verdict::Cancel {
            reason: "not needed".into(),
        },
        5,
    )
    .await;
    assert_eq!(task.state.done, Some(done(5, Ending::Cancelled)));
    assert_eq!(task.state.cancelled_at, Some(at(5)));
    store.assert_nothing_due(at(1000)).await;
}

async fn cancel_leads_to_the_cleanup_handler(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    let cancel = Verdict::Cancel {
        reason: "not needed".into(),
    };
    assert_eq!(
        store
            .finish_one(with_cleanup(finish(&claimed, cancel)), at(5))
            .await,
        Ok(())
    );
    let task = store.task("a").await;
    assert_eq!(task.status(at(5)), Status::CancellationPending);
    let cleanup = store.claim_one(at(5)).await;
    assert_eq!(
        cleanup.task.state.lease.as_ref().map(|lease| lease.phase),
        Some(Phase::Cleanup)
    );
    assert!(!cleanup.orphaned);
    assert_eq!(
        store.finish_one(with_cleanup(complete(&cleanup)), at(6)).await,
        Ok(())
    );
    assert_eq!(store.task("a").await.state.done, Some(done(6, Ending::Cancelled)));
}

fn with_cleanup(finish: Finish) -> Finish {
    finish.cleanup(true)
}

async fn snooze_waits_and_does_not_count_the_attempt(backend: Backend) {
    let store = backend.open().await;
    let task = verdict(&store, Verdict::Snooze { at: at(30) }, 5).await;
    assert_eq!((task.attempts(), task.errors().len()), (0, 0));
    assert_eq!(task.status(at(29)), Status::Waiting);
    store.assert_nothing_due(at(29)).await;
    assert_eq!(store.claim_one(at(30)).await.task.attempts(), 1);
}

async fn release_is_due_at_once_and_does_not_count_the_attempt(backend: Backend) {
    let store = backend.open().await;
    let task = verdict(&store, Verdict::Release, 5).await;
    assert_eq!((task.attempts(), task.errors().len()), (0, 0));
    assert_eq!(task.status(at(5)), Status::Pending);
    let again = store.claim_one(at(5)).await;
    assert!(!again.orphaned);
    assert_eq!(again.task.attempts(), 1);
}

async fn defer_waits_and_counts_the_deferrals(backend: Backend) {
    let store = backend.open().await;
    let task = verdict(&store, Verdict::Defer { at: at(60) }, 5).await;
    assert_eq!((task.attempts(), task.state.deferrals), (0, 1));
    store.assert_nothing_due(at(59)).await;
    let claimed = store.claim_one(at(60)).await;
    assert_eq!(
        store
            .finish(&claimed, Verdict::Defer { at: at(180) }, at(60))
            .await,
        Ok(())
    );
    assert_eq!(store.task("a").await.state.deferrals, 2);
    let claimed = store.claim_one(at(180)).await;
    assert_eq!(
        store
            .finish(&claimed, Verdict::Snooze { at: at(200) }, at(180))
            .await,
        Ok(())
    );
    assert_eq!(
        store.task("a").await.state.deferrals,
        0,
        "the payload could be read"
    );
}

async fn exhausted_fails_after_orphaned_attempts(backend: Backend) {
    let store = backend.open().await;
    store.create_and_claim(task("a"), at(0)).await;
    let claimed = store.claim_one(at(60)).await;
    assert_eq!(store.finish(&claimed, Verdict::Exhausted, at(60)).await, Ok(()));
    let task = store.task("a").await;
    assert_eq!(task.state.done, Some(done(60, Ending::Failed)));
    assert_eq!((task.attempts(), task.errors().len()), (1, 1));
}

fn progress(fraction: f64) -> Progress {
    Progress::new(fraction, "so far", at(1))
}

fn with_progress(finish: Finish, fraction: f64) -> Finish {
    finish.progress(Some(progress(fraction)))
}

async fn progress_is_stored_with_the_end_of_a_claim(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    let retry = Verdict::Retry {
        at: at(5),
        error: "no answer".into(),
    };
    let failed = with_progress(finish(&claimed, retry), 0.25);
    assert_eq!(store.finish_one(failed, at(2)).await, Ok(()));
    assert_eq!(store.task("a").await.state.progress, Some(progress(0.25)));
    let claimed = store.claim_one(at(5)).await;
    assert_eq!(claimed.task.state.progress, Some(progress(0.25)));
    assert_eq!(
        store
            .finish_one(with_progress(complete(&claimed), 1.0), at(6))
            .await,
        Ok(())
    );
    let task = store.task("a").await;
    assert_eq!(task.state.progress, Some(progress(1.0)));
    assert_eq!(task.state.done, Some(done(6, Ending::Completed)));
}

async fn progress_is_stored_after_the_lease_has_expired(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    let late = with_progress(complete(&claimed), 1.0);
    assert_eq!(store.finish_one(late, at(600)).await, Ok(()));
    assert_eq!(store.task("a").await.state.progress, Some(progress(1.0)));
}

async fn a_finish_without_progress_keeps_the_stored_progress(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    let renewal = extension(&claimed, at(90)).progress(Some(progress(0.5)));
    assert_eq!(store.renew(renewal, at(2)).await, Renewed::Held);
    assert_eq!(store.finish(&claimed, Verdict::Release, at(3)).await, Ok(()));
    assert_eq!(store.task("a").await.state.progress, Some(progress(0.5)));
}

async fn a_foreign_token_is_refused(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    let mut foreign = with_progress(complete(&claimed), 0.5);
    foreign.token = LeaseToken::random();
    assert_eq!(store.finish_one(foreign, at(1)).await, Err(LeaseLost));
    assert_eq!(store.task("a").await, claimed.task, "nothing is changed");
}

async fn a_second_finish_is_refused(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    assert_eq!(
        store.finish(&claimed, Verdict::Complete(None), at(1)).await,
        Ok(())
    );
    let stored = store.task("a").await;
    for verdict in [
        Verdict::Complete(None),
        Verdict::Fail { error: "late".into() },
        Verdict::Release,
    ] {
        assert_eq!(store.finish(&claimed, verdict, at(2)).await, Err(LeaseLost));
    }
    assert_eq!(store.task("a").await, stored, "nothing is changed");
}

async fn the_finish_of_a_deleted_task_is_refused(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    store.delete("a").await;
    assert_eq!(
        store.finish(&claimed, Verdict::Complete(None), at(1)).await,
        Err(LeaseLost)
    );
    assert_eq!(store.find("a").await, None);
}

async fn the_finish_of_an_unknown_task_is_refused(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    let mut unknown = complete(&claimed);
    unknown.id = "b".into();
    assert_eq!(store.finish_one(unknown, at(1)).await, Err(LeaseLost));
    assert_eq!(store.find("b").await, None);
}

async fn a_task_cancelled_while_it_runs_ends_as_cancelled_and_keeps_its_result(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    store.cancel("a", at(1)).await;
    let result = Json::parse("7").expect("valid JSON");
    assert_eq!(
        store
            .finish(&claimed, Verdict::Complete(Some(result.clone())), at(5))
            .await,
        Ok(())
    );
    let task = store.task("a").await;
    assert_eq!(task.state.done, Some(done(5, Ending::Cancelled)));
    assert_eq!(task.state.result, Some(result));
}

async fn a_task_cancelled_while_it_runs_is_cleaned_up(backend: Backend) {
    let verdicts = [
        Verdict::Complete(None),
        Verdict::Fail { error: "no".into() },
        Verdict::Retry {
            at: at(500),
            error: "no".into(),
        },
        Verdict::Snooze { at: at(500) },
        Verdict::Release,
    ];
    let store = backend.open().await;
    for (verdict, n) in verdicts.into_iter().zip(0..) {
        let id = n.to_string();
        let claimed = store.create_and_claim(task(&id[..]), at(0)).await;
        store.cancel(&id, at(1)).await;
        let finish = with_cleanup(finish(&claimed, verdict.clone()));
        assert_eq!(store.finish_one(finish, at(5)).await, Ok(()));
        let status = store.task(&id[..]).await.status(at(5));
        assert_eq!(status, Status::CancellationPending, "{verdict:?}");
        let cleanup = store.claim_one(at(5)).await;
        assert_eq!(cleanup.task.id().as_str(), id);
        assert_eq!(
            store.finish_one(with_cleanup(complete(&cleanup)), at(6)).await,
            Ok(())
        );
        let status = store.task(&id[..]).await.status(at(6));
        assert_eq!(status, Status::Cancelled, "{verdict:?}");
    }
}

async fn a_failed_cleanup_is_retried(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a")]).await;
    store.cancel("a", at(1)).await;
    let claimed = store.claim_one(at(1)).await;
    let retry = Verdict::Retry {
        at: at(20),
        error: "still locked".into(),
    };
    assert_eq!(
        store
            .finish_one(with_cleanup(finish(&claimed, retry)), at(2))
            .await,
        Ok(())
    );
    store.assert_nothing_due(at(19)).await;
    let claimed = store.claim_one(at(20)).await;
    assert_eq!(
        (claimed.task.attempts(), claimed.task.state.cleanup_attempts),
        (0, 2)
    );
    assert!(claimed.task.errors()[0].cleanup);
}

async fn a_cleanup_that_fails_for_good_fails_the_task(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a")]).await;
    store.cancel("a", at(1)).await;
    let claimed = store.claim_one(at(1)).await;
    let fail = Verdict::Fail {
        error: "still locked".into(),
    };
    assert_eq!(
        store
            .finish_one(with_cleanup(finish(&claimed, fail)), at(2))
            .await,
        Ok(())
    );
    let task = store.task("a").await;
    assert_eq!(task.state.done, Some(done(2, Ending::Failed)));
    assert_eq!(task.state.cancelled_at, Some(at(1)));
    assert_eq!(
        (task.errors()[0].cleanup, &task.errors()[0].error[..]),
        (true, "still locked")
    );
}

async fn a_retried_task_runs_again_with_another_token(backend: Backend) {
    let store = backend.open().await;
    let first = store.create_and_claim(task("a"), at(0)).await;
    let retry = Verdict::Retry {
        at: at(1),
        error: "again".into(),
    };
    assert_eq!(store.finish(&first, retry, at(1)).await, Ok(()));
    let second = store.claim_one(at(1)).await;
    assert_eq!(
        store.finish(&first, Verdict::Complete(None), at(2)).await,
        Err(LeaseLost)
    );
    assert_eq!(
        store.finish(&second, Verdict::Complete(None), at(2)).await,
        Ok(())
    );
    let task = store.task("a").await;
    assert_eq!((task.attempts(), task.errors().len()), (2, 1));
}

async fn one_of_competing_finishes_is_accepted(backend: Backend) {
    let store = backend.open().await;
    for n in 0..20 {
        let claimed = store.create_and_claim(task(n.to_string()), at(n)).await;
        let [one, other] = [backend.open().await, backend.open().await].map(|store| {
            let complete = complete(&claimed);
            tokio::spawn(async move { store.finish_one(complete, at(n)).await })
        });
        let results = [
            one.await.expect("the call does not panic"),
            other.await.expect("the call does not panic"),
        ];
        assert!(
            matches!(results, [Ok(()), Err(LeaseLost)] | [Err(LeaseLost), Ok(())]),
            "{results:?}"
        );
    }
}

async fn results_are_in_request_order(backend: Backend) {
    let store = backend.open().await;
    let mut claimed = Vec::new();
    for id in ["a", "b", "c", "d"] {
        claimed.push(store.create_and_claim(task(id), at(0)).await);
    }
    store.delete("b").await;
    let mut finishes: Vec<_> = claimed.iter().map(complete).collect();
    finishes[2].token = LeaseToken::random();
    assert_eq!(
        store.finish_all(finishes, at(1)).await,
        [Ok(()), Err(LeaseLost), Err(LeaseLost), Ok(())]
    );
    assert!(!store.task("c").await.is_done());
    assert_eq!(store.finish_all(Vec::new(), at(1)).await, []);
}
