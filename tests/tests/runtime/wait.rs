//! `Client::wait`: waiting for the end of a task.

use std::time::Duration;

use oncetask::{Change, Client, Ending, Error, Handler, HandlerError};
use tests::harness::wait::within;
use tests::harness::{Fixture, Gate, Work, attempts, gated_handler, reports, work};
use tests::on_every_store;

on_every_store!(
    a_wait_ends_with_the_task,
    a_wait_in_another_process_ends,
    a_wait_for_a_done_task_returns_at_once,
    a_dropped_wait_can_be_repeated,
    a_failed_task_returns_its_errors,
    a_wait_for_an_unknown_id_fails,
    a_deletion_ends_the_wait,
    a_cancellation_ends_the_wait,
    many_waits_for_one_task_all_end,
);

/// Spawns a wait for the task.
fn spawn_wait(
    client: &Client,
    id: &oncetask::TaskId,
) -> tokio::task::JoinHandle<Result<oncetask::Task, Error>> {
    let (client, id) = (client.clone(), id.clone());
    tokio::spawn(async move { client.wait(&id).await })
}

/// Returns the result of a spawned wait.
async fn joined(
    waiting: tokio::task::JoinHandle<Result<oncetask::Task, Error>>,
) -> Result<oncetask::Task, Error> {
    within(waiting).await.expect("the wait does not panic")
}

async fn a_wait_ends_with_the_task(fixture: Fixture) {
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let _worker = fixture.work(gated_handler(reporter, gate.clone())).await;
    let id = fixture.create(work("a")).await;
    let waiting = spawn_wait(&fixture.client, &id);
    received.next().await;
    assert!(!waiting.is_finished());
    gate.open();
    let task = joined(waiting).await.expect("the task completes");
    assert_eq!(task.result::<String>().expect("text").as_deref(), Some("a"));
}

async fn a_wait_in_another_process_ends(fixture: Fixture) {
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let _worker = fixture.work(gated_handler(reporter, gate.clone())).await;
    let id = fixture.create(work("a")).await;
    let waiting = spawn_wait(&fixture.second_client().await, &id);
    received.next().await;
    gate.open();
    joined(waiting).await.expect("the task completes");
}

async fn a_wait_for_a_done_task_returns_at_once(fixture: Fixture) {
    let ((reporter, _received), gate) = (reports(), Gate::closed());
    gate.open();
    let _worker = fixture.work(gated_handler(reporter, gate)).await;
    let id = fixture.create(work("a")).await;
    fixture.done(&id).await;
    joined(spawn_wait(&fixture.second_client().await, &id))
        .await
        .expect("the task has completed");
}

async fn a_dropped_wait_can_be_repeated(fixture: Fixture) {
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let _worker = fixture.work(gated_handler(reporter, gate.clone())).await;
    let id = fixture.create(work("a")).await;
    received.next().await;
    for _ in 0..3 {
        let wait = tokio::time::timeout(Duration::from_millis(5), fixture.client.wait(&id)).await;
        assert!(wait.is_err(), "the task has not ended");
    }
    gate.open();
    within(fixture.client.wait(&id))
        .await
        .expect("the task completes");
}

async fn a_failed_task_returns_its_errors(fixture: Fixture) {
    let handler = Handler::new(|_: Work| async { Err::<(), _>("the bank is closed") });
    let _worker = fixture.work(handler.config(attempts(2))).await;
    let id = fixture.create(work("a")).await;
    let error = joined(spawn_wait(&fixture.client, &id))
        .await
        .expect_err("the task fails");
    let text = error.to_string();
    assert!(
        text.contains("work:a") && text.contains("the bank is closed"),
        "{text}"
    );
    let Error::Unsuccessful { how, errors, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((how, errors.len()), (Ending::Failed, 2));
}

async fn a_wait_for_an_unknown_id_fails(fixture: Fixture) {
    let error = joined(spawn_wait(&fixture.client, &"work:none".into()))
        .await
        .expect_err("the task does not exist");
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

async fn a_deletion_ends_the_wait(fixture: Fixture) {
    let id = fixture.create(work("a")).await;
    let waits = [
        spawn_wait(&fixture.client, &id),
        spawn_wait(&fixture.second_client().await, &id),
    ];
    assert_eq!(
        fixture.client.delete(&id).await.expect("the store answers"),
        Change::Applied
    );
    for waiting in waits {
        let error = joined(waiting).await.expect_err("the task is deleted");
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
}

async fn a_cancellation_ends_the_wait(fixture: Fixture) {
    let handler = Handler::new(|_: Work| async { Err::<(), _>(HandlerError::cancel("no more")) });
    let _worker = fixture.work(handler).await;
    let id = fixture.create(work("a")).await;
    let error = joined(spawn_wait(&fixture.client, &id))
        .await
        .expect_err("the task is cancelled");
    let Error::Unsuccessful { how, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(how, Ending::Cancelled);
}

async fn many_waits_for_one_task_all_end(fixture: Fixture) {
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let _worker = fixture.work(gated_handler(reporter, gate.clone())).await;
    let id = fixture.create(work("a")).await;
    let waits: Vec<_> = (0..50).map(|_| spawn_wait(&fixture.client, &id)).collect();
    received.next().await;
    gate.open();
    for waiting in waits {
        joined(waiting).await.expect("the task completes");
    }
}
