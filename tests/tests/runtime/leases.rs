//! Leases: kept while a handler runs, and a handler that lost its own is stopped.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use oncetask::{Attempt, Clock, Context, Handler, OnceTask as _, Status, Task, TaskId, Worker};

use crate::flaky::flaky;
use crate::on_every_store;
use crate::world::{
    Dropped, Gate, HEARTBEAT, Say, Work, World, attempts, builder, gated, line, start, until,
    with_short_leases, work,
};

on_every_store!(
    a_long_handler_keeps_its_lease,
    a_handler_that_outlives_its_lease_is_stopped,
    a_store_that_is_away_for_a_moment_costs_nothing,
    a_store_that_stays_away_stops_the_handler_before_its_lease_ends,
    a_store_that_does_not_answer_does_too,
    a_handler_that_blocks_every_thread_keeps_its_lease,
    a_lease_that_was_taken_over_stops_the_handler,
    a_claim_that_took_its_whole_lease_runs_nothing,
    where_every_claim_takes_longer_than_a_heartbeat_tasks_run_all_the_same,
);

fn status(world: &World, task: &Task) -> Status {
    task.status(world.client.clock().now())
}

/// A handler that stays until it is dropped, and says so.
fn staying(say: Say<&'static str>) -> Handler {
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
}

async fn a_long_handler_keeps_its_lease(world: World) {
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let _worker = start(with_short_leases(&world.client).handler(gated(say.clone(), gate.clone()))).await;
    // Another worker would take the task as soon as its lease ends.
    let _rival = start(with_short_leases(&world.another().await).handler(gated(say, gate.clone()))).await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await.1, 1);
    let claimed = world.task(&id).await;
    let first_end = claimed.state.lease.expect("it runs").until;
    until(|| world.client.clock().now() > first_end + HEARTBEAT).await;
    gate.open();
    let task = world.done(&id).await;
    assert_eq!((task.attempts(), task.errors().len()), (1, 0));
    assert_eq!(heard.rest(), []);
}

async fn a_handler_that_outlives_its_lease_is_stopped(world: World) {
    let (say, mut heard) = line();
    let config = attempts(1).lease(Duration::from_secs(1));
    let id = world.create(work("a")).await;
    // For the store its lease does not end, or a busy machine might claim it anew before the verdict is stored; and
    // there is nothing to extend, or it might be late for that.
    let now = world.client.clock().now();
    let client = world.client.clone().with_clock(Clock::new(move || now));
    let _worker = start(builder(&client).handler(staying(say).config(config))).await;
    let task = world.done(&id).await;
    let said = heard.rest();
    assert_eq!((said[0], said[said.len() - 1]), ("began", "dropped"));
    assert_eq!((status(&world, &task), task.attempts()), (Status::Failed, 1));
    assert_eq!(
        task.errors()[0].error,
        "the attempt took longer than its lease of 1s and was stopped"
    );
}

async fn a_store_that_is_away_for_a_moment_costs_nothing(world: World) {
    let (client, knobs) = flaky(&world.client);
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let _worker = start(with_short_leases(&client).handler(gated(say, gate.clone()))).await;
    let id = world.create(work("a")).await;
    heard.next().await;
    for _ in 0..2 {
        let asked = knobs.renewed.lock().expect("no test panics with it").len();
        knobs.renewals.store(2, Ordering::SeqCst);
        until(|| knobs.renewed.lock().expect("no test panics with it").len() >= asked + 3).await;
    }
    gate.open();
    let task = world.done(&id).await;
    assert_eq!((task.attempts(), task.errors().len()), (1, 0));
}

/// When it is dropped, it says when that was.
pub(crate) struct DroppedAt(pub(crate) Say<DateTime<Utc>>);

impl Drop for DroppedAt {
    fn drop(&mut self) {
        self.0.say(oncetask::Clock::system().now());
    }
}

/// Plays trouble with the store while a handler runs, which is to be dropped before its stored lease ends.
async fn is_dropped_in_time(
    world: &World,
    client: &oncetask::Client,
    trouble: impl FnOnce(),
) -> (Worker, TaskId) {
    let ((say, mut heard), (drops, mut dropped)) = (line(), line());
    let handler = Handler::new(move |_: Work| {
        let (say, drops) = (say.clone(), drops.clone());
        async move {
            let _dropped = DroppedAt(drops);
            say.say("began");
            std::future::pending::<()>().await;
        }
    });
    let worker = builder(client).heartbeat(2 * HEARTBEAT).grace(Duration::ZERO);
    let worker = start(worker.handler(handler.config(attempts(5)))).await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "began");
    trouble();
    let at = dropped.next().await;
    let task = world.task(&id).await;
    let lease = task
        .state
        .lease
        .expect("nobody has taken it, and its end is not stored");
    assert!(lease.until > at, "dropped at {at}, after {}", lease.until);
    (worker, id)
}

async fn a_store_that_stays_away_stops_the_handler_before_its_lease_ends(world: World) {
    let (client, knobs) = flaky(&world.client);
    let away = knobs.clone();
    let (_worker, id) = is_dropped_in_time(&world, &client, move || {
        // Or a busy machine might claim it anew before the verdict is stored.
        away.claims.store(usize::MAX, Ordering::SeqCst);
        away.finishes.store(usize::MAX, Ordering::SeqCst);
        away.renewals.store(usize::MAX, Ordering::SeqCst);
    })
    .await;
    knobs.finishes.store(0, Ordering::SeqCst);
    let task = world.until(&id, |task| !task.errors().is_empty()).await;
    let error = &task.errors()[0];
    assert_eq!(error.attempt, 1);
    assert!(error.error.contains("could not be extended"), "{error:?}");
}

