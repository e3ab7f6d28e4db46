//! Orphaned attempts: their worker crashed, and their leases expired without a report.

use std::time::Duration;

use oncetask::{Attempt, Handler, HandlerConfig, OnceTask as _, Retry, Status};
use tests::harness::wait::until;
use tests::harness::{Fixture, Reporter, Work, attempts, reports, work};
use tests::on_every_store;

on_every_store!(
    a_crash_counts_as_an_attempt,
    crashes_use_up_the_attempts,
    a_crash_without_retries_fails_the_task,
    a_crashed_task_with_a_panicking_policy_fails,
);

const SHORT: Duration = Duration::from_millis(100);

fn counting(reporter: Reporter<u32>) -> Handler {
    Handler::new(move |attempt: Attempt<Work>| {
        let reporter = reporter.clone();
        async move { reporter.report(attempt.attempt) }
    })
}

/// Creates a task and orphans this number of attempts. Returns when the last lease has expired.
async fn crash(fixture: &Fixture, times: usize) -> oncetask::TaskId {
    let id = fixture.create(work("a")).await;
    for _ in 0..times {
        fixture.claim_and_crash(Work::KIND, SHORT).await;
        let now = || fixture.client.clock().now();
        let due = fixture.task(&id).await.state.due().expect("the task is not done");
        until(|| now() >= due).await;
    }
    id
}

async fn a_crash_counts_as_an_attempt(fixture: Fixture) {
    let id = crash(&fixture, 1).await;
    let (reporter, mut received) = reports();
    let _worker = fixture.work(counting(reporter).config(attempts(2))).await;
    let task = fixture.done(&id).await;
    assert_eq!(task.status(fixture.client.clock().now()), Status::Completed);
    assert_eq!(received.drain(), [2]);
    let [error] = task.errors() else {
        panic!("one error: {:?}", task.errors())
    };
    assert_eq!((error.attempt, error.cleanup), (1, false));
    assert!(
        error.error.contains("lease expired") && error.error.contains("crashed:1"),
        "{error:?}"
    );
}

async fn crashes_use_up_the_attempts(fixture: Fixture) {
    let id = crash(&fixture, 3).await;
    let (reporter, mut received) = reports();
    let _worker = fixture.work(counting(reporter).config(attempts(3))).await;
    let task = fixture.done(&id).await;
    assert_eq!(task.status(fixture.client.clock().now()), Status::Failed);
    assert_eq!(received.drain(), [0; 0]);
    assert_eq!(task.attempts(), 3);
    let numbers: Vec<_> = task.errors().iter().map(|error| error.attempt).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(
        task.errors()
            .iter()
            .all(|error| error.error.contains("lease expired"))
    );
}

async fn a_crash_without_retries_fails_the_task(fixture: Fixture) {
    let id = crash(&fixture, 1).await;
    let (reporter, mut received) = reports();
    let never = HandlerConfig::DEFAULT.retry(Retry::never());
    let _worker = fixture.work(counting(reporter).config(never)).await;
    assert_eq!(
        fixture.done(&id).await.status(fixture.client.clock().now()),
        Status::Failed
    );
    assert_eq!(received.drain(), [0; 0]);
}

async fn a_crashed_task_with_a_panicking_policy_fails(fixture: Fixture) {
    fn panics(_: u32, _: &oncetask::HandlerError) -> Option<Duration> {
        panic!("no policy")
    }
    let id = crash(&fixture, 1).await;
    let (reporter, mut received) = reports();
    let config = HandlerConfig::DEFAULT.retry(Retry::custom(panics));
    let _worker = fixture.work(counting(reporter).config(config)).await;
    assert_eq!(
        fixture.done(&id).await.status(fixture.client.clock().now()),
        Status::Failed
    );
    assert_eq!(received.drain(), [0; 0]);
}
