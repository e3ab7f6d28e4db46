//! Cancellation and cleanup handlers.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use oncetask::{Change, Handler, HandlerConfig, HandlerError, Retry, Status, TaskId};
use tests::harness::wait::within;
use tests::harness::{Fixture, Work, name_reporting_handler, reports, work};
use tests::on_every_store;

use super::{ELSEWHERE, minute_claim};

on_every_store! {
    a_cancelled_task_is_due_at_once,
    cancel_many_returns_one_result_for_each_id,
    cancel_by_resource_key_leaves_other_keys,
    cancelling_again_or_after_the_end_has_its_own_result,
    a_waiting_task_runs_only_its_cleanup,
    a_running_handler_is_signalled_and_the_cleanup_follows,
    the_cleanup_of_a_crashed_attempt_runs_after_the_lease,
    a_failing_cleanup_is_retried_by_its_own_policy,
    a_cleanup_out_of_attempts_fails_the_task,
    a_cancelled_task_without_a_cleanup_handler_ends_as_cancelled,
    a_task_of_another_environment_is_not_cancelled,
}

async fn a_cancelled_task_is_due_at_once(fixture: Fixture) {
    let later = Utc::now() + TimeDelta::hours(1);
    fixture.create(work("a").at(later)).await;
    let id = TaskId::new("work:a");
    assert_eq!(
        fixture.client.cancel(&id).await.expect("the store answers"),
        Change::Applied
    );
    let task = fixture.task(&id).await;
    assert_eq!(task.status(Utc::now()), Status::CancellationPending);
    assert!(task.state.due().is_some_and(|due| due <= Utc::now()));
}

/// The Go library panics if an id is given twice.
async fn cancel_many_returns_one_result_for_each_id(fixture: Fixture) {
    fixture.create_many(["a", "b", "c"].map(work)).await;
    let ids = ["work:a", "work:missing", "work:b", "work:a"];
    let changes = fixture.client.cancel_many(ids).await.expect("the store answers");
    assert_eq!(
        changes,
        [
            Change::Applied,
            Change::NotFound,
            Change::Applied,
            Change::AlreadyCancelled
        ]
    );
    assert_eq!(fixture.task("work:c").await.state.cancelled_at, None);
    let none = fixture.client.cancel_many([] as [TaskId; 0]).await;
    assert_eq!(none.expect("the store answers"), []);
}

