//! Cancellation of tasks whose type has no cleanup handler, in every state of a task.

use std::time::Duration;

use oncetask::{Attempt, Change, Client, Handler, HandlerConfig, HandlerError, OnceTask as _, Status};
use tests::harness::wait::{until, within};
use tests::harness::{
    Fixture, Gate, Other, Work, attempts, builder, gated_handler, name_reporting_handler, other, reports,
    retry_at_once, start, stop_reporting_handler, work,
};
use tests::on_every_store;

use crate::flaky_store::flaky;

on_every_store!(
    a_task_cancelled_before_its_claim_never_runs,
    a_running_handler_is_signalled,
    a_handler_may_ignore_the_signal_and_its_result_is_stored,
    a_handler_in_another_process_is_signalled,
    a_task_cancelled_in_backoff_is_not_retried,
    a_completed_task_is_not_cancelled,
    a_second_cancellation_changes_nothing,
    a_cancelled_task_of_a_crashed_worker_ends_when_its_lease_expires,
    a_cancellation_wins_over_a_completion_in_flight,
    a_handler_can_cancel_its_own_task,
    cancel_by_resource_key_cancels_only_that_key,
    a_cancellation_arrives_during_a_backlog,
);

async fn a_task_cancelled_before_its_claim_never_runs(fixture: Fixture) {
    let id = fixture.create(work("a")).await;
    assert_eq!(fixture.cancel(&id).await, Change::Applied);
    let (reporter, mut received) = reports();
    let _worker = fixture.work(name_reporting_handler(reporter)).await;
    assert_eq!(
        fixture.done(&id).await.status(fixture.client.clock().now()),
        Status::Cancelled
    );
    // A task that is created later runs after it.
    fixture.done(&fixture.create(work("b")).await).await;
    assert_eq!(received.drain(), ["b"]);
}

async fn a_running_handler_is_signalled(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let _worker = fixture.work(stop_reporting_handler(reporter)).await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "began");
    assert_eq!(fixture.cancel(&id).await, Change::Applied);
    assert_eq!(received.next().await, "stopping");
    let task = fixture.done(&id).await;
    assert_eq!(task.status(fixture.client.clock().now()), Status::Cancelled);
    assert_eq!(task.errors()[0].error, "stopped");
    assert_eq!(received.drain(), [""; 0], "a cancelled task was retried");
}

async fn a_handler_may_ignore_the_signal_and_its_result_is_stored(fixture: Fixture) {
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let _worker = fixture.work(gated_handler(reporter, gate.clone())).await;
    let id = fixture.create(work("a")).await;
    received.next().await;
    fixture.cancel(&id).await;
    let now = fixture.client.clock().now();
    assert_eq!(fixture.task(&id).await.status(now), Status::CancellationPending);
    gate.open();
    let task = fixture.done(&id).await;
    assert_eq!(task.status(now), Status::Cancelled);
    assert_eq!(task.result::<String>().expect("text").as_deref(), Some("a"));
}

async fn a_handler_in_another_process_is_signalled(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let other_client = fixture.second_client().await;
    let _worker = start(builder(&other_client).handler(stop_reporting_handler(reporter))).await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "began");
    fixture.cancel(&id).await;
    assert_eq!(received.next().await, "stopping");
    assert_eq!(
        fixture.done(&id).await.status(fixture.client.clock().now()),
        Status::Cancelled
    );
}

async fn a_task_cancelled_in_backoff_is_not_retried(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let handler = Handler::new(move |attempt: Attempt<Work>| {
        let reporter = reporter.clone();
        async move {
            reporter.report(attempt.attempt);
            Err::<(), _>("not yet")
        }
    });
    let hourly = oncetask::Retry::fixed(Duration::from_hours(1));
    let _worker = fixture
        .work(handler.config(HandlerConfig::DEFAULT.retry(hourly)))
        .await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, 1);
    fixture.until(&id, |task| task.state.lease.is_none()).await;
    assert_eq!(fixture.cancel(&id).await, Change::Applied);
    let task = fixture.done(&id).await;
    assert_eq!((task.attempts(), task.errors().len()), (1, 1));
    assert_eq!(task.status(fixture.client.clock().now()), Status::Cancelled);
    assert_eq!(received.drain(), [0; 0]);
}

async fn a_completed_task_is_not_cancelled(fixture: Fixture) {
    let (reporter, _received) = reports();
    let _worker = fixture.work(name_reporting_handler(reporter)).await;
    let id = fixture.create(work("a")).await;
    let completed = fixture.done(&id).await;
    assert_eq!(fixture.cancel(&id).await, Change::AlreadyDone);
    assert_eq!(fixture.task(&id).await, completed);
}