async fn a_store_that_does_not_answer_does_too(world: World) {
    let (client, knobs) = flaky(&world.client);
    let (worker, _) =
        is_dropped_in_time(&world, &client, move || knobs.hangs.store(true, Ordering::SeqCst)).await;
    drop(worker);
}

/// A worker on a runtime of its own, whose only thread its handler blocks.
async fn a_handler_that_blocks_every_thread_keeps_its_lease(world: World) {
    let (say, mut heard) = line();
    let (free, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = std::sync::Arc::new(std::sync::Mutex::new(blocked));
    let handler = Handler::new(move |job: Attempt<Work>| {
        let (say, blocked) = (say.clone(), blocked.clone());
        async move {
            say.say(job.attempt);
            let freed = blocked.lock().expect("no test panics with it").recv();
            freed.expect("the test frees it");
        }
    });
    let id = world.create(work("a")).await;
    let client = world.another().await;
    let worker = std::thread::spawn(move || {
        let runtime = tokio::runtime::WorkerBuilder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async move {
            let worker = start(with_short_leases(&client).handler(handler)).await;
            client.wait(&"work:a".into()).await.expect("it completes");
            worker.shutdown().await;
        });
    });
    assert_eq!(heard.next().await, 1);
    let first_end = world.task(&id).await.state.lease.expect("it runs").until;
    until(|| world.client.clock().now() > first_end + HEARTBEAT).await;
    let task = world.task(&id).await;
    assert!(
        task.state.lease.expect("it runs").until > first_end + HEARTBEAT,
        "it was extended"
    );
    free.send(()).expect("the handler waits");
    assert_eq!(world.done(&id).await.attempts(), 1);
    until(|| worker.is_finished()).await;
    worker.join().expect("it ends");
}

/// As after a freeze of the whole process: the lease has ended, and another worker has the task.
async fn a_lease_that_was_taken_over_stops_the_handler(world: World) {
    let (say, mut heard) = line();
    let _worker = start(with_short_leases(&world.client).handler(staying(say))).await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "began");
    let rival = world.ahead(chrono::TimeDelta::hours(1));
    let demand = oncetask::store::Demand {
        kinds: vec![Work::KIND.into()],
        max_claims: 1,
        max_group: 1,
        lease: chrono::TimeDelta::hours(1),
        generators_only: false,
    };
    let request = oncetask::store::ClaimRequest {
        owner: "rival".into(),
        now: rival.clock().now(),
        demands: vec![demand],
    };
    let claimed = rival.store().claim(request).await.expect("the store answers");
    assert_eq!(claimed.claims.len(), 1);
    // `told` and `dropped` come together: the handler may not be polled in between.
    while heard.next().await != "dropped" {}
    let task = world.task(&id).await;
    assert_eq!(task.attempts(), 2);
    assert_eq!(&*task.state.lease.expect("the rival has it").owner, "rival");
}

/// The store answers a claim when its lease has ended: nobody runs on it, and the task is claimed anew.
async fn a_claim_that_took_its_whole_lease_runs_nothing(world: World) {
    let (client, knobs) = flaky(&world.client);
    let (say, mut heard) = line();
    knobs.slow_claims.store(true, Ordering::SeqCst);
    let handler = Handler::new(move |_: Work, cx: Context| {
        let say = say.clone();
        async move { say.say((cx.attempt(), oncetask::Clock::system().now())) }
    });
    let _worker = start(with_short_leases(&client).handler(handler.config(attempts(9)))).await;
    let id = world.create(work("a")).await;
    let claimed = world.until(&id, |task| task.state.lease.is_some()).await;
    let end = claimed.state.lease.expect("it is claimed").until;
    until(|| world.client.clock().now() > end).await;
    knobs.slow_claims.store(false, Ordering::SeqCst);
    knobs.answer_claims.notify_one();
    let task = world.done(&id).await;
    assert_eq!(status(&world, &task), Status::Completed);
    let runs = heard.rest();
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert!(runs[0].1 > end, "with a lease of its own: {runs:?}");
    assert!(
        !task
            .errors()
            .iter()
            .any(|error| error.error.contains("could not be extended"))
    );
}

/// A starved store: what is claimed for a heartbeat is good for nothing when the answer comes.
async fn where_every_claim_takes_longer_than_a_heartbeat_tasks_run_all_the_same(world: World) {
    let (client, knobs) = flaky(&world.client);
    let heartbeat = HEARTBEAT / 4;
    let slow = heartbeat * 5 / 4;
    let millis = slow.as_millis().try_into().expect("a moment");
    knobs.claims_take.store(millis, Ordering::SeqCst);
    let ids = [world.create(work("a")).await, world.create(work("b")).await];
    let handler = Handler::new(|_: Work| async {});
    let worker = builder(&client).heartbeat(heartbeat);
    let _worker = start(worker.handler(handler.config(attempts(2)))).await;
    for id in &ids {
        let task = world.done(id).await;
        assert_eq!((status(&world, &task), task.attempts()), (Status::Completed, 1));
    }
    let wanted = knobs.wanted.lock().expect("no test panics with it").clone();
    let heartbeat = chrono::TimeDelta::from_std(heartbeat).expect("a moment");
    assert_eq!(wanted[0].lease, heartbeat, "a lease lasts no longer than it must");
}
