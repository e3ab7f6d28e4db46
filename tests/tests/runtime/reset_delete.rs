//! Reset and deletion of tasks, also of running ones.

use std::time::Duration;

use oncetask::{Change, Context, Handler, HandlerConfig, HandlerError, Status};
use tests::harness::wait::within;
use tests::harness::{
    DropReporter, Fixture, Gate, Reporter, Work, attempts, builder, gated_handler, reports, start,
    stop_reporting_handler, work,
};
use tests::on_every_store;

on_every_store!(
    a_running_task_is_not_reset,
    a_reset_task_starts_over,
    the_handler_of_a_deleted_task_is_signalled_and_dropped,
    the_handler_of_a_deleted_task_in_another_process_is_dropped,
    the_outcome_of_a_deleted_task_is_discarded,
    a_task_deleted_in_backoff_is_not_retried,
    bulk_changes_return_one_result_for_each_id,
);

async fn a_running_task_is_not_reset(fixture: Fixture) {
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let _worker = fixture.work(gated_handler(reporter, gate.clone())).await;
    let id = fixture.create(work("a")).await;
    received.next().await;
    assert_eq!(
        fixture.client.reset(&id).await.expect("the store answers"),
        Change::NotDone
    );
    gate.open();
    assert_eq!(fixture.done(&id).await.attempts(), 1);
}

async fn a_reset_task_starts_over(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let handler = Handler::new(move |attempt: oncetask::Attempt<Work>, cx: Context| {
        let reporter = reporter.clone();
        async move {
            reporter.report(attempt.attempt);
            cx.progress(0.5, "half");
            Err::<(), _>(HandlerError::from("no"))
        }
    });
    let _worker = fixture.work(handler.config(attempts(2))).await;
    let id = fixture.create(work("a")).await;
    fixture.done(&id).await;
    assert_eq!(received.drain(), [1, 2]);
    assert_eq!(
        fixture.client.reset(&id).await.expect("the store answers"),
        Change::Applied
    );
    let task = fixture.done(&id).await;
    assert_eq!(received.drain(), [1, 2]);
    assert_eq!((task.attempts(), task.errors().len()), (2, 2));
}

/// Returns a handler that runs until it is dropped. It reports `began`, `stopping` and `dropped`.
fn endless_handler(reporter: Reporter<&'static str>) -> Handler {
    Handler::new(move |_: Work, cx: Context| {
        let reporter = reporter.clone();
        async move {
            let _dropped = DropReporter(reporter.clone());
            reporter.report("began");
            cx.cancelled().await;
            reporter.report("stopping");
            std::future::pending::<()>().await;
        }
    })
    .config(HandlerConfig::DEFAULT.lease(Duration::from_secs(10)))
}

async fn the_handler_of_a_deleted_task_is_signalled_and_dropped(fixture: Fixture) {
    let (reporter, mut received) = reports();
    // The heartbeat is longer than the lease, so no renewal reveals the deletion.
    let _worker = fixture.work(endless_handler(reporter)).await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "began");
    assert_eq!(
        fixture.client.delete(&id).await.expect("the store answers"),
        Change::Applied
    );
    assert_eq!(received.next().await, "stopping");
    assert_eq!(received.next().await, "dropped");
    // The slot is free again.
    fixture.create(work("b")).await;
    assert_eq!(received.next().await, "began");
}

async fn the_handler_of_a_deleted_task_in_another_process_is_dropped(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let other_client = fixture.second_client().await;
    let _worker = start(builder(&other_client).handler(endless_handler(reporter))).await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "began");
    fixture.client.delete(&id).await.expect("the store answers");
    while received.next().await != "dropped" {}
    assert_eq!(fixture.client.get(&id).await.expect("the store answers"), None);
}

async fn the_outcome_of_a_deleted_task_is_discarded(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let _worker = fixture.work(stop_reporting_handler(reporter)).await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "began");
    fixture.client.delete(&id).await.expect("the store answers");
    // A new task may use the id, and the outcome of the deleted one does not affect it.
    let again = fixture.create(work("a")).await;
    while received.next().await != "began" {}
    let task = fixture.task(&again).await;
    assert_eq!((task.attempts(), task.errors().len()), (1, 0));
    fixture.cancel(&again).await;
    let task = fixture.done(&again).await;
    assert_eq!(task.status(fixture.client.clock().now()), Status::Cancelled);
}

async fn a_task_deleted_in_backoff_is_not_retried(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let failing = Handler::new(move |task: Work| {
        let reporter = reporter.clone();
        async move {
            reporter.report(task.name);
            Err::<(), _>(HandlerError::retry_after(Duration::from_millis(2), "no"))
        }
    });
    let _worker = fixture.work(failing.config(attempts(9))).await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "a");
    fixture.client.delete(&id).await.expect("the store answers");
    received.drain();
    let last = fixture.create(work("b")).await;
    fixture.done(&last).await;
    let rest = received.drain();
    // At most the attempt that was claimed before the deletion has begun.
    assert!(rest.iter().filter(|name| *name == "a").count() <= 1, "{rest:?}");
}

async fn bulk_changes_return_one_result_for_each_id(fixture: Fixture) {
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let worker = fixture.work(gated_handler(reporter, gate.clone())).await;
    let running = fixture.create(work("a")).await;
    received.next().await;
    let waiting = fixture.create(work("b")).await;
    let ids = || {
        [
            running.clone(),
            waiting.clone(),
            "work:none".into(),
            waiting.clone(),
        ]
    };
    let reset = fixture.client.reset_many(ids()).await.expect("the store answers");
    assert_eq!(
        reset,
        [
            Change::NotDone,
            Change::NotDone,
            Change::NotFound,
            Change::NotDone
        ]
    );
    let deleted = fixture
        .client
        .delete_many(ids())
        .await
        .expect("the store answers");
    assert_eq!(deleted[..3], [Change::Applied, Change::Applied, Change::NotFound]);
    gate.open();
    within(worker.shutdown()).await;
    assert_eq!(
        fixture.client.get_many(&ids()).await.expect("the store answers"),
        [None, None, None, None]
    );
}
