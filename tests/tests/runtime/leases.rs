//! Leases: they are renewed while a handler runs, and a handler without a lease is stopped.

use std::time::Duration;

use chrono::{DateTime, Utc};
use oncetask::store::Demand;
use oncetask::{Attempt, Context, Handler, OnceTask as _, Status, Task, TaskId, Worker};
use tests::harness::wait::until;
use tests::harness::{
    DropReporter, Fixture, Gate, HEARTBEAT, Reporter, Work, attempts, builder, gated_handler, reports, start,
    with_short_leases, work,
};
use tests::on_every_store;

use crate::flaky_store::flaky;

on_every_store!(
    the_lease_of_a_running_handler_is_renewed,
    a_handler_is_stopped_at_its_lease_limit,
    failed_renewals_are_repeated,
    an_outage_stops_the_handler_before_its_lease_expires,
    a_hanging_store_stops_the_handler_before_its_lease_expires,
    leases_are_renewed_while_a_handler_blocks_every_thread,
    a_lost_lease_stops_the_handler,
    a_claim_answered_after_its_lease_expired_runs_no_handler,
    tasks_run_although_every_claim_takes_longer_than_a_heartbeat,
);

fn status(fixture: &Fixture, task: &Task) -> Status {
    task.status(fixture.client.clock().now())
}

/// A part of the error of an attempt whose lease could not be renewed.
const NOT_RENEWED: &str = "could not be extended";

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
}

async fn the_lease_of_a_running_handler_is_renewed(fixture: Fixture) {
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let _worker =
        start(with_short_leases(&fixture.client).handler(gated_handler(reporter.clone(), gate.clone())))
            .await;
    // A second worker would claim the task as soon as its lease expired.
    let _second = start(
        with_short_leases(&fixture.second_client().await).handler(gated_handler(reporter, gate.clone())),
    )
    .await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await.1, 1);
    let claimed = fixture.task(&id).await;
    let first_end = claimed.state.lease.expect("the task is leased").until;
    until(|| fixture.client.clock().now() > first_end + HEARTBEAT).await;
    gate.open();
    let task = fixture.done(&id).await;
    assert_eq!((task.attempts(), task.errors().len()), (1, 0));
    assert_eq!(received.drain(), []);
}

async fn a_handler_is_stopped_at_its_lease_limit(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let config = attempts(1).lease(Duration::from_secs(1));
    let id = fixture.create(work("a")).await;
    // On this clock the lease never expires in the store. Otherwise a busy machine might claim the task again before
    // the verdict is stored. The long heartbeat makes renewals unnecessary, as they might be late as well.
    let client = fixture.client_at(fixture.client.clock().now());
    let _worker = start(builder(&client).handler(endless_handler(reporter).config(config))).await;
    let task = fixture.done(&id).await;
    let events = received.drain();
    assert_eq!((events[0], events[events.len() - 1]), ("began", "dropped"));
    assert_eq!((status(&fixture, &task), task.attempts()), (Status::Failed, 1));
    let error = &task.errors()[0].error;
    assert!(error.contains("lease of 1s"), "{error}");
}

async fn failed_renewals_are_repeated(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let _worker = start(with_short_leases(&client).handler(gated_handler(reporter, gate.clone()))).await;
    let id = fixture.create(work("a")).await;
    received.next().await;
    for _ in 0..2 {
        let asked = control.renewals().len();
        control.fail_renewals(2);
        until(|| control.renewals().len() >= asked + 3).await;
    }
    gate.open();
    let task = fixture.done(&id).await;
    assert_eq!((task.attempts(), task.errors().len()), (1, 0));
}

/// Reports the instant at which it is dropped.
pub(crate) struct DroppedAt(pub(crate) Reporter<DateTime<Utc>>);

impl Drop for DroppedAt {
    fn drop(&mut self) {
        self.0.report(oncetask::Clock::system().now());
    }
}

/// Starts an outage while a handler runs, and checks that the handler is dropped before its stored lease expires.
async fn assert_dropped_in_time(
    fixture: &Fixture,
    client: &oncetask::Client,
    start_outage: impl FnOnce(),
) -> (Worker, TaskId) {
    let ((reporter, mut received), (drops, mut dropped)) = (reports(), reports());
    let handler = Handler::new(move |_: Work| {
        let (reporter, drops) = (reporter.clone(), drops.clone());
        async move {
            let _dropped = DroppedAt(drops);
            reporter.report("began");
            std::future::pending::<()>().await;
        }
    });
    let worker = builder(client).heartbeat(2 * HEARTBEAT).grace(Duration::ZERO);
    let worker = start(worker.handler(handler.config(attempts(5)))).await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "began");
    start_outage();
    let at = dropped.next().await;
    let task = fixture.task(&id).await;
    let lease = task
        .state
        .lease
        .expect("the lease was neither taken over nor released");
    assert!(lease.until > at, "dropped at {at}, after {}", lease.until);
    (worker, id)
}

