use std::time::Duration;

use chrono::{TimeDelta, Utc};
use oncetask::{Attempt, Handler, HandlerConfig, HandlerError, Retry, Status, Task};

use super::on_every_store;
use super::world::{Note, World, note};

on_every_store! {
    never_is_one_attempt_and_one_error,
    fixed_is_as_many_attempts_as_allowed,
    exponential_succeeds_in_the_third_attempt,
    the_delay_is_kept,
    a_policy_of_ones_own_stops_after_the_first,
    a_policy_of_ones_own_allows_exactly_four,
}

/// What becomes of a task whose attempts fail up to this one.
async fn failing(world: &World, failures: u32, retry: Retry) -> Task {
    let handler = Handler::new(move |job: Attempt<Note>| async move {
        if job.attempt <= failures {
            return Err(format!("attempt {} failed", job.attempt));
        }
        Ok(())
    });
    world.create([note("a")]).await;
    let config = HandlerConfig::DEFAULT.retry(retry);
    let _worker = world.work(handler.config(config)).await;
    world.done("note:a").await
}

/// The status, the attempts and the errors.
fn outcome(task: &Task) -> (Status, u32, usize) {
    (task.status(Utc::now()), task.attempts(), task.errors().len())
}

async fn never_is_one_attempt_and_one_error(world: World) {
    let task = failing(&world, u32::MAX, Retry::never()).await;
    assert_eq!(outcome(&task), (Status::Failed, 1, 1));
    assert_eq!(task.errors()[0].error, "attempt 1 failed");
}

async fn fixed_is_as_many_attempts_as_allowed(world: World) {
    let retry = Retry::fixed(Duration::from_millis(1)).max_attempts(3);
    let task = failing(&world, u32::MAX, retry).await;
    assert_eq!(outcome(&task), (Status::Failed, 3, 3));
    let attempts: Vec<_> = task.errors().iter().map(|error| error.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
}

async fn exponential_succeeds_in_the_third_attempt(world: World) {
    let retry = Retry::exponential().base(Duration::from_millis(1));
    let task = failing(&world, 2, retry).await;
    assert_eq!(outcome(&task), (Status::Completed, 3, 2));
}

async fn the_delay_is_kept(world: World) {
    let retry = Retry::exponential().base(Duration::from_millis(200));
    let task = failing(&world, 2, retry).await;
    assert_eq!(task.errors().len(), 2, "{:?}", task.errors());
    // From before the first attempt: an error is stored a little later than its delay begins.
    let done = task.state.done.expect("it is done").at;
    assert!(done - task.spec.created_at >= TimeDelta::milliseconds(200 + 400));
}

async fn a_policy_of_ones_own_stops_after_the_first(world: World) {
    fn unless_failed(_: u32, error: &HandlerError) -> Option<Duration> {
        (!error.to_string().contains("failed")).then_some(Duration::ZERO)
    }
    let task = failing(&world, u32::MAX, Retry::custom(unless_failed)).await;
    assert_eq!(outcome(&task), (Status::Failed, 1, 1));
}

async fn a_policy_of_ones_own_allows_exactly_four(world: World) {
    fn four(attempt: u32, _: &HandlerError) -> Option<Duration> {
        (attempt < 4).then_some(Duration::ZERO)
    }
    let task = failing(&world, u32::MAX, Retry::custom(four)).await;
    assert_eq!(outcome(&task), (Status::Failed, 4, 4));
}
