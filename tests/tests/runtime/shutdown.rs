//! The end of a worker.

use std::sync::atomic::Ordering;
use std::time::Duration;

use oncetask::{Handler, OnceTask as _, Status};

use crate::flaky::flaky;
use crate::on_every_store;
use crate::world::{
    Dropped, Gate, Say, Work, World, attempts, builder, gated, line, naming, start, until, with_short_leases,
    within, work,
};

on_every_store!(
    handlers_end_within_the_grace,
    what_has_not_ended_is_given_back,
    nothing_is_claimed_afterwards,
    a_claim_that_was_on_its_way_is_given_back,
    a_dropped_worker_gives_back,
    a_dropped_run_gives_back,
    a_dropped_shutdown_gives_back,
    a_worker_in_a_runtime_that_ends_takes_nothing_down,
    an_idle_worker_ends_at_once,
    what_a_crash_ended_fails_even_while_the_worker_ends,
);

/// A handler that says that it began, and that it was dropped.
fn staying(say: Say<&'static str>) -> Handler {
    Handler::new(move |_: Work| {
        let say = say.clone();
        async move {
            let _dropped = Dropped(say.clone());
            say.say("began");
            std::future::pending::<()>().await;
        }
    })
}

/// The task is as if nobody had ever claimed it.
async fn is_given_back(world: &World, id: &oncetask::TaskId) {
    let task = world.until(id, |task| task.state.lease.is_none()).await;
    assert_eq!((task.attempts(), task.errors().len()), (0, 0));
    assert_eq!(task.status(world.client.clock().now()), Status::Pending);
}

async fn handlers_end_within_the_grace(world: World) {
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let worker = world.work(gated(say, gate.clone())).await;
    let id = world.create(work("a")).await;
    heard.next().await;
    let ending = tokio::spawn(worker.shutdown());
    world.create(work("b")).await;
    gate.open();
    within(ending).await.expect("it ends");
    let task = world.task(&id).await;
    assert_eq!(
        task.status(world.client.clock().now()),
        Status::Completed,
        "its outcome is stored"
    );
}

async fn what_has_not_ended_is_given_back(world: World) {
    let (say, mut heard) = line();
    let config = oncetask::HandlerConfig::DEFAULT.retry(oncetask::Retry::never());
    let handler = staying(say).config(config);
    let worker = start(
        builder(&world.client)
            .grace(Duration::from_millis(10))
            .handler(handler),
    )
    .await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "began");
    within(worker.shutdown()).await;
    assert_eq!(heard.next().await, "dropped");
    is_given_back(&world, &id).await;
    let (say, mut heard) = line();
    let _next = world.work(naming(say)).await;
    assert_eq!(heard.next().await, "a");
    assert_eq!(world.done(&id).await.attempts(), 1);
}

async fn nothing_is_claimed_afterwards(world: World) {
    let (client, knobs) = flaky(&world.client);
    let (say, mut heard) = line();
    let worker = start(builder(&client).handler(naming(say))).await;
    world.create(work("a")).await;
    assert_eq!(heard.next().await, "a");
    within(worker.shutdown()).await;
    let claims = knobs.claimed.load(Ordering::SeqCst);
    let id = world.create(work("b")).await;
    // Another worker has had the time to run it.
    let (say, mut other) = line();
    let _another = start(builder(&world.another().await).handler(naming(say))).await;
    assert_eq!(other.next().await, "b");
    world.done(&id).await;
    assert_eq!(knobs.claimed.load(Ordering::SeqCst), claims);
    assert_eq!(heard.rest(), [""; 0]);
}

async fn a_claim_that_was_on_its_way_is_given_back(world: World) {
    let (client, knobs) = flaky(&world.client);
    knobs.slow_claims.store(true, Ordering::SeqCst);
    let (say, mut heard) = line();
    let worker = start(builder(&client).handler(naming(say))).await;
    let id = world.create(work("a")).await;
    world.until(&id, |task| task.state.lease.is_some()).await;
    let mut ending = std::pin::pin!(worker.shutdown());
    let waits = tokio::time::timeout(Duration::from_millis(5), &mut ending).await;
    assert!(waits.is_err(), "the claim is not answered");
    knobs.answer_claims.notify_one();
    within(ending).await;
    assert_eq!(heard.rest(), [""; 0]);
    is_given_back(&world, &id).await;
}

