//! Reset and deletion.

use chrono::Utc;

use oncetask::{Change, Handler, HandlerConfig, Retry, Status};
use tests::harness::claims::complete;
use tests::harness::{Fixture, Work, name_reporting_handler, reports, work};
use tests::on_every_store;

use super::{ELSEWHERE, minute_claim};

on_every_store! {
    a_reset_task_runs_again,
    a_reset_failed_task_has_no_errors,
    a_task_that_is_not_done_is_not_reset,
    a_task_of_another_environment_is_not_reset,
    delete_many_ignores_unknown_ids,
    a_task_of_another_environment_is_not_deleted,
    a_deleted_task_does_not_affect_the_completion_of_its_group,
}

async fn a_reset_task_runs_again(fixture: Fixture) {
    let (reporter, mut received) = reports();
    fixture.create(work("a")).await;
    let _worker = fixture.work(name_reporting_handler(reporter)).await;
    fixture.done("work:a").await;
    assert_eq!(received.next().await, "a");

    let change = fixture.client.reset("work:a").await.expect("the store answers");
    assert_eq!(change, Change::Applied);
    assert_eq!(received.next().await, "a");
    let task = fixture.done("work:a").await;
    assert_eq!((task.attempts(), task.errors().len()), (1, 0));
}

async fn a_reset_failed_task_has_no_errors(fixture: Fixture) {
    let config = HandlerConfig::DEFAULT.retry(Retry::never());
    let broken = Handler::new(|_: Work| async { Err::<(), _>("broken") }).config(config);
    fixture.create(work("a")).await;
    let worker = fixture.work(broken).await;
    assert_eq!(fixture.done("work:a").await.errors().len(), 1);
    worker.shutdown().await;

    fixture.client.reset("work:a").await.expect("the store answers");
    let task = fixture.task("work:a").await;
    assert_eq!((task.attempts(), task.errors().len()), (0, 0));
    assert_eq!((task.state.done, task.state.result), (None, None));
    let (reporter, _received) = reports();
    let _worker = fixture.work(name_reporting_handler(reporter)).await;
    assert_eq!(fixture.done("work:a").await.status(Utc::now()), Status::Completed);
}

async fn a_task_that_is_not_done_is_not_reset(fixture: Fixture) {
    fixture.create(work("a")).await;
    let ids = ["work:a", "work:missing"];
    let changes = fixture.client.reset_many(ids).await.expect("the store answers");
    assert_eq!(changes, [Change::NotDone, Change::NotFound]);
}

async fn a_task_of_another_environment_is_not_reset(fixture: Fixture) {
    let (reporter, _received) = reports();
    fixture.create(work("a")).await;
    let worker = fixture.work(name_reporting_handler(reporter)).await;
    let done = fixture.done("work:a").await;
    worker.shutdown().await;
    let elsewhere = fixture.client_in(ELSEWHERE).await;
    let change = elsewhere.reset("work:a").await.expect("the store answers");
    assert_eq!(change, Change::OtherEnvironment);
    assert_eq!(fixture.task("work:a").await, done);
}

async fn delete_many_ignores_unknown_ids(fixture: Fixture) {
    fixture.create_many(["a", "b", "c"].map(work)).await;
    let ids = ["work:a", "work:missing", "work:b"];
    let changes = fixture.client.delete_many(ids).await.expect("the store answers");
    assert_eq!(changes, [Change::Applied, Change::NotFound, Change::Applied]);
    let found = fixture.client.get_many(ids).await.expect("the store answers");
    assert_eq!(found, [None, None, None]);
    fixture.task("work:c").await;
}

async fn a_task_of_another_environment_is_not_deleted(fixture: Fixture) {
    fixture.create(work("a")).await;
    let elsewhere = fixture.client_in(ELSEWHERE).await;
    let change = elsewhere.delete("work:a").await.expect("the store answers");
    assert_eq!(change, Change::OtherEnvironment);
    fixture.task("work:a").await;
}

/// In the Go library the deletion fails the whole group, which is then repeated.
async fn a_deleted_task_does_not_affect_the_completion_of_its_group(fixture: Fixture) {
    fixture
        .create_many(["a", "b", "c"].map(|name| work(name).key("k")))
        .await;
    let claim = fixture.claim_at(minute_claim().max_group(100), Utc::now()).await;
    let group = claim.tasks;
    assert_eq!(group.len(), 3);
    fixture.client.delete("work:b").await.expect("the store answers");
    let finishes = group.iter().map(complete).collect();
    let finished = fixture
        .client
        .store()
        .finish(finishes, Utc::now())
        .await
        .expect("the store answers");
    for (claimed, finished) in group.iter().zip(finished) {
        assert_eq!(finished.is_ok(), claimed.task.id().as_str() != "work:b");
    }
    assert!(fixture.task("work:a").await.is_done());
    assert!(fixture.task("work:c").await.is_done());
}