async fn an_outage_stops_the_handler_before_its_lease_expires(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    let (_worker, id) = assert_dropped_in_time(&fixture, &client, || {
        // If claims succeeded, a busy machine might claim the task again before the verdict is stored.
        control.fail_claims(usize::MAX);
        control.fail_finishes(usize::MAX);
        control.fail_renewals(usize::MAX);
    })
    .await;
    control.fail_finishes(0);
    let task = fixture.until(&id, |task| !task.errors().is_empty()).await;
    let error = &task.errors()[0];
    assert_eq!(error.attempt, 1);
    assert!(error.error.contains(NOT_RENEWED), "{error:?}");
}

async fn a_hanging_store_stops_the_handler_before_its_lease_expires(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    let (worker, _) = assert_dropped_in_time(&fixture, &client, || control.hang()).await;
    drop(worker);
}

/// Checks that leases are renewed while a handler blocks the only thread of its worker's runtime.
async fn leases_are_renewed_while_a_handler_blocks_every_thread(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let (unblock, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = std::sync::Arc::new(std::sync::Mutex::new(blocked));
    let handler = Handler::new(move |attempt: Attempt<Work>| {
        let (reporter, blocked) = (reporter.clone(), blocked.clone());
        async move {
            reporter.report(attempt.attempt);
            let unblocked = blocked.lock().expect("no other attempt panicked").recv();
            unblocked.expect("the test unblocks the handler");
        }
    });
    let id = fixture.create(work("a")).await;
    let client = fixture.second_client().await;
    let worker = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            let worker = start(with_short_leases(&client).handler(handler)).await;
            client.wait("work:a").await.expect("the task completes");
            worker.shutdown().await;
        });
    });
    assert_eq!(received.next().await, 1);
    let first_end = fixture
        .task(&id)
        .await
        .state
        .lease
        .expect("the task is leased")
        .until;
    until(|| fixture.client.clock().now() > first_end + HEARTBEAT).await;
    let task = fixture.task(&id).await;
    assert!(
        task.state.lease.expect("the task is leased").until > first_end + HEARTBEAT,
        "the lease was renewed"
    );
    unblock.send(()).expect("the handler waits");
    assert_eq!(fixture.done(&id).await.attempts(), 1);
    until(|| worker.is_finished()).await;
    worker.join().expect("the worker ends");
}

/// Checks that a handler is stopped when its lease has expired and another worker has claimed the task, as happens
/// when a process is suspended.
async fn a_lost_lease_stops_the_handler(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let _worker = start(with_short_leases(&fixture.client).handler(endless_handler(reporter))).await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "began");
    let hour = chrono::TimeDelta::hours(1);
    let now = fixture.client.clock().now() + hour;
    let claim = fixture.claim_at(Demand::new([Work::KIND], hour), now).await;
    assert_eq!(claim.tasks.len(), 1);
    // The handler may be dropped before it is polled and reports `stopping`.
    while received.next().await != "dropped" {}
    let task = fixture.task(&id).await;
    assert_eq!(task.attempts(), 2);
    assert_eq!(task.state.lease, claim.tasks[0].task.state.lease);
}

/// Checks that a claim that the store answers after the lease has expired runs no handler, and that the task is
/// claimed again.
async fn a_claim_answered_after_its_lease_expired_runs_no_handler(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    let (reporter, mut received) = reports();
    control.hold_claims();
    let handler = Handler::new(move |_: Work, cx: Context| {
        let reporter = reporter.clone();
        async move { reporter.report((cx.attempt(), oncetask::Clock::system().now())) }
    });
    let _worker = start(with_short_leases(&client).handler(handler.config(attempts(9)))).await;
    let id = fixture.create(work("a")).await;
    let claimed = fixture.until(&id, |task| task.state.lease.is_some()).await;
    let end = claimed.state.lease.expect("the task is leased").until;
    until(|| fixture.client.clock().now() > end).await;
    control.release_claims();
    let task = fixture.done(&id).await;
    assert_eq!(status(&fixture, &task), Status::Completed);
    let runs = received.drain();
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert!(
        runs[0].1 > end,
        "the handler ran under the expired lease: {runs:?}"
    );
    assert!(
        !task
            .errors()
            .iter()
            .any(|error| error.error.contains(NOT_RENEWED))
    );
}

/// Checks that tasks run on a slow store. There, a lease of one heartbeat has expired when the response arrives, so
/// the worker requests a longer one.
async fn tasks_run_although_every_claim_takes_longer_than_a_heartbeat(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    let heartbeat = HEARTBEAT / 4;
    let slow = heartbeat * 5 / 4;
    control.delay_claims(slow);
    let ids = [fixture.create(work("a")).await, fixture.create(work("b")).await];
    let handler = Handler::new(|_: Work| async {});
    let worker = builder(&client).heartbeat(heartbeat);
    let _worker = start(worker.handler(handler.config(attempts(2)))).await;
    for id in &ids {
        let task = fixture.done(id).await;
        assert_eq!((status(&fixture, &task), task.attempts()), (Status::Completed, 1));
    }
    let demands = control.demands();
    let heartbeat = chrono::TimeDelta::from_std(heartbeat).expect("a short duration");
    assert_eq!(
        demands[0].lease, heartbeat,
        "the first lease is not longer than necessary"
    );
}