async fn cancel_by_resource_key_leaves_other_keys(fixture: Fixture) {
    fixture
        .create_many([
            work("a").key("k"),
            work("b").key("k"),
            work("c").key("other"),
            work("d"),
        ])
        .await;
    let cancel = async |kind: &str| {
        let ids = fixture
            .client
            .cancel_by_resource_key(kind, "k")
            .await
            .expect("the store answers");
        let mut ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(cancel("Chime").await, [] as [&str; 0]);
    assert_eq!(cancel("Work").await, ["work:a", "work:b"]);
    assert_eq!(cancel("Work").await, [] as [&str; 0]);
    for untouched in ["work:c", "work:d"] {
        assert_eq!(fixture.task(untouched).await.state.cancelled_at, None);
    }
}

async fn cancelling_again_or_after_the_end_has_its_own_result(fixture: Fixture) {
    let (reporter, _received) = reports();
    fixture.create(work("done")).await;
    let worker = fixture.work(name_reporting_handler(reporter)).await;
    let done = fixture.done("work:done").await;
    worker.shutdown().await;
    fixture.create(work("cancelled")).await;
    let cancel = async |id: &str| fixture.client.cancel(id).await.expect("the store answers");
    assert_eq!(cancel("work:cancelled").await, Change::Applied);
    assert_eq!(cancel("work:cancelled").await, Change::AlreadyCancelled);
    assert_eq!(cancel("work:done").await, Change::AlreadyDone);
    assert_eq!(fixture.task("work:done").await, done);
}

async fn a_waiting_task_runs_only_its_cleanup(fixture: Fixture) {
    let (reporter, mut received) = reports();
    fixture.create(work("a")).await;
    fixture.client.cancel("work:a").await.expect("the store answers");
    let (run, cleanup) = (reporter.clone(), reporter);
    let handler = Handler::new(move |_: Work| {
        let run = run.clone();
        async move { run.report("run") }
    })
    .on_cancel(move |_: Work| {
        let cleanup = cleanup.clone();
        async move { cleanup.report("cleanup") }
    });
    let worker = fixture.work(handler).await;
    let task = fixture.done("work:a").await;
    assert_eq!(task.status(Utc::now()), Status::Cancelled);
    worker.shutdown().await;
    assert_eq!(received.drain(), ["cleanup"]);
}

async fn a_running_handler_is_signalled_and_the_cleanup_follows(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let (run, cleanup) = (reporter.clone(), reporter);
    let handler = Handler::new(move |_: Work, cx: oncetask::Context| {
        let run = run.clone();
        async move {
            run.report("begin");
            cx.cancelled().await;
            run.report("stopping");
        }
    })
    .on_cancel(move |_: Work| {
        let cleanup = cleanup.clone();
        async move { cleanup.report("cleanup") }
    });
    let _worker = fixture.work(handler).await;
    fixture.create(work("a")).await;
    assert_eq!(received.next().await, "begin");
    fixture.client.cancel("work:a").await.expect("the store answers");
    assert_eq!(received.next().await, "stopping");
    assert_eq!(received.next().await, "cleanup");
    assert_eq!(fixture.done("work:a").await.status(Utc::now()), Status::Cancelled);
}

async fn the_cleanup_of_a_crashed_attempt_runs_after_the_lease(fixture: Fixture) {
    fn counted_from_one(attempt: u32, _: &HandlerError) -> Option<Duration> {
        (1..3).contains(&attempt).then_some(Duration::ZERO)
    }
    let (reporter, mut received) = reports();
    let created = fixture.client_ahead(-TimeDelta::hours(3)).create(work("a")).await;
    created.expect("the task can be stored");
    fixture
        .claim_at(minute_claim(), Utc::now() - TimeDelta::hours(2))
        .await;
    fixture.client.cancel("work:a").await.expect("the store answers");
    let handler = Handler::new(|_: Work| async {}).on_cancel(move |_: Work| {
        reporter.report("cleanup");
        async {}
    });
    let config = HandlerConfig::DEFAULT.on_cancel_retry(Retry::custom(counted_from_one));
    let _worker = fixture.work(handler.config(config)).await;
    let task = fixture.done("work:a").await;
    assert_eq!(task.status(Utc::now()), Status::Cancelled);
    assert_eq!(received.next().await, "cleanup");
    assert_eq!((task.attempts(), task.state.cleanup_attempts), (1, 1));
}

/// Returns a handler whose cleanup fails this number of times and may be tried `attempts` times.
fn failing_cleanup(failures: u32, attempts: u32) -> Handler {
    let config = HandlerConfig::DEFAULT
        .retry(Retry::never())
        .on_cancel_retry(Retry::fixed(Duration::ZERO).max_attempts(attempts));
    Handler::new(|_: Work| async {})
        .on_cancel(move |attempt: oncetask::Attempt<Work>| async move {
            if attempt.attempt <= failures {
                return Err(format!("still locked ({})", attempt.attempt));
            }
            Ok(())
        })
        .config(config)
}

async fn a_failing_cleanup_is_retried_by_its_own_policy(fixture: Fixture) {
    fixture.create(work("a")).await;
    fixture.client.cancel("work:a").await.expect("the store answers");
    let _worker = fixture.work(failing_cleanup(2, 5)).await;
    let task = fixture.done("work:a").await;
    assert_eq!(task.status(Utc::now()), Status::Cancelled);
    assert_eq!((task.attempts(), task.state.cleanup_attempts), (0, 3));
    let errors: Vec<_> = task.errors().iter().map(|error| &error.error[..]).collect();
    assert_eq!(errors, ["still locked (1)", "still locked (2)"]);
}

async fn a_cleanup_out_of_attempts_fails_the_task(fixture: Fixture) {
    fixture.create(work("a")).await;
    fixture.client.cancel("work:a").await.expect("the store answers");
    let _worker = fixture.work(failing_cleanup(u32::MAX, 2)).await;
    let task = fixture.done("work:a").await;
    assert_eq!(task.status(Utc::now()), Status::Failed);
    assert_eq!(task.errors().len(), 2);
    assert!(task.errors().iter().all(|error| error.cleanup));
}

async fn a_cancelled_task_without_a_cleanup_handler_ends_as_cancelled(fixture: Fixture) {
    let (reporter, mut received) = reports();
    fixture.create(work("a")).await;
    fixture.client.cancel("work:a").await.expect("the store answers");
    let worker = fixture.work(name_reporting_handler(reporter)).await;
    assert_eq!(fixture.done("work:a").await.status(Utc::now()), Status::Cancelled);
    worker.shutdown().await;
    assert_eq!(received.drain(), [] as [&str; 0]);
}

async fn a_task_of_another_environment_is_not_cancelled(fixture: Fixture) {
    fixture.create(work("a").key("k")).await;
    let before = fixture.task("work:a").await;
    let elsewhere = fixture.client_in(ELSEWHERE).await;
    let change = within(elsewhere.cancel("work:a"))
        .await
        .expect("the store answers");
    assert_eq!(change, Change::OtherEnvironment);
    let by_key = elsewhere.cancel_by_resource_key("Work", "k").await;
    assert_eq!(by_key.expect("the store answers"), [] as [TaskId; 0]);
    assert_eq!(fixture.task("work:a").await, before);
}
