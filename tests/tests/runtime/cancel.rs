//! Cancellation of a type without a cleanup handler, at every step of a task's life.

use std::time::Duration;

use oncetask::{Attempt, Change, Client, Handler, HandlerConfig, HandlerError, Status};

use crate::on_every_store;
use crate::world::{
    Gate, Work, World, attempts, builder, gated, line, listening, naming, quick, start, within, work,
};

on_every_store!(
    before_the_claim_the_handler_never_runs,
    a_running_handler_is_told,
    a_handler_may_go_on_and_its_result_is_kept,
    a_handler_of_another_process_is_told,
    in_backoff_the_next_attempt_never_comes,
    after_completion_nothing_changes,
    twice_is_once,
    a_task_of_a_dead_worker_ends_with_its_lease,
    while_its_completion_is_on_its_way_it_wins,
    a_handler_can_cancel_its_own_task,
    all_of_a_key_at_once,
    a_backlog_does_not_keep_the_news_waiting,
);

async fn before_the_claim_the_handler_never_runs(world: World) {
    let id = world.create(work("a")).await;
    assert_eq!(world.cancel(&id).await, Change::Applied);
    let (say, mut heard) = line();
    let _worker = world.work(naming(say)).await;
    assert_eq!(
        world.done(&id).await.status(world.client.clock().now()),
        Status::Cancelled
    );
    // What is created later runs after it.
    world.done(&world.create(work("b")).await).await;
    assert_eq!(heard.rest(), ["b"]);
}

async fn a_running_handler_is_told(world: World) {
    let (say, mut heard) = line();
    let _worker = world.work(listening(say)).await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "began");
    assert_eq!(world.cancel(&id).await, Change::Applied);
    assert_eq!(heard.next().await, "told");
    let task = world.done(&id).await;
    assert_eq!(task.status(world.client.clock().now()), Status::Cancelled);
    assert_eq!(task.errors()[0].error, "stopped");
    assert_eq!(heard.rest(), [""; 0], "it is not tried again");
}

async fn a_handler_may_go_on_and_its_result_is_kept(world: World) {
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let _worker = world.work(gated(say, gate.clone())).await;
    let id = world.create(work("a")).await;
    heard.next().await;
    world.cancel(&id).await;
    let now = world.client.clock().now();
    assert_eq!(world.task(&id).await.status(now), Status::CancellationPending);
    gate.open();
    let task = world.done(&id).await;
    assert_eq!(task.status(now), Status::Cancelled);
    assert_eq!(task.result::<String>().expect("text").as_deref(), Some("a"));
}

async fn a_handler_of_another_process_is_told(world: World) {
    let (say, mut heard) = line();
    let elsewhere = world.another().await;
    let _worker = start(builder(&elsewhere).handler(listening(say))).await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "began");
    world.cancel(&id).await;
    assert_eq!(heard.next().await, "told");
    assert_eq!(
        world.done(&id).await.status(world.client.clock().now()),
        Status::Cancelled
    );
}

async fn in_backoff_the_next_attempt_never_comes(world: World) {
    let (say, mut heard) = line();
    let handler = Handler::new(move |job: Attempt<Work>| {
        let say = say.clone();
        async move {
            say.say(job.attempt);
            Err::<(), _>("not yet")
        }
    });
    let patient = oncetask::Retry::fixed(Duration::from_hours(1));
    let _worker = world
        .work(handler.config(HandlerConfig::DEFAULT.retry(patient)))
        .await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, 1);
    world.until(&id, |task| task.state.lease.is_none()).await;
    assert_eq!(world.cancel(&id).await, Change::Applied);
    let task = world.done(&id).await;
    assert_eq!((task.attempts(), task.errors().len()), (1, 1));
    assert_eq!(task.status(world.client.clock().now()), Status::Cancelled);
    assert_eq!(heard.rest(), [0; 0]);
}

async fn after_completion_nothing_changes(world: World) {
    let (say, _heard) = line();
    let _worker = world.work(naming(say)).await;
    let id = world.create(work("a")).await;
    let completed = world.done(&id).await;
    assert_eq!(world.cancel(&id).await, Change::AlreadyDone);
    assert_eq!(world.task(&id).await, completed);
}

