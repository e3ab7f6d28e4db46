//! The shutdown of a worker, graceful or by dropping it.

use std::time::Duration;

use oncetask::{Handler, OnceTask as _, Status};
use tests::harness::wait::{until, within};
use tests::harness::{
    DropReporter, Fixture, Gate, Reporter, Work, attempts, builder, gated_handler, name_reporting_handler,
    reports, start, with_short_leases, work,
};
use tests::on_every_store;

use crate::flaky_store::flaky;

on_every_store!(
    handlers_may_end_within_the_grace_period,
    a_handler_that_outlasts_the_grace_period_is_released,
    a_stopped_worker_claims_nothing,
    a_claim_in_flight_is_released,
    a_dropped_worker_releases_its_claims,
    a_dropped_run_releases_its_claims,
    a_dropped_shutdown_releases_its_claims,
    dropping_the_runtime_of_a_worker_does_not_panic,
    an_idle_worker_stops_at_once,
    exhausted_attempts_fail_the_task_during_a_shutdown,
);

/// Returns a handler that never ends. It reports `began` and `dropped`.
fn endless_handler(reporter: Reporter<&'static str>) -> Handler {
    Handler::new(move |_: Work| {
        let reporter = reporter.clone();
        async move {
            let _dropped = DropReporter(reporter.clone());
            reporter.report("began");
            std::future::pending::<()>().await;
        }
    })
}

/// Waits for the release of a task, and checks that no attempt was counted.
async fn assert_released(fixture: &Fixture, id: &oncetask::TaskId) {
    let task = fixture.until(id, |task| task.state.lease.is_none()).await;
    assert_eq!((task.attempts(), task.errors().len()), (0, 0));
    assert_eq!(task.status(fixture.client.clock().now()), Status::Pending);
}

async fn handlers_may_end_within_the_grace_period(fixture: Fixture) {
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let worker = fixture.work(gated_handler(reporter, gate.clone())).await;
    let id = fixture.create(work("a")).await;
    received.next().await;
    let shutdown = tokio::spawn(worker.shutdown());
    fixture.create(work("b")).await;
    gate.open();
    within(shutdown).await.expect("the worker ends");
    let task = fixture.task(&id).await;
    assert_eq!(
        task.status(fixture.client.clock().now()),
        Status::Completed,
        "the outcome is stored"
    );
}

async fn a_handler_that_outlasts_the_grace_period_is_released(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let config = oncetask::HandlerConfig::DEFAULT.retry(oncetask::Retry::never());
    let handler = endless_handler(reporter).config(config);
    let worker = start(
        builder(&fixture.client)
            .grace(Duration::from_millis(10))
            .handler(handler),
    )
    .await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "began");
    within(worker.shutdown()).await;
    assert_eq!(received.next().await, "dropped");
    assert_released(&fixture, &id).await;
    let (reporter, mut received) = reports();
    let _next = fixture.work(name_reporting_handler(reporter)).await;
    assert_eq!(received.next().await, "a");
    assert_eq!(fixture.done(&id).await.attempts(), 1);
}

async fn a_stopped_worker_claims_nothing(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    let (reporter, mut received) = reports();
    let worker = start(builder(&client).handler(name_reporting_handler(reporter))).await;
    fixture.create(work("a")).await;
    assert_eq!(received.next().await, "a");
    within(worker.shutdown()).await;
    let claims = control.claim_calls();
    let id = fixture.create(work("b")).await;
    // When another worker has run the task, the stopped one had time to claim it.
    let (reporter, mut other) = reports();
    let _another =
        start(builder(&fixture.second_client().await).handler(name_reporting_handler(reporter))).await;
    assert_eq!(other.next().await, "b");
    fixture.done(&id).await;
    assert_eq!(control.claim_calls(), claims);
    assert_eq!(received.drain(), [""; 0]);
}

async fn a_claim_in_flight_is_released(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    control.hold_claims();
    let (reporter, mut received) = reports();
    let worker = start(builder(&client).handler(name_reporting_handler(reporter))).await;
    let id = fixture.create(work("a")).await;
    fixture.until(&id, |task| task.state.lease.is_some()).await;
    let mut shutdown = std::pin::pin!(worker.shutdown());
    let waited = tokio::time::timeout(Duration::from_millis(5), &mut shutdown).await;
    assert!(
        waited.is_err(),
        "the shutdown ended before the claim was answered"
    );
    control.release_claims();
    within(shutdown).await;
    assert_eq!(received.drain(), [""; 0]);
    assert_released(&fixture, &id).await;
}

