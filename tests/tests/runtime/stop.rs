//! Reset and deletion of tasks that run.

use std::time::Duration;

use oncetask::{Change, Context, Handler, HandlerConfig, HandlerError, Status};

use crate::on_every_store;
use crate::world::{
    Dropped, Gate, Work, World, attempts, builder, gated, line, listening, start, within, work,
};

on_every_store!(
    what_runs_is_not_reset,
    what_has_ended_runs_again_from_the_beginning,
    a_deleted_tasks_handler_is_told_and_dropped,
    a_deleted_tasks_handler_of_another_process_too,
    what_a_deleted_tasks_handler_returns_is_dropped,
    deleted_in_backoff_it_never_comes_back,
    many_at_once_each_with_its_outcome,
);

async fn what_runs_is_not_reset(world: World) {
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let _worker = world.work(gated(say, gate.clone())).await;
    let id = world.create(work("a")).await;
    heard.next().await;
    assert_eq!(
        world.client.reset(&id).await.expect("the store answers"),
        Change::NotDone
    );
    gate.open();
    assert_eq!(world.done(&id).await.attempts(), 1);
}

async fn what_has_ended_runs_again_from_the_beginning(world: World) {
    let (say, mut heard) = line();
    let handler = Handler::new(move |job: oncetask::Attempt<Work>, cx: Context| {
        let say = say.clone();
        async move {
            say.say(job.attempt);
            cx.progress(0.5, "half");
            Err::<(), _>(HandlerError::from("no"))
        }
    });
    let _worker = world.work(handler.config(attempts(2))).await;
    let id = world.create(work("a")).await;
    world.done(&id).await;
    assert_eq!(heard.rest(), [1, 2]);
    assert_eq!(
        world.client.reset(&id).await.expect("the store answers"),
        Change::Applied
    );
    let task = world.done(&id).await;
    assert_eq!(heard.rest(), [1, 2]);
    assert_eq!((task.attempts(), task.errors().len()), (2, 2));
}

/// A handler that says that it was told and dropped, and does not go by itself.
fn staying(say: crate::world::Say<&'static str>) -> Handler {
    Handler::new(move |_: Work, cx: Context| {
        let say = say.clone();
        async move {
            let _dropped = Dropped(say.clone());
            say.say("began");
            cx.cancelled().await;
            say.say("told");
            std::future::pending::<()>().await;
        }
    })
    .config(HandlerConfig::DEFAULT.lease(Duration::from_secs(10)))
}

async fn a_deleted_tasks_handler_is_told_and_dropped(world: World) {
    let (say, mut heard) = line();
    // Its heartbeat is longer than the lease, so that no extension tells of it.
    let _worker = world.work(staying(say)).await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "began");
    assert_eq!(
        world.client.delete(&id).await.expect("the store answers"),
        Change::Applied
    );
    assert_eq!(heard.next().await, "told");
    assert_eq!(heard.next().await, "dropped");
    // Its slot is free again.
    world.create(work("b")).await;
    assert_eq!(heard.next().await, "began");
}

async fn a_deleted_tasks_handler_of_another_process_too(world: World) {
    let (say, mut heard) = line();
    let elsewhere = world.another().await;
    let _worker = start(builder(&elsewhere).handler(staying(say))).await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "began");
    world.client.delete(&id).await.expect("the store answers");
    while heard.next().await != "dropped" {}
    assert_eq!(world.client.get(&id).await.expect("the store answers"), None);
}

async fn what_a_deleted_tasks_handler_returns_is_dropped(world: World) {
    let (say, mut heard) = line();
    let _worker = world.work(listening(say)).await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "began");
    world.client.delete(&id).await.expect("the store answers");
    // The same id is free for another task, which runs on its own.
    let again = world.create(work("a")).await;
    while heard.next().await != "began" {}
    let task = world.task(&again).await;
    assert_eq!((task.attempts(), task.errors().len()), (1, 0));
    world.cancel(&again).await;
    let task = world.done(&again).await;
    assert_eq!(task.status(world.client.clock().now()), Status::Cancelled);
}

async fn deleted_in_backoff_it_never_comes_back(world: World) {
    let (say, mut heard) = line();
    let failing = Handler::new(move |task: Work| {
        let say = say.clone();
        async move {
            say.say(task.name);
            Err::<(), _>(HandlerError::retry_after(Duration::from_millis(2), "no"))
        }
    });
    let _worker = world.work(failing.config(attempts(9))).await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "a");
    world.client.delete(&id).await.expect("the store answers");
    heard.rest();
    let last = world.create(work("b")).await;
    world.done(&last).await;
    let rest = heard.rest();
    // An attempt that was claimed before the deletion may have begun; none was after it.
    assert!(rest.iter().filter(|name| *name == "a").count() <= 1, "{rest:?}");
}

async fn many_at_once_each_with_its_outcome(world: World) {
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let worker = world.work(gated(say, gate.clone())).await;
    let running = world.create(work("a")).await;
    heard.next().await;
    let waiting = world.create(work("b")).await;
    let ids = || {
        [
            running.clone(),
            waiting.clone(),
            "work:none".into(),
            waiting.clone(),
        ]
    };
    let reset = world.client.reset_many(ids()).await.expect("the store answers");
    assert_eq!(
        reset,
        [
            Change::NotDone,
            Change::NotDone,
            Change::NotFound,
            Change::NotDone
        ]
    );
    let deleted = world.client.delete_many(ids()).await.expect("the store answers");
    assert_eq!(deleted[..3], [Change::Applied, Change::Applied, Change::NotFound]);
    gate.open();
    within(worker.shutdown()).await;
    assert_eq!(
        world.client.get_many(&ids()).await.expect("the store answers"),
        [None, None, None, None]
    );
}
