//! Retry policies.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use oncetask::{Attempt, Handler, HandlerConfig, HandlerError, Retry, Status, Task};
use tests::harness::{Fixture, Work, work};
use tests::on_every_store;

on_every_store! {
    never_allows_one_attempt,
    fixed_allows_its_maximum_of_attempts,
    exponential_retries_until_success,
    a_retry_waits_for_the_backoff,
    a_custom_policy_may_stop_after_the_first_attempt,
    a_custom_policy_may_allow_four_attempts,
}

/// Runs a task whose first attempts fail, up to this number, and returns it when it is done.
async fn run_failing(fixture: &Fixture, failures: u32, retry: Retry) -> Task {
    let handler = Handler::new(move |attempt: Attempt<Work>| async move {
        if attempt.attempt <= failures {
            return Err(format!("attempt {} failed", attempt.attempt));
        }
        Ok(())
    });
    fixture.create(work("a")).await;
    let config = HandlerConfig::DEFAULT.retry(retry);
    let _worker = fixture.work(handler.config(config)).await;
    fixture.done("work:a").await
}

/// Returns the status, the number of attempts and the number of errors.
fn outcome(task: &Task) -> (Status, u32, usize) {
    (task.status(Utc::now()), task.attempts(), task.errors().len())
}

async fn never_allows_one_attempt(fixture: Fixture) {
    let task = run_failing(&fixture, u32::MAX, Retry::never()).await;
    assert_eq!(outcome(&task), (Status::Failed, 1, 1));
    assert_eq!(task.errors()[0].error, "attempt 1 failed");
}

async fn fixed_allows_its_maximum_of_attempts(fixture: Fixture) {
    let retry = Retry::fixed(Duration::from_millis(1)).max_attempts(3);
    let task = run_failing(&fixture, u32::MAX, retry).await;
    assert_eq!(outcome(&task), (Status::Failed, 3, 3));
    let attempts: Vec<_> = task.errors().iter().map(|error| error.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
}

async fn exponential_retries_until_success(fixture: Fixture) {
    let retry = Retry::exponential().base(Duration::from_millis(1));
    let task = run_failing(&fixture, 2, retry).await;
    assert_eq!(outcome(&task), (Status::Completed, 3, 2));
}

async fn a_retry_waits_for_the_backoff(fixture: Fixture) {
    let retry = Retry::exponential().base(Duration::from_millis(200));
    let task = run_failing(&fixture, 2, retry).await;
    assert_eq!(task.errors().len(), 2, "{:?}", task.errors());
    // Measured from the creation, because an error is stored slightly later than its backoff begins.
    let done = task.state.done.expect("the task is done").at;
    assert!(done - task.spec.created_at >= TimeDelta::milliseconds(200 + 400));
}

async fn a_custom_policy_may_stop_after_the_first_attempt(fixture: Fixture) {
    fn unless_failed(_: u32, error: &HandlerError) -> Option<Duration> {
        (!error.to_string().contains("failed")).then_some(Duration::ZERO)
    }
    let task = run_failing(&fixture, u32::MAX, Retry::custom(unless_failed)).await;
    assert_eq!(outcome(&task), (Status::Failed, 1, 1));
}

async fn a_custom_policy_may_allow_four_attempts(fixture: Fixture) {
    fn four(attempt: u32, _: &HandlerError) -> Option<Duration> {
        (attempt < 4).then_some(Duration::ZERO)
    }
    let task = run_failing(&fixture, u32::MAX, Retry::custom(four)).await;
    assert_eq!(outcome(&task), (Status::Failed, 4, 4));
}
