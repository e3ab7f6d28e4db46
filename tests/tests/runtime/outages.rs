//! Outages of the store: no task is lost, and the worker continues after the outage.

use oncetask::{Handler, HandlerConfig, HandlerError, Status};
use tests::harness::wait::{until, within};
use tests::harness::{
    Fixture, Gate, Work, attempts, builder, gated_handler, name_reporting_handler, reports, start, work,
};
use tests::on_every_store;

use crate::flaky_store::flaky;

on_every_store!(
    failed_claims_are_repeated,
    failed_completions_are_repeated,
    a_failing_completion_does_not_affect_others,
    many_completions_survive_an_outage,
);

async fn failed_claims_are_repeated(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    control.fail_claims(3);
    let (reporter, mut received) = reports();
    let _worker = start(builder(&client).handler(name_reporting_handler(reporter))).await;
    fixture.create(work("a")).await;
    assert_eq!(received.next().await, "a");
    assert!(control.claim_calls() > 3);
}

async fn failed_completions_are_repeated(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    control.fail_finishes(3);
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    gate.open();
    let _worker = start(builder(&client).handler(gated_handler(reporter, gate))).await;
    let id = fixture.create(work("a")).await;
    let task = fixture.done(&id).await;
    assert_eq!((task.attempts(), task.errors().len()), (1, 0));
    assert_eq!(received.drain(), [("a".to_owned(), 1)]);
    assert_eq!(control.finish_calls(), 4);
}

async fn a_failing_completion_does_not_affect_others(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let handler = gated_handler(reporter, gate.clone()).config(HandlerConfig::DEFAULT.concurrency(64));
    let mut ids = Vec::new();
    for number in 0..64 {
        ids.push(fixture.create(work(format!("{number}"))).await);
    }
    control.damage(ids[7].clone());
    let _worker = start(builder(&client).handler(handler)).await;
    for _ in &ids {
        received.next().await;
    }
    gate.open();
    for id in ids.iter().filter(|id| **id != ids[7]) {
        assert_eq!(fixture.done(id).await.attempts(), 1);
    }
    let lost = fixture.task(&ids[7]).await;
    assert!(
        lost.state.lease.is_some(),
        "the task runs again when its lease expires"
    );
}

async fn many_completions_survive_an_outage(fixture: Fixture) {
    const TASKS: u32 = 500;
    let (client, control) = flaky(&fixture.client);
    control.fail_finishes(8);
    let handler = Handler::new(|task: Work| async move { Ok::<_, HandlerError>(task.name) });
    let _worker = start(builder(&client).handler(handler.config(attempts(1).concurrency(50)))).await;
    let tasks = (0..TASKS).map(|number| work(format!("{number}")));
    let created = fixture
        .client
        .create_many(tasks)
        .await
        .expect("the store answers");
    for enqueued in created {
        let enqueued = enqueued.expect("the task is valid");
        let task = fixture.done(enqueued.id()).await;
        assert_eq!(
            (task.status(fixture.client.clock().now()), task.attempts()),
            (Status::Completed, 1)
        );
    }
    within(until(|| control.failing_finishes() == 0)).await;
}
