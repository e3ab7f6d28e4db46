//! A busy worker still runs due tasks, receives cancellations and renews leases in time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use oncetask::{Attempt, Handler, HandlerConfig, HandlerError, Status};
use tests::harness::wait::until;
use tests::harness::{
    Fixture, Gate, HEARTBEAT, Other, Work, attempts, builder, gated_handler, other, reports, start,
    stop_reporting_handler, work,
};
use tests::on_every_store;

use crate::flaky_store::{StoreControl, flaky};
use crate::leases::DroppedAt;

on_every_store!(
    a_due_retry_does_not_wait_for_a_backlog,
    a_cancellation_arrives_while_claims_fail,
    a_cancellation_arrives_while_a_claim_is_in_flight,
    a_failing_renewal_does_not_affect_other_leases,
    a_group_with_a_failing_renewal_is_stopped_before_its_lease_expires,
);

/// The number of tasks of another kind. They are not all done before the task in question is due.
const BACKLOG: usize = 3000;

async fn a_due_retry_does_not_wait_for_a_backlog(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    // A slot becomes free during every claim, and no notification arrives.
    control.delay_claims(Duration::from_millis(20));
    control.use_own_notifier();
    let (reporter, mut received) = reports();
    let retry_reporter = reporter.clone();
    let again = Handler::new(move |attempt: Attempt<Other>| {
        let reporter = retry_reporter.clone();
        async move {
            if attempt.attempt == 1 {
                return Err(HandlerError::retry_after(Duration::from_secs(1), "later"));
            }
            reporter.report("again");
            Ok(())
        }
    });
    let backlog = Handler::new(move |task: Work| {
        let reporter = reporter.clone();
        async move {
            // With different durations, not all attempts end between two claims.
            let number: u64 = task.name.parse().expect("a number");
            tokio::time::sleep(Duration::from_millis(20 + number * 7 % 60)).await;
            reporter.report("backlog");
        }
    });
    fixture.create(other("a")).await;
    let tasks = (0..BACKLOG).map(|number| work(format!("{number}")));
    fixture
        .client
        .create_many(tasks)
        .await
        .expect("the store answers");
    // A policy of one attempt disables prefetching, so each free slot causes a claim.
    let worker = builder(&client).handler(again.config(attempts(2)));
    let _worker = start(worker.handler(backlog.config(attempts(1).concurrency(64)))).await;
    let mut before = 0;
    while received.next().await != "again" {
        before += 1;
    }
    assert!(before < BACKLOG, "the retry was due long before");
}

/// Runs a task on a worker whose renewals reveal no cancellation, disturbs the worker, cancels the task, and checks
/// that its handler is signalled.
async fn a_cancellation_arrives_during(fixture: Fixture, disturb: impl AsyncFnOnce(&Fixture, &StoreControl)) {
    let (client, control) = flaky(&fixture.client);
    let (reporter, mut received) = reports();
    let other_handler = Handler::new(|_: Other| async {});
    let _worker = start(
        builder(&client)
            .handler(stop_reporting_handler(reporter))
            .handler(other_handler),
    )
    .await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "began");
    disturb(&fixture, &control).await;
    fixture.cancel(&id).await;
    assert_eq!(received.next().await, "stopping");
    control.fail_claims(0);
    control.release_claims();
    let task = fixture.done(&id).await;
    assert_eq!(task.status(fixture.client.clock().now()), Status::Cancelled);
}

async fn a_cancellation_arrives_while_claims_fail(fixture: Fixture) {
    a_cancellation_arrives_during(fixture, async |fixture, control| {
        control.fail_claims(usize::MAX);
        let claimed = control.claim_calls();
        fixture.create(other("x")).await;
        until(|| control.claim_calls() > claimed).await;
    })
    .await;
}

async fn a_cancellation_arrives_while_a_claim_is_in_flight(fixture: Fixture) {
    a_cancellation_arrives_during(fixture, async |fixture, control| {
        control.hold_claims();
        let id = fixture.create(other("x")).await;
        fixture.until(&id, |task| task.state.lease.is_some()).await;
    })
    .await;
}

async fn a_failing_renewal_does_not_affect_other_leases(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let mut ids = Vec::new();
    for name in ["a", "b", "damaged", "c", "d"] {
        ids.push(fixture.create(work(name)).await);
    }
    control.damage(ids[2].clone());
    let handler = gated_handler(reporter, gate.clone()).config(HandlerConfig::DEFAULT.concurrency(5));
    let _worker = start(builder(&client).heartbeat(2 * HEARTBEAT).handler(handler)).await;
    let mut end = DateTime::<Utc>::MIN_UTC;
    for id in &ids {
        received.next().await;
        end = end.max(
            fixture
                .task(id)
                .await
                .state
                .lease
                .expect("the task is leased")
                .until,
        );
    }
    until(|| fixture.client.clock().now() > end).await;
    gate.open();
    for id in ids.iter().filter(|id| **id != ids[2]) {
        let task = fixture.done(id).await;
        assert_eq!((task.attempts(), task.errors().len()), (1, 0), "{id}");
    }
}

async fn a_group_with_a_failing_renewal_is_stopped_before_its_lease_expires(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    let mut ids = Vec::new();
    for name in ["a", "b", "damaged", "c"] {
        ids.push(fixture.create(work(name).key("k")).await);
    }
    control.damage(ids[2].clone());
    let (reporter, mut received) = reports();
    let handler = Handler::new(move |_: Vec<Work>| {
        let dropped = DroppedAt(reporter.clone());
        async move {
            let _dropped = dropped;
            std::future::pending::<()>().await;
        }
    });
    let builder = builder(&client).heartbeat(2 * HEARTBEAT).grace(Duration::ZERO);
    let _worker = start(builder.handler(handler)).await;
    let leased = fixture.until(&ids[2], |task| task.state.lease.is_some()).await;
    let end = leased.state.lease.expect("the task is leased").until;
    let dropped = received.next().await;
    assert!(dropped < end, "dropped at {dropped}, after {end}");
}

/// Checks a cancellation during a claim. On a runtime with one thread, the wake-up arrives before the handler's
/// future exists.
async fn a_cancellation_during_a_claim_is_signalled(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    let (reporter, mut received) = reports();
    control.hold_claims();
    let _worker = start(builder(&client).handler(stop_reporting_handler(reporter))).await;
    let id = fixture.create(work("a")).await;
    fixture.until(&id, |task| task.state.lease.is_some()).await;
    fixture.cancel(&id).await;
    control.release_claims();
    assert_eq!(received.next().await, "began");
    assert_eq!(received.next().await, "stopping");
    let task = fixture.done(&id).await;
    assert_eq!(task.status(fixture.client.clock().now()), Status::Cancelled);
}

#[tokio::test]
async fn a_cancellation_during_a_claim_is_signalled_on_memory() {
    a_cancellation_during_a_claim_is_signalled(Fixture::memory()).await;
}

#[tokio::test]
async fn a_cancellation_during_a_claim_is_signalled_on_sqlite() {
    a_cancellation_during_a_claim_is_signalled(Fixture::sqlite().await).await;
}