async fn a_second_cancellation_changes_nothing(fixture: Fixture) {
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let _worker = fixture.work(gated_handler(reporter, gate.clone())).await;
    let id = fixture.create(work("a")).await;
    received.next().await;
    let changes = fixture
        .client
        .cancel_many([id.clone(), id.clone(), "work:b".into()])
        .await;
    let changes = changes.expect("the store answers");
    assert_eq!(
        changes,
        [Change::Applied, Change::AlreadyCancelled, Change::NotFound]
    );
    assert_eq!(fixture.cancel(&id).await, Change::AlreadyCancelled);
    gate.open();
    fixture.done(&id).await;
    assert_eq!(fixture.cancel(&id).await, Change::AlreadyCancelled);
}

async fn a_cancelled_task_of_a_crashed_worker_ends_when_its_lease_expires(fixture: Fixture) {
    let id = fixture.create(work("a")).await;
    fixture
        .claim_and_crash(Work::KIND, Duration::from_millis(300))
        .await;
    assert_eq!(fixture.cancel(&id).await, Change::Applied);
    let (reporter, mut received) = reports();
    let _worker = fixture.work(name_reporting_handler(reporter)).await;
    let task = fixture.done(&id).await;
    assert_eq!(task.status(fixture.client.clock().now()), Status::Cancelled);
    assert!(
        task.errors()[0].error.contains("lease expired"),
        "{:?}",
        task.errors()
    );
    assert_eq!(received.drain(), [""; 0]);
}

/// Checks a cancellation that is accepted after the handler has returned and before its completion is stored.
async fn a_cancellation_wins_over_a_completion_in_flight(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let _worker = start(builder(&client).handler(gated_handler(reporter, gate.clone()))).await;
    let id = fixture.create(work("a")).await;
    received.next().await;
    control.fail_finishes(usize::MAX);
    gate.open();
    until(|| control.finish_calls() > 0).await;
    assert_eq!(fixture.cancel(&id).await, Change::Applied);
    control.fail_finishes(0);
    let task = fixture.done(&id).await;
    assert_eq!(task.status(fixture.client.clock().now()), Status::Cancelled);
    assert!(task.state.result.is_some(), "the handler's result is stored");
}

async fn a_handler_can_cancel_its_own_task(fixture: Fixture) {
    let handler = Handler::new(|_: Work| async { Err::<(), _>(HandlerError::cancel("the user left")) });
    let _worker = fixture.work(handler.config(attempts(3))).await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    assert_eq!(task.status(fixture.client.clock().now()), Status::Cancelled);
    assert_eq!(task.errors()[0].error, "the user left");
    assert_eq!(task.attempts(), 1);
}

async fn cancel_by_resource_key_cancels_only_that_key(fixture: Fixture) {
    let first = fixture.create(work("a").key("k")).await;
    let second = fixture.create(work("b").key("k")).await;
    let unrelated = fixture.create(work("c").key("other")).await;
    let cancel = |client: Client| async move { client.cancel_by_resource_key(Work::KIND, "k").await };
    let mut cancelled = cancel(fixture.client.clone()).await.expect("the store answers");
    cancelled.sort();
    assert_eq!(cancelled, [first, second]);
    let again = cancel(fixture.client.clone()).await.expect("the store answers");
    assert!(again.is_empty(), "{again:?}");
    assert_eq!(fixture.task(&unrelated).await.state.cancelled_at, None);
}

/// Checks that a worker that always has something to claim still receives a cancellation.
async fn a_cancellation_arrives_during_a_backlog(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let client = fixture.client.clone();
    // Each task creates the next one, so that there is always something to claim.
    let busy = Handler::new(move |attempt: Attempt<Other>| {
        let client = client.clone();
        async move {
            let number: u64 = attempt.name.rsplit(' ').next().unwrap_or("0").parse()?;
            client.create(other(format!("busy {}", number + 8))).await?;
            Ok::<_, HandlerError>(())
        }
    });
    let busy = busy.config(HandlerConfig::DEFAULT.concurrency(4).retry(retry_at_once(1)));
    // The heartbeat is so long that no renewal reveals the cancellation.
    let worker = start(
        builder(&fixture.client)
            .handler(busy)
            .handler(stop_reporting_handler(reporter)),
    )
    .await;
    for number in 0..8 {
        fixture.create(other(format!("busy {number}"))).await;
    }
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "began");
    fixture.cancel(&id).await;
    assert_eq!(received.next().await, "stopping");
    within(worker.shutdown()).await;
}