async fn twice_is_once(world: World) {
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let _worker = world.work(gated(say, gate.clone())).await;
    let id = world.create(work("a")).await;
    heard.next().await;
    let outcomes = world
        .client
        .cancel_many([id.clone(), id.clone(), "work:b".into()])
        .await;
    let outcomes = outcomes.expect("the store answers");
    assert_eq!(
        outcomes,
        [Change::Applied, Change::AlreadyCancelled, Change::NotFound]
    );
    assert_eq!(world.cancel(&id).await, Change::AlreadyCancelled);
    gate.open();
    world.done(&id).await;
    assert_eq!(world.cancel(&id).await, Change::AlreadyCancelled);
}

async fn a_task_of_a_dead_worker_ends_with_its_lease(world: World) {
    let id = world.create(work("a")).await;
    world.claim_and_die(&kind(), Duration::from_millis(300)).await;
    assert_eq!(world.cancel(&id).await, Change::Applied);
    let (say, mut heard) = line();
    let _worker = world.work(naming(say)).await;
    let task = world.done(&id).await;
    assert_eq!(task.status(world.client.clock().now()), Status::Cancelled);
    assert!(
        task.errors()[0].error.contains("without a word"),
        "{:?}",
        task.errors()
    );
    assert_eq!(heard.rest(), [""; 0]);
}

/// The handler has returned, the store has not heard of it, and the cancellation is accepted.
async fn while_its_completion_is_on_its_way_it_wins(world: World) {
    let (client, knobs) = crate::flaky::flaky(&world.client);
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let _worker = start(builder(&client).handler(gated(say, gate.clone()))).await;
    let id = world.create(work("a")).await;
    heard.next().await;
    knobs
        .finishes
        .store(usize::MAX, std::sync::atomic::Ordering::SeqCst);
    gate.open();
    crate::world::until(|| knobs.finished.load(std::sync::atomic::Ordering::SeqCst) > 0).await;
    assert_eq!(world.cancel(&id).await, Change::Applied);
    knobs.finishes.store(0, std::sync::atomic::Ordering::SeqCst);
    let task = world.done(&id).await;
    assert_eq!(task.status(world.client.clock().now()), Status::Cancelled);
    assert!(task.state.result.is_some(), "what the handler returned is kept");
}

async fn a_handler_can_cancel_its_own_task(world: World) {
    let handler = Handler::new(|_: Work| async { Err::<(), _>(HandlerError::cancel("the user left")) });
    let _worker = world.work(handler.config(attempts(3))).await;
    let task = world.done(&world.create(work("a")).await).await;
    assert_eq!(task.status(world.client.clock().now()), Status::Cancelled);
    assert_eq!(task.errors()[0].error, "the user left");
    assert_eq!(task.attempts(), 1);
}

async fn all_of_a_key_at_once(world: World) {
    let first = world.create(work("a").key("k")).await;
    let second = world.create(work("b").key("k")).await;
    let others = world.create(work("c").key("other")).await;
    let cancel = |client: Client| async move { client.cancel_by_resource_key(&kind(), "k").await };
    let mut cancelled = cancel(world.client.clone()).await.expect("the store answers");
    cancelled.sort();
    assert_eq!(cancelled, [first, second]);
    assert_eq!(cancel(world.client.clone()).await.expect("the store answers"), []);
    assert_eq!(world.task(&others).await.state.cancelled_at, None);
}

/// While a worker claims one task after the other, it hears of a cancellation.
async fn a_backlog_does_not_keep_the_news_waiting(world: World) {
    use crate::world::{Other, other};
    let (say, mut heard) = line();
    let client = world.client.clone();
    // Each one leaves another behind, so that there is always something to claim.
    let busy = Handler::new(move |job: Attempt<Other>| {
        let client = client.clone();
        async move {
            let number: u64 = job.name.rsplit(' ').next().unwrap_or("0").parse()?;
            client.create(other(format!("busy {}", number + 8))).await?;
            Ok::<_, HandlerError>(())
        }
    });
    let busy = busy.config(HandlerConfig::DEFAULT.concurrency(4).retry(quick(1)));
    // Its heartbeat is so long that only the news can tell the handler.
    let worker = start(builder(&world.client).handler(busy).handler(listening(say))).await;
    for number in 0..8 {
        world.create(other(format!("busy {number}"))).await;
    }
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "began");
    world.cancel(&id).await;
    assert_eq!(heard.next().await, "told");
    within(worker.shutdown()).await;
}

fn kind() -> String {
    <Work as oncetask::OnceTask>::KIND.to_owned()
}
