//! Creating tasks.

use oncetask::store::Filter;
use oncetask::{Error, HandlerError, Status};
use serde::{Deserialize, Serialize};
use tests::harness::{Fixture, Work, name_reporting_handler, reports, work};
use tests::on_every_store;

use super::ELSEWHERE;

on_every_store! {
    a_created_task_runs_once_and_completes_without_errors,
    the_second_create_of_an_id_returns_the_existing_task,
    an_id_of_another_kind_is_an_error,
    create_many_reports_which_ids_are_new,
    create_many_creates_a_repeated_id_once,
    an_invalid_task_in_create_many_does_not_fail_the_others,
    create_many_of_nothing_returns_nothing,
    a_too_large_payload_is_refused_with_the_limit,
    a_too_large_result_fails_the_attempt_with_the_limit,
}

async fn a_created_task_runs_once_and_completes_without_errors(fixture: Fixture) {
    let (reporter, mut received) = reports();
    fixture.create(work("a")).await;
    let worker = fixture.work(name_reporting_handler(reporter)).await;
    let task = fixture.done("work:a").await;
    assert_eq!(task.status(chrono::Utc::now()), Status::Completed);
    assert_eq!((task.attempts(), task.errors().len()), (1, 0));
    worker.shutdown().await;
    assert_eq!(received.drain(), ["a"]);
}

async fn the_second_create_of_an_id_returns_the_existing_task(fixture: Fixture) {
    let first = fixture
        .client
        .create(work("a").text("first"))
        .await
        .expect("the task can be stored");
    assert!(first.is_new);
    let second = fixture
        .client
        .create(work("a").text("second"))
        .await
        .expect("the store answers");
    assert!(!second.is_new);
    assert_eq!(second.task, first.task, "the existing task is returned");
    let payload: Work = fixture.task("work:a").await.payload().expect("readable");
    assert_eq!(payload.text, "first");
    assert_eq!(fixture.client.store().env(), "TEST");
    let elsewhere = fixture.client_in(ELSEWHERE).await;
    assert_eq!(elsewhere.get("work:a").await.expect("the store answers"), None);
}

#[derive(Debug, Serialize, Deserialize, oncetask::OnceTask)]
#[id("work:{number}")]
struct OtherKind {
    number: u32,
}

async fn an_id_of_another_kind_is_an_error(fixture: Fixture) {
    fixture.create(work("7")).await;
    let refused = fixture.client.create(OtherKind { number: 7 }).await;
    let Err(Error::KindMismatch { id, kind, stored, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (id.as_str(), &kind[..], &stored[..]),
        ("work:7", "OtherKind", "Work")
    );
}

async fn create_many_reports_which_ids_are_new(fixture: Fixture) {
    fixture.create(work("b").text("first")).await;
    assert_eq!(are_new(&fixture, ["a", "b", "c"]).await, [true, false, true]);
    let payload: Work = fixture.task("work:b").await.payload().expect("readable");
    assert_eq!(payload.text, "first");
}

/// The Go library fails if an id is given twice.
async fn create_many_creates_a_repeated_id_once(fixture: Fixture) {
    assert_eq!(are_new(&fixture, ["a", "b", "a"]).await, [true, true, false]);
}

/// Creates tasks in one call. Returns whether each is new.
async fn are_new(fixture: &Fixture, names: [&str; 3]) -> Vec<bool> {
    let created = fixture
        .client
        .create_many(names.map(work))
        .await
        .expect("the store answers");
    created
        .into_iter()
        .map(|enqueued| enqueued.expect("the task can be stored").is_new)
        .collect()
}

/// In the Go library an invalid task fails its batch of twenty.
async fn an_invalid_task_in_create_many_does_not_fail_the_others(fixture: Fixture) {
    let names = ["a".to_owned(), "x".repeat(2000), "b".to_owned()];
    let created = fixture
        .client
        .create_many(names.map(work))
        .await
        .expect("the store answers");
    let [Ok(_), Err(Error::InvalidId { reason, .. }), Ok(_)] = &created[..] else {
        panic!("{created:?}")
    };
    assert!(
        reason.contains("2005 bytes") && reason.contains("1500"),
        "{reason}"
    );
    assert_eq!(
        fixture
            .client
            .count(Filter::new())
            .await
            .expect("the store answers"),
        2
    );
}

async fn create_many_of_nothing_returns_nothing(fixture: Fixture) {
    let created = fixture
        .client
        .create_many(Vec::<Work>::new())
        .await
        .expect("the store answers");
    assert!(created.is_empty());
}

const MIB: usize = 1024 * 1024;

async fn a_too_large_payload_is_refused_with_the_limit(fixture: Fixture) {
    let refused = fixture.client.create(work("a").text("x".repeat(MIB))).await;
    let Err(Error::InvalidTask { id, reason, .. }) = refused else {
        panic!("the task is refused")
    };
    assert_eq!(id.as_str(), "work:a");
    assert!(reason.contains(&MIB.to_string()), "it names the limit: {reason}");
    assert_eq!(
        fixture.client.get("work:a").await.expect("the store answers"),
        None
    );
}

/// The Go library repeats the task without end.
async fn a_too_large_result_fails_the_attempt_with_the_limit(fixture: Fixture) {
    let handler = oncetask::Handler::new(|_: Work| async { Ok::<_, HandlerError>("x".repeat(MIB)) })
        .config(oncetask::HandlerConfig::DEFAULT.retry(oncetask::Retry::never()));
    fixture.create(work("a")).await;
    let _worker = fixture.work(handler).await;
    let task = fixture.done("work:a").await;
    assert_eq!(task.status(chrono::Utc::now()), Status::Failed);
    let error = &task.errors()[0].error;
    assert!(error.contains(&MIB.to_string()), "it names the limit: {error}");
}