async fn a_dropped_worker_releases_its_claims(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let worker = fixture.work(endless_handler(reporter)).await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "began");
    drop(worker);
    assert_eq!(received.next().await, "dropped");
    assert_released(&fixture, &id).await;
}

async fn a_dropped_run_releases_its_claims(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let running = tokio::spawn(builder(&fixture.client).handler(endless_handler(reporter)).run());
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "began");
    running.abort();
    assert_eq!(received.next().await, "dropped");
    assert_released(&fixture, &id).await;
}

async fn a_dropped_shutdown_releases_its_claims(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let worker = start(
        builder(&fixture.client)
            .grace(Duration::from_hours(1))
            .handler(endless_handler(reporter)),
    )
    .await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "began");
    let shutdown = tokio::time::timeout(Duration::from_millis(5), worker.shutdown()).await;
    assert!(shutdown.is_err(), "the handler cannot end");
    assert_eq!(received.next().await, "dropped");
    assert_released(&fixture, &id).await;
}

async fn dropping_the_runtime_of_a_worker_does_not_panic(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let client = fixture.second_client().await;
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        let worker = runtime.block_on(start(
            with_short_leases(&client).handler(endless_handler(reporter)),
        ));
        stopped.recv().expect("the test sends the signal");
        drop(runtime);
        drop(worker);
    });
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "began");
    stop.send(()).expect("the thread runs");
    assert_eq!(received.next().await, "dropped");
    until(|| thread.is_finished()).await;
    thread.join().expect("the thread does not panic");
    // The lease was not released. When it expires, the attempt counts as a crash.
    let (reporter, mut received) = reports();
    let _next = fixture.work(name_reporting_handler(reporter)).await;
    assert_eq!(received.next().await, "a");
    assert_eq!(fixture.done(&id).await.attempts(), 2);
}

/// Checks that a shutdown ends although every write fails. The worker repeats its last writes for a limited time,
/// which the paused clock shortens.
#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_during_an_outage() {
    let fixture = Fixture::memory();
    let (client, control) = flaky(&fixture.client);
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let worker = start(
        builder(&client)
            .grace(Duration::ZERO)
            .handler(gated_handler(reporter, gate)),
    )
    .await;
    let id = fixture.create(work("a")).await;
    received.next().await;
    control.fail_finishes(usize::MAX);
    control.fail_renewals(usize::MAX);
    worker.shutdown().await;
    let task = fixture.task(&id).await;
    assert_eq!((task.attempts(), task.is_done()), (1, false));
}

async fn an_idle_worker_stops_at_once(fixture: Fixture) {
    let (reporter, _received) = reports();
    let worker = start(
        builder(&fixture.client)
            .grace(Duration::from_hours(1))
            .handler(name_reporting_handler(reporter)),
    )
    .await;
    within(worker.shutdown()).await;
}

/// Checks that the worker fails a task whose last attempt was orphaned. A release would allow it one more attempt.
async fn exhausted_attempts_fail_the_task_during_a_shutdown(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    let id = fixture.create(work("a")).await;
    fixture
        .claim_and_crash(Work::KIND, Duration::from_millis(100))
        .await;
    control.hold_claims();
    let (reporter, mut received) = reports();
    let worker = start(builder(&client).handler(name_reporting_handler(reporter).config(attempts(1)))).await;
    fixture.until(&id, |task| task.attempts() == 2).await;
    let mut shutdown = std::pin::pin!(worker.shutdown());
    let waited = tokio::time::timeout(Duration::from_millis(5), &mut shutdown).await;
    assert!(
        waited.is_err(),
        "the shutdown ended before the claim was answered"
    );
    control.release_claims();
    within(shutdown).await;
    assert_eq!(
        fixture.task(&id).await.status(fixture.client.clock().now()),
        Status::Failed
    );
    assert_eq!(received.drain(), [""; 0]);
}
