//! Whatever else keeps a worker busy, it sees in time what falls due, who is cancelled, and whose lease is to be
//! extended.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use oncetask::{Attempt, Handler, HandlerConfig, HandlerError, Status};

use crate::flaky::flaky;
use crate::leases::DroppedAt;
use crate::on_every_store;
use crate::world::{
    Gate, HEARTBEAT, Other, Work, World, attempts, builder, gated, line, listening, other, start, until, work,
};

on_every_store!(
    what_falls_due_does_not_wait_for_the_end_of_a_backlog,
    who_runs_is_told_of_its_cancellation_while_no_claim_succeeds,
    who_runs_is_told_of_its_cancellation_while_a_claim_is_on_its_way,
    a_lease_that_cannot_be_extended_takes_no_other_with_it,
    a_group_of_which_one_lease_cannot_be_extended_is_stopped_in_time,
);

/// How many tasks of another kind there are: more than are done before the one in question is due.
const BACKLOG: usize = 3000;

async fn what_falls_due_does_not_wait_for_the_end_of_a_backlog(world: World) {
    let (client, knobs) = flaky(&world.client);
    // A slot gets free during every claim, and no notifier tells of anything.
    knobs.claims_take.store(20, Ordering::SeqCst);
    knobs.own_bell.store(true, Ordering::SeqCst);
    let (say, mut heard) = line();
    let tell = say.clone();
    let again = Handler::new(move |job: Attempt<Other>| {
        let say = tell.clone();
        async move {
            if job.attempt == 1 {
                return Err(HandlerError::retry_after(Duration::from_secs(1), "later"));
            }
            say.say("again");
            Ok(())
        }
    });
    let backlog = Handler::new(move |task: Work| {
        let say = say.clone();
        async move {
            // Not all of them end between two claims.
            let number: u64 = task.name.parse().expect("a number");
            tokio::time::sleep(Duration::from_millis(20 + number * 7 % 60)).await;
            say.say("backlog");
        }
    });
    world.create(other("a")).await;
    let tasks = (0..BACKLOG).map(|number| work(format!("{number}")));
    world.client.create_many(tasks).await.expect("they can be stored");
    // With one attempt nothing is claimed ahead: each slot is asked for.
    let worker = builder(&client).handler(again.config(attempts(2)));
    let _worker = start(worker.handler(backlog.config(attempts(1).concurrency(64)))).await;
    let mut before = 0;
    while heard.next().await != "again" {
        before += 1;
    }
    assert!(before < BACKLOG, "it was due long before");
}

/// A worker that no extension tells of a cancellation, and that runs a task which waits for one.
async fn who_runs_is_told(world: World, trouble: impl AsyncFnOnce(&World, &crate::flaky::Knobs)) {
    let (client, knobs) = flaky(&world.client);
    let (say, mut heard) = line();
    let others = Handler::new(|_: Other| async {});
    let _worker = start(builder(&client).handler(listening(say)).handler(others)).await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "began");
    trouble(&world, &knobs).await;
    world.cancel(&id).await;
    assert_eq!(heard.next().await, "told");
    knobs.claims.store(0, Ordering::SeqCst);
    knobs.slow_claims.store(false, Ordering::SeqCst);
    knobs.answer_claims.notify_one();
    let task = world.done(&id).await;
    assert_eq!(task.status(world.client.clock().now()), Status::Cancelled);
}

async fn who_runs_is_told_of_its_cancellation_while_no_claim_succeeds(world: World) {
    who_runs_is_told(world, async |world, knobs| {
        knobs.claims.store(usize::MAX, Ordering::SeqCst);
        let claimed = knobs.claimed.load(Ordering::SeqCst);
        world.create(other("x")).await;
        until(|| knobs.claimed.load(Ordering::SeqCst) > claimed).await;
    })
    .await;
}

async fn who_runs_is_told_of_its_cancellation_while_a_claim_is_on_its_way(world: World) {
    who_runs_is_told(world, async |world, knobs| {
        knobs.slow_claims.store(true, Ordering::SeqCst);
        let id = world.create(other("x")).await;
        world.until(&id, |task| task.state.lease.is_some()).await;
    })
    .await;
}

async fn a_lease_that_cannot_be_extended_takes_no_other_with_it(world: World) {
    let (client, knobs) = flaky(&world.client);
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let mut ids = Vec::new();
    for name in ["a", "b", "damaged", "c", "d"] {
        ids.push(world.create(work(name)).await);
    }
    *knobs.poison.lock().expect("no test panics with it") = Some(ids[2].clone());
    let handler = gated(say, gate.clone()).config(HandlerConfig::DEFAULT.concurrency(5));
    let _worker = start(builder(&client).heartbeat(2 * HEARTBEAT).handler(handler)).await;
    let mut end = DateTime::<Utc>::MIN_UTC;
    for id in &ids {
        heard.next().await;
        end = end.max(world.task(id).await.state.lease.expect("it runs").until);
    }
    until(|| world.client.clock().now() > end).await;
    gate.open();
    for id in ids.iter().filter(|id| **id != ids[2]) {
        let task = world.done(id).await;
        assert_eq!((task.attempts(), task.errors().len()), (1, 0), "{id}");
    }
}

async fn a_group_of_which_one_lease_cannot_be_extended_is_stopped_in_time(world: World) {
    let (client, knobs) = flaky(&world.client);
    let mut ids = Vec::new();
    for name in ["a", "b", "damaged", "c"] {
        ids.push(world.create(work(name).key("k")).await);
    }
    *knobs.poison.lock().expect("no test panics with it") = Some(ids[2].clone());
    let (say, mut heard) = line();
    let handler = Handler::new(move |_: Vec<Work>| {
        let dropped = DroppedAt(say.clone());
        async move {
            let _dropped = dropped;
            std::future::pending::<()>().await;
        }
    });
    let patient = builder(&client).heartbeat(2 * HEARTBEAT).grace(Duration::ZERO);
    let _worker = start(patient.handler(handler)).await;
    let held = world.until(&ids[2], |task| task.state.lease.is_some()).await;
    let end = held.state.lease.expect("it is held").until;
    let dropped = heard.next().await;
    assert!(dropped < end, "dropped at {dropped}, after {end}");
}

/// A worker of one thread: the lane in which a task is to run has not been there yet when the news is heard.
async fn who_is_cancelled_while_it_is_claimed_is_told_when_it_begins(world: World) {
    let (client, knobs) = flaky(&world.client);
    let (say, mut heard) = line();
    knobs.slow_claims.store(true, Ordering::SeqCst);
    let _worker = start(builder(&client).handler(listening(say))).await;
    let id = world.create(work("a")).await;
    world.until(&id, |task| task.state.lease.is_some()).await;
    world.cancel(&id).await;
    knobs.slow_claims.store(false, Ordering::SeqCst);
    knobs.answer_claims.notify_one();
    assert_eq!(heard.next().await, "began");
    assert_eq!(heard.next().await, "told");
    let task = world.done(&id).await;
    assert_eq!(task.status(world.client.clock().now()), Status::Cancelled);
}

#[tokio::test]
async fn who_is_cancelled_while_it_is_claimed_in_memory_is_told() {
    who_is_cancelled_while_it_is_claimed_is_told_when_it_begins(World::memory()).await;
}

#[tokio::test]
async fn who_is_cancelled_while_it_is_claimed_in_sqlite_is_told() {
    who_is_cancelled_while_it_is_claimed_is_told_when_it_begins(World::sqlite().await).await;
}
