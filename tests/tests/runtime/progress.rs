//! How far a handler says it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use oncetask::{Context, Handler, HandlerConfig, HandlerError, OnceTask as _};

use crate::flaky::flaky;
use crate::on_every_store;
use crate::world::{Gate, Work, World, builder, line, start, until, within, work};

on_every_store!(
    it_is_shown_while_the_handler_runs,
    however_often_it_is_said_it_is_stored_once_a_second,
    no_number_is_nothing,
    a_store_that_is_away_gets_it_later,
    who_lost_the_lease_stores_nothing,
    what_is_said_last_is_stored_with_the_end,
    of_a_failed_attempt_too,
    a_long_message_is_cut,
);

/// A handler that says what it is told, and then waits for the gate.
fn saying(fraction: f64, message: &'static str, gate: &Gate) -> Handler {
    let gate = gate.clone();
    Handler::new(move |_: Work, cx: Context| {
        let gate = gate.clone();
        async move {
            cx.progress(fraction, message);
            gate.opened().await;
        }
    })
}

async fn it_is_shown_while_the_handler_runs(world: World) {
    let gate = Gate::closed();
    let _worker = world.work(saying(0.4, "two of five", &gate)).await;
    let id = world.create(work("a")).await;
    let task = world.until(&id, |task| task.state.progress.is_some()).await;
    let progress = task.state.progress.expect("it is there");
    assert_eq!(
        (progress.fraction, progress.message.as_str()),
        (0.4, "two of five")
    );
    assert!(task.state.lease.is_some(), "it still runs");
    gate.open();
    let done = world.done(&id).await;
    assert_eq!(done.state.progress.map(|progress| progress.fraction), Some(0.4));
}

async fn however_often_it_is_said_it_is_stored_once_a_second(world: World) {
    let (client, knobs) = flaky(&world.client);
    let seen = knobs.clone();
    let handler = Handler::new(move |_: Work, cx: Context| {
        let knobs = seen.clone();
        async move {
            let began = Instant::now();
            let mut step = 0;
            while knobs.progress_stored() < 3 {
                step += 1;
                cx.progress(0.5, format!("step {step}"));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok::<_, HandlerError>(began.elapsed().as_millis())
        }
    });
    let _worker = start(builder(&client).handler(handler)).await;
    let task = world.done(&world.create(work("a")).await).await;
    let took: u64 = task.result().expect("a number").expect("a result");
    let stored = knobs.progress_stored();
    assert!(stored as u64 <= 1 + took.div_ceil(1000), "{stored} in {took} ms");
}

async fn no_number_is_nothing(world: World) {
    let gate = Gate::closed();
    let _worker = world.work(saying(f64::NAN, "none of none", &gate)).await;
    let id = world.create(work("a")).await;
    let task = world.until(&id, |task| task.state.progress.is_some()).await;
    assert_eq!(
        task.state.progress.map(|progress| progress.fraction.to_bits()),
        Some(0)
    );
    gate.open();
    assert!(world.done(&id).await.errors().is_empty());
}

async fn a_store_that_is_away_gets_it_later(world: World) {
    let (client, knobs) = flaky(&world.client);
    knobs.renewals.store(2, Ordering::SeqCst);
    let gate = Gate::closed();
    // Its lease needs no extension: what fails is only what it says.
    let _worker = start(builder(&client).handler(saying(0.5, "half", &gate))).await;
    let id = world.create(work("a")).await;
    world.until(&id, |task| task.state.progress.is_some()).await;
    gate.open();
    world.done(&id).await;
}

async fn who_lost_the_lease_stores_nothing(world: World) {
    let (client, knobs) = flaky(&world.client);
    let (say, mut heard) = line();
    let (gate, speak) = (Gate::closed(), Gate::closed());
    let (held, spoken) = (gate.clone(), speak.clone());
    let calls = Arc::new(AtomicU32::new(0));
    let handler = Handler::new(move |_: Work, cx: Context| {
        let (say, speak, gate) = (say.clone(), spoken.clone(), held.clone());
        let first = calls.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            say.say("began");
            if first {
                speak.opened().await;
                cx.progress(0.9, "of a task that is not mine");
            }
            gate.opened().await;
        }
    });
    // Nobody tells the worker that the task is deleted: it believes that it has it.
    knobs.own_bell.store(true, Ordering::SeqCst);
    let id = world.create(work("a")).await;
    let worker = start(builder(&client).handler(handler.config(HandlerConfig::DEFAULT.concurrency(2)))).await;
    assert_eq!(heard.next().await, "began");
    world.client.delete(&id).await.expect("the store answers");
    world.create(work("a")).await;
    knobs.notifier.notify_due(Work::KIND);
    assert_eq!(heard.next().await, "began");
    speak.open();
    until(|| knobs.progress_stored() > 0).await;
    assert_eq!(world.task(&id).await.state.progress, None);
    gate.open();
    assert_eq!(world.done(&id).await.state.progress, None);
    within(worker.shutdown()).await;
}

async fn what_is_said_last_is_stored_with_the_end(world: World) {
    crate::logs::listen();
    let handler = Handler::new(|_: Work, cx: Context| async move {
        // The second of them is not a second later.
        cx.progress(0.5, "half");
        cx.progress(1.0, "done");
    });
    let _worker = world.work(handler).await;
    for number in 0..50 {
        let id = world.create(work(format!("final words {number}"))).await;
        let task = world.done(&id).await;
        assert!(task.errors().is_empty());
        let progress = task.state.progress.expect("it said so");
        assert_eq!((progress.fraction, progress.message.as_str()), (1.0, "done"));
    }
    assert_eq!(crate::logs::lines(&["final words", "lease lost"]), [""; 0]);
}

async fn of_a_failed_attempt_too(world: World) {
    let handler = Handler::new(|_: Work, cx: Context| async move {
        cx.progress(0.1, "begun");
        cx.progress(0.9, "almost");
        Err::<(), _>(HandlerError::permanent("not quite"))
    });
    let _worker = world.work(handler).await;
    let task = world.done(&world.create(work("a")).await).await;
    assert_eq!(task.errors().len(), 1);
    assert_eq!(task.state.progress.map(|progress| progress.fraction), Some(0.9));
}

async fn a_long_message_is_cut(world: World) {
    let handler = Handler::new(|_: Work, cx: Context| async move { cx.progress(1.0, "ü".repeat(1 << 20)) });
    let _worker = world.work(handler).await;
    let task = world.done(&world.create(work("a")).await).await;
    let message = task.state.progress.expect("it said so").message;
    assert!(
        message.starts_with("üü") && message.len() <= 4096,
        "{} bytes",
        message.len()
    );
}
