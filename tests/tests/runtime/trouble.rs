//! A store that is away for a while: nothing is lost, and the worker goes on when it is back.

use std::sync::atomic::Ordering;

use oncetask::{Handler, HandlerConfig, HandlerError, Status};

use crate::flaky::flaky;
use crate::on_every_store;
use crate::world::{Gate, Work, World, attempts, builder, gated, line, naming, start, until, within, work};

on_every_store!(
    claims_are_repeated,
    completions_are_repeated,
    one_completion_that_cannot_be_stored_takes_no_other_with_it,
    many_completions_wait_for_the_store,
);

async fn claims_are_repeated(world: World) {
    let (client, knobs) = flaky(&world.client);
    knobs.claims.store(3, Ordering::SeqCst);
    let (say, mut heard) = line();
    let _worker = start(builder(&client).handler(naming(say))).await;
    world.create(work("a")).await;
    assert_eq!(heard.next().await, "a");
    assert!(knobs.claimed.load(Ordering::SeqCst) > 3);
}

async fn completions_are_repeated(world: World) {
    let (client, knobs) = flaky(&world.client);
    knobs.finishes.store(3, Ordering::SeqCst);
    let ((say, mut heard), gate) = (line(), Gate::closed());
    gate.open();
    let _worker = start(builder(&client).handler(gated(say, gate))).await;
    let id = world.create(work("a")).await;
    let task = world.done(&id).await;
    assert_eq!((task.attempts(), task.errors().len()), (1, 0));
    assert_eq!(heard.rest(), [("a".to_owned(), 1)]);
    assert_eq!(knobs.finished.load(Ordering::SeqCst), 4);
}

async fn one_completion_that_cannot_be_stored_takes_no_other_with_it(world: World) {
    let (client, knobs) = flaky(&world.client);
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let handler = gated(say, gate.clone()).config(HandlerConfig::DEFAULT.concurrency(64));
    let mut ids = Vec::new();
    for number in 0..64 {
        ids.push(world.create(work(format!("{number}"))).await);
    }
    *knobs.poison.lock().expect("no test panics with it") = Some(ids[7].clone());
    let _worker = start(builder(&client).handler(handler)).await;
    for _ in &ids {
        heard.next().await;
    }
    gate.open();
    for id in ids.iter().filter(|id| **id != ids[7]) {
        assert_eq!(world.done(id).await.attempts(), 1);
    }
    let lost = world.task(&ids[7]).await;
    assert!(lost.state.lease.is_some(), "it runs again when its lease ends");
}

async fn many_completions_wait_for_the_store(world: World) {
    const TASKS: u32 = 500;
    let (client, knobs) = flaky(&world.client);
    knobs.finishes.store(8, Ordering::SeqCst);
    let handler = Handler::new(|task: Work| async move { Ok::<_, HandlerError>(task.name) });
    let _worker = start(builder(&client).handler(handler.config(attempts(1).concurrency(50)))).await;
    let tasks = (0..TASKS).map(|number| work(format!("{number}")));
    let created = world.client.create_many(tasks).await.expect("the store answers");
    for creation in created {
        let task = world.done(&creation.expect("created").id).await;
        assert_eq!(
            (task.status(world.client.clock().now()), task.attempts()),
            (Status::Completed, 1)
        );
    }
    within(until(|| knobs.finishes.load(Ordering::SeqCst) == 0)).await;
}
