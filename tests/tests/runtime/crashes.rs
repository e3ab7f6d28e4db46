//! Attempts that ended without a word.

use std::time::Duration;

use oncetask::{Attempt, Handler, HandlerConfig, OnceTask as _, Retry, Status};

use crate::on_every_store;
use crate::world::{Work, World, attempts, line, work};

on_every_store!(
    a_crash_counts_and_the_next_attempt_completes,
    out_of_attempts_the_handler_never_runs_again,
    where_a_crash_is_the_end_the_task_fails,
    a_policy_that_panics_ends_a_task_that_crashes,
);

const SHORT: Duration = Duration::from_millis(100);

fn counting(say: crate::world::Say<u32>) -> Handler {
    Handler::new(move |job: Attempt<Work>| {
        let say = say.clone();
        async move { say.say(job.attempt) }
    })
}

/// Claims a task again and again as a worker that dies, each time when the lease before has ended.
async fn crash(world: &World, times: usize) -> oncetask::TaskId {
    let id = world.create(work("a")).await;
    for _ in 0..times {
        world.claim_and_die(Work::KIND, SHORT).await;
        let now = || world.client.clock().now();
        let due = world.task(&id).await.state.due().expect("it is not done");
        crate::world::until(|| now() >= due).await;
    }
    id
}

async fn a_crash_counts_and_the_next_attempt_completes(world: World) {
    let id = crash(&world, 1).await;
    let (say, mut heard) = line();
    let _worker = world.work(counting(say).config(attempts(2))).await;
    let task = world.done(&id).await;
    assert_eq!(task.status(world.client.clock().now()), Status::Completed);
    assert_eq!(heard.rest(), [2]);
    let [error] = task.errors() else {
        panic!("one error: {:?}", task.errors())
    };
    assert_eq!((error.attempt, error.cleanup), (1, false));
    assert!(
        error.error.contains("without a word") && error.error.contains("dead:1"),
        "{error:?}"
    );
}

async fn out_of_attempts_the_handler_never_runs_again(world: World) {
    let id = crash(&world, 3).await;
    let (say, mut heard) = line();
    let _worker = world.work(counting(say).config(attempts(3))).await;
    let task = world.done(&id).await;
    assert_eq!(task.status(world.client.clock().now()), Status::Failed);
    assert_eq!(heard.rest(), [0; 0]);
    assert_eq!(task.attempts(), 3);
    let numbers: Vec<_> = task.errors().iter().map(|error| error.attempt).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(
        task.errors()
            .iter()
            .all(|error| error.error.contains("without a word"))
    );
}

async fn where_a_crash_is_the_end_the_task_fails(world: World) {
    let id = crash(&world, 1).await;
    let (say, mut heard) = line();
    let never = HandlerConfig::DEFAULT.retry(Retry::never());
    let _worker = world.work(counting(say).config(never)).await;
    assert_eq!(
        world.done(&id).await.status(world.client.clock().now()),
        Status::Failed
    );
    assert_eq!(heard.rest(), [0; 0]);
}

async fn a_policy_that_panics_ends_a_task_that_crashes(world: World) {
    fn panics(_: u32, _: &oncetask::HandlerError) -> Option<Duration> {
        panic!("no policy")
    }
    let id = crash(&world, 1).await;
    let (say, mut heard) = line();
    let config = HandlerConfig::DEFAULT.retry(Retry::custom(panics));
    let _worker = world.work(counting(say).config(config)).await;
    assert_eq!(
        world.done(&id).await.status(world.client.clock().now()),
        Status::Failed
    );
    assert_eq!(heard.rest(), [0; 0]);
}