async fn a_dropped_worker_gives_back(world: World) {
    let (say, mut heard) = line();
    let worker = world.work(staying(say)).await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "began");
    drop(worker);
    assert_eq!(heard.next().await, "dropped");
    is_given_back(&world, &id).await;
}

async fn a_dropped_run_gives_back(world: World) {
    let (say, mut heard) = line();
    let running = tokio::spawn(builder(&world.client).handler(staying(say)).run());
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "began");
    running.abort();
    assert_eq!(heard.next().await, "dropped");
    is_given_back(&world, &id).await;
}

async fn a_dropped_shutdown_gives_back(world: World) {
    let (say, mut heard) = line();
    let worker = start(
        builder(&world.client)
            .grace(Duration::from_hours(1))
            .handler(staying(say)),
    )
    .await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "began");
    let given_up = tokio::time::timeout(Duration::from_millis(5), worker.shutdown()).await;
    assert!(given_up.is_err(), "the handler never ends");
    assert_eq!(heard.next().await, "dropped");
    is_given_back(&world, &id).await;
}

async fn a_worker_in_a_runtime_that_ends_takes_nothing_down(world: World) {
    let (say, mut heard) = line();
    let client = world.another().await;
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::WorkerBuilder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        let worker = runtime.block_on(start(with_short_leases(&client).handler(staying(say))));
        stopped.recv().expect("the test says when");
        drop(runtime);
        drop(worker);
    });
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "began");
    stop.send(()).expect("it runs");
    assert_eq!(heard.next().await, "dropped");
    until(|| thread.is_finished()).await;
    thread.join().expect("nothing panics");
    // Its lease ends, and another worker takes over: it was a crash.
    let (say, mut heard) = line();
    let _next = world.work(naming(say)).await;
    assert_eq!(heard.next().await, "a");
    assert_eq!(world.done(&id).await.attempts(), 2);
}

/// However patient it is: it runs on a clock that does not make the test wait.
#[tokio::test(start_paused = true)]
async fn with_a_store_that_is_away_it_ends() {
    let world = World::memory();
    let (client, knobs) = flaky(&world.client);
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let worker = start(builder(&client).grace(Duration::ZERO).handler(gated(say, gate))).await;
    let id = world.create(work("a")).await;
    heard.next().await;
    knobs.finishes.store(usize::MAX, Ordering::SeqCst);
    knobs.renewals.store(usize::MAX, Ordering::SeqCst);
    worker.shutdown().await;
    let task = world.task(&id).await;
    assert_eq!((task.attempts(), task.is_done()), (1, false));
}

async fn an_idle_worker_ends_at_once(world: World) {
    let (say, _heard) = line();
    let worker = start(
        builder(&world.client)
            .grace(Duration::from_hours(1))
            .handler(naming(say)),
    )
    .await;
    within(worker.shutdown()).await;
}

/// A task whose last attempt fell silent is not given one more by a worker that only gives it back.
async fn what_a_crash_ended_fails_even_while_the_worker_ends(world: World) {
    let (client, knobs) = flaky(&world.client);
    let id = world.create(work("a")).await;
    world.claim_and_die(Work::KIND, Duration::from_millis(100)).await;
    knobs.slow_claims.store(true, Ordering::SeqCst);
    let (say, mut heard) = line();
    let worker = start(builder(&client).handler(naming(say).config(attempts(1)))).await;
    world.until(&id, |task| task.attempts() == 2).await;
    let mut ending = std::pin::pin!(worker.shutdown());
    let waits = tokio::time::timeout(Duration::from_millis(5), &mut ending).await;
    assert!(waits.is_err(), "the claim is not answered");
    knobs.answer_claims.notify_one();
    within(ending).await;
    assert_eq!(
        world.task(&id).await.status(world.client.clock().now()),
        Status::Failed
    );
    assert_eq!(heard.rest(), [""; 0]);
}
