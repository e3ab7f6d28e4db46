//! What is claimed ahead of free slots: only where calls are quick, for seconds, and never behind a slow one.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use oncetask::store::Demand;
use oncetask::{Attempt, Client, Handler, HandlerConfig, Retry, Status, TaskId, Worker};

use crate::flaky::{Knobs, flaky};
use crate::on_every_store;
use crate::world::{Gate, Heard, Say, Work, World, builder, line, naming, start, within, work};

on_every_store!(
    quick_calls_are_claimed_ahead_for_seconds,
    slow_calls_are_claimed_one_by_one,
    where_one_attempt_is_all_nothing_is_claimed_ahead,
    what_waits_behind_a_slow_call_runs_elsewhere,
    a_shutdown_gives_back_what_was_claimed_ahead,
);

/// More than it takes to see that calls are quick.
const MANY: usize = 400;
/// The longest that a crash may delay what never began.
const SECONDS: TimeDelta = TimeDelta::seconds(5);
const MINUTE: Duration = Duration::from_mins(1);

/// Creates quick tasks, of which the one in the middle may be another.
async fn create_many(world: &World, middle: &str) -> Vec<TaskId> {
    let name = |number| {
        if number == MANY / 2 {
            middle.to_owned()
        } else {
            format!("quick-{number}")
        }
    };
    let tasks: Vec<_> = (0..MANY).map(|number| work(name(number))).collect();
    let creations = world.client.create_many(tasks).await.expect("they can be stored");
    creations
        .into_iter()
        .map(|creation| creation.expect("it is new").id)
        .collect()
}

/// A worker with one slot and leases of a minute, in front of whose store somebody counts.
async fn one_slot(client: &Client, handler: Handler) -> (Worker, Arc<Knobs>) {
    let (client, knobs) = flaky(client);
    let worker = start(builder(&client).handler(handler).heartbeat(MINUTE)).await;
    (worker, knobs)
}

fn one() -> HandlerConfig {
    HandlerConfig::DEFAULT.concurrency(1)
}

/// The demands for more than the one slot.
fn ahead(knobs: &Knobs) -> Vec<Demand> {
    let wanted = knobs.wanted.lock().expect("no test panics with it").clone();
    wanted
        .into_iter()
        .filter(|demand| demand.max_claims > 1 && !demand.generators_only)
        .collect()
}

async fn all_complete(world: &World, ids: &[TaskId]) {
    for id in ids {
        let task = world.done(id).await;
        assert_eq!(task.status(world.client.clock().now()), Status::Completed);
        assert_eq!((task.attempts(), task.errors()), (1, &[][..]), "{id}");
    }
}

async fn quick_calls_are_claimed_ahead_for_seconds(world: World) {
    let ids = create_many(&world, "quick").await;
    let (say, mut heard) = line();
    let (_worker, knobs) = one_slot(&world.client, naming(say).config(one())).await;
    all_complete(&world, &ids).await;
    assert_eq!(heard.rest().len(), MANY);
    let ahead = ahead(&knobs);
    assert!(!ahead.is_empty());
    assert!(ahead.iter().all(|demand| demand.lease <= SECONDS), "{ahead:?}");
}

async fn slow_calls_are_claimed_one_by_one(world: World) {
    let ids = create_many(&world, "quick").await;
    let slow = Handler::new(|_: Work| tokio::time::sleep(Duration::from_millis(8)));
    let (_worker, knobs) = one_slot(&world.client, slow.config(one())).await;
    all_complete(&world, &ids[..60]).await;
    assert!(ahead(&knobs).is_empty());
}

async fn where_one_attempt_is_all_nothing_is_claimed_ahead(world: World) {
    let ids = create_many(&world, "quick").await;
    let (say, _heard) = line();
    let config = one().retry(Retry::never());
    let (_worker, knobs) = one_slot(&world.client, naming(say).config(config)).await;
    all_complete(&world, &ids).await;
    assert!(ahead(&knobs).is_empty());
}

/// A handler that stays with one task until the gate opens.
fn slow_with(name: &'static str, say: Say<String>, gate: Gate) -> Handler {
    Handler::new(move |job: Attempt<Work>| {
        let (say, gate) = (say.clone(), gate.clone());
        async move {
            say.say(job.name.clone());
            if job.name == name {
                gate.opened().await;
            }
        }
    })
}

async fn said(heard: &mut Heard<String>, name: &str) {
    while heard.next().await != name {}
}

async fn what_waits_behind_a_slow_call_runs_elsewhere(world: World) {
    let ids = create_many(&world, "slow").await;
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let (_worker, knobs) = one_slot(&world.client, slow_with("slow", say, gate.clone()).config(one())).await;
    said(&mut heard, "slow").await;
    assert!(!ahead(&knobs).is_empty(), "its calls were quick before");
    let (say, mut others) = line();
    let _other = start(builder(&world.another().await).handler(naming(say).config(one()))).await;
    let rest: Vec<_> = ids
        .iter()
        .filter(|id| id.as_str() != "work:slow")
        .cloned()
        .collect();
    all_complete(&world, &rest).await;
    assert!(!others.rest().contains(&"slow".to_owned()));
    gate.open();
    all_complete(&world, &ids).await;
}

async fn a_shutdown_gives_back_what_was_claimed_ahead(world: World) {
    let ids = create_many(&world, "slow").await;
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let (worker, knobs) = one_slot(&world.client, slow_with("slow", say, gate.clone()).config(one())).await;
    said(&mut heard, "slow").await;
    assert!(!ahead(&knobs).is_empty(), "its calls were quick before");
    // It is told to stop before its handler may end.
    within(async { tokio::join!(worker.shutdown(), async { gate.open() }) }).await;
    for id in &ids {
        let task = world.task(id).await;
        assert_eq!(
            (task.is_done(), &task.state.lease),
            (task.attempts() == 1, &None),
            "{id}"
        );
    }
}
