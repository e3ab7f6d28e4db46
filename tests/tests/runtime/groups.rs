//! Handlers that take all pending tasks of a resource key.

use std::time::Duration;

use chrono::TimeDelta;
use oncetask::{
    Attempt, Context, Handler, HandlerConfig, HandlerError, OnceTask, Outcome, Status, Task, TaskId,
};

use crate::on_every_store;
use crate::world::{Gate, Say, Work, World, attempts, builder, line, start, work};

on_every_store!(
    all_of_a_key_come_in_the_order_of_their_due_times,
    at_most_max_group,
    one_result_for_all,
    an_error_for_all_each_by_its_own_attempts,
    an_outcome_for_each,
    a_wrong_number_of_outcomes_is_an_error_for_all,
    late_arrivals_wait_for_the_next_call,
    tasks_without_a_key_come_alone,
    cancelled_ones_are_cleaned_up_after_one_by_one,
    the_call_is_told_when_all_are_cancelled,
    one_deleted_leaves_the_others_alone,
    one_that_cannot_be_read_is_put_off_alone,
    a_panic_is_an_error_for_all,
    a_shutdown_gives_all_back,
    a_crashed_group_is_run_again,
);

async fn create(world: &World, tasks: impl IntoIterator<Item = Work>) -> Vec<TaskId> {
    let mut ids = Vec::new();
    for task in tasks {
        ids.push(world.create(task).await);
    }
    ids
}

fn names(jobs: &[Attempt<Work>]) -> Vec<String> {
    jobs.iter().map(|job| job.name.clone()).collect()
}

/// A handler that says which tasks it takes.
fn telling(say: Say<Vec<String>>) -> Handler {
    Handler::new(move |jobs: Vec<Attempt<Work>>| {
        let say = say.clone();
        async move { say.say(names(&jobs)) }
    })
}

fn status(world: &World, task: &Task) -> Status {
    task.status(world.client.clock().now())
}

async fn all_of_a_key_come_in_the_order_of_their_due_times(world: World) {
    let now = world.client.clock().now();
    let ago = |minutes| now - TimeDelta::minutes(minutes);
    let tasks = [
        work("third").key("k").at(ago(1)),
        work("first").key("k").at(ago(3)),
        work("second").key("k").at(ago(2)),
        work("another").key("l").at(ago(0)),
        work("later").key("k").at(now + TimeDelta::days(1)),
    ];
    let ids = create(&world, tasks).await;
    let (say, mut heard) = line();
    let handler = Handler::new(move |tasks: Vec<Work>| {
        let say = say.clone();
        async move { say.say(tasks.into_iter().map(|task| task.name).collect::<Vec<_>>()) }
    });
    let _worker = world.work(handler).await;
    for id in &ids[..4] {
        world.done(id).await;
    }
    assert_eq!(heard.rest(), [vec!["first", "second", "third"], vec!["another"]]);
    assert_eq!(status(&world, &world.task(&ids[4]).await), Status::Waiting);
}

async fn at_most_max_group(world: World) {
    let ids = create(&world, (0..7).map(|number| work(format!("{number}")).key("k"))).await;
    let (say, mut heard) = line();
    let _worker = world
        .work(telling(say).config(HandlerConfig::DEFAULT.max_group(3).concurrency(4)))
        .await;
    for id in &ids {
        world.done(id).await;
    }
    assert_eq!(
        heard.rest(),
        [vec!["0", "1", "2"], vec!["3", "4", "5"], vec!["6"]]
    );
}

async fn one_result_for_all(world: World) {
    let ids = create(&world, ["a", "b", "c"].map(|name| work(name).key("k"))).await;
    let handler = Handler::new(|tasks: Vec<Work>| async move { Ok::<_, HandlerError>(tasks.len()) });
    let _worker = world.work(handler).await;
    for id in &ids {
        let task = world.done(id).await;
        assert_eq!(
            (task.result::<usize>().expect("a number"), task.attempts()),
            (Some(3), 1)
        );
    }
}

async fn an_error_for_all_each_by_its_own_attempts(world: World) {
    let (say, mut heard) = line();
    // The older one has an attempt behind it when the younger one arrives.
    let first = world.create(work("old").key("k")).await;
    world.claim_and_die(Work::KIND, Duration::from_millis(100)).await;
    let second = world.create(work("young").key("k")).await;
    let due = world.task(&first).await.state.due().expect("it is not done");
    crate::world::until(|| world.client.clock().now() >= due).await;
    let handler = Handler::new(move |jobs: Vec<Attempt<Work>>, cx: Context| {
        let say = say.clone();
        async move {
            let attempts: Vec<_> = jobs.iter().map(|job| job.attempt).collect();
            say.say((attempts, cx.attempt(), cx.id().cloned()));
            Err::<(), _>("no")
        }
    });
    let _worker = world.work(handler.config(attempts(2))).await;
    let (old, young) = (world.done(&first).await, world.done(&second).await);
    assert_eq!((status(&world, &old), old.attempts()), (Status::Failed, 2));
    assert_eq!((status(&world, &young), young.attempts()), (Status::Failed, 2));
    assert_eq!(heard.rest(), [(vec![2, 1], 2, None), (vec![2], 2, Some(second))]);
}

async fn an_outcome_for_each(world: World) {
    let ids = create(
        &world,
        ["done", "failed", "cancelled", "snoozed"].map(|name| work(name).key("k")),
    )
    .await;
    let handler = Handler::new(|jobs: Vec<Attempt<Work>>| async move {
        let outcome = |job: &Attempt<Work>| match job.name.as_str() {
            "done" => Outcome::done("yes"),
            "failed" => Outcome::error(HandlerError::permanent("for good")),
            "cancelled" => Outcome::error(HandlerError::cancel("no more")),
            _ => Outcome::error(HandlerError::snooze(Duration::from_hours(1))),
        };
        Ok::<_, HandlerError>(jobs.iter().map(outcome).collect::<Vec<_>>())
    });
    let _worker = world.work(handler).await;
    for (id, expected) in ids
        .iter()
        .zip([Status::Completed, Status::Failed, Status::Cancelled])
    {
        assert_eq!(status(&world, &world.done(id).await), expected);
    }
    let snoozed = world.until(&ids[3], |task| task.state.lease.is_none()).await;
    assert_eq!(
        (status(&world, &snoozed), snoozed.attempts()),
        (Status::Waiting, 0)
    );
}

async fn a_wrong_number_of_outcomes_is_an_error_for_all(world: World) {
    let ids = create(&world, ["a", "b"].map(|name| work(name).key("k"))).await;
    let handler = Handler::new(|_: Vec<Work>| async move {
        Ok::<_, HandlerError>(vec![Outcome::done(&1), Outcome::done(&2), Outcome::done(&3)])
    });
    let _worker = world.work(handler.config(attempts(1))).await;
    for id in &ids {
        let task = world.done(id).await;
        assert_eq!(status(&world, &task), Status::Failed);
        let error = &task.errors()[0].error;
        assert!(error.contains("took 2 tasks and returned 3 outcomes"), "{error}");
    }
}

async fn late_arrivals_wait_for_the_next_call(world: World) {
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let opened = gate.clone();
    let handler = Handler::new(move |jobs: Vec<Attempt<Work>>| {
        let (say, gate) = (say.clone(), opened.clone());
        async move {
            say.say(names(&jobs));
            gate.opened().await;
        }
    });
    let _worker = world
        .work(handler.config(HandlerConfig::DEFAULT.concurrency(4)))
        .await;
    let early = world.create(work("early").key("k")).await;
    assert_eq!(heard.next().await, ["early"]);
    let late = create(&world, ["late", "later"].map(|name| work(name).key("k"))).await;
    // One of another key is not delayed, and shows that there was room.
    world.create(work("other").key("l")).await;
    assert_eq!(heard.next().await, ["other"]);
    gate.open();
    world.done(&early).await;
    for id in &late {
        world.done(id).await;
    }
    assert_eq!(heard.rest(), [["late", "later"]]);
}

async fn tasks_without_a_key_come_alone(world: World) {
    let ids = create(&world, ["a", "b", "c"].map(work)).await;
    let (say, mut heard) = line();
    let _worker = world.work(telling(say)).await;
    for id in &ids {
        world.done(id).await;
    }
    assert_eq!(heard.rest(), [["a"], ["b"], ["c"]]);
}

async fn cancelled_ones_are_cleaned_up_after_one_by_one(world: World) {
    let ids = create(&world, ["a", "b", "c", "d"].map(|name| work(name).key("k"))).await;
    world.cancel(&ids[1]).await;
    world.cancel(&ids[3]).await;
    let (say, mut heard) = line();
    let cleanup = say.clone();
    let handler = telling(say).on_cancel(move |task: Work| {
        let say = cleanup.clone();
        async move { say.say(vec!["cleanup".to_owned(), task.name]) }
    });
    let _worker = world.work(handler).await;
    for id in &ids {
        world.done(id).await;
    }
    let mut said = heard.rest();
    said.sort();
    assert_eq!(said, [["a", "c"], ["cleanup", "b"], ["cleanup", "d"]]);
}

async fn the_call_is_told_when_all_are_cancelled(world: World) {
    let (say, mut heard) = line();
    let handler = Handler::new(move |jobs: Vec<Attempt<Work>>, cx: Context| {
        let say = say.clone();
        async move {
            say.say("began");
            cx.cancelled().await;
            say.say("told");
            drop(jobs);
        }
    });
    let ids = create(&world, ["a", "b"].map(|name| work(name).key("k"))).await;
    let (client, knobs) = crate::flaky::flaky(&world.client);
    let _worker = start(builder(&client).handler(handler)).await;
    assert_eq!(heard.next().await, "began");
    world.cancel(&ids[0]).await;
    crate::world::until(|| !knobs.renewed.lock().expect("no test panics with it").is_empty()).await;
    assert_eq!(heard.rest(), [""; 0], "one of them still matters");
    world.cancel(&ids[1]).await;
    assert_eq!(heard.next().await, "told");
    for id in &ids {
        assert_eq!(status(&world, &world.done(id).await), Status::Cancelled);
    }
}

async fn one_deleted_leaves_the_others_alone(world: World) {
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let opened = gate.clone();
    let handler = Handler::new(move |jobs: Vec<Attempt<Work>>| {
        let (say, gate) = (say.clone(), opened.clone());
        async move {
            say.say(jobs.len());
            gate.opened().await;
            Ok::<_, HandlerError>(jobs.len())
        }
    });
    let ids = create(&world, ["a", "b", "c"].map(|name| work(name).key("k"))).await;
    let _worker = world.work(handler).await;
    assert_eq!(heard.next().await, 3);
    world.client.delete(&ids[1]).await.expect("the store answers");
    gate.open();
    for id in [&ids[0], &ids[2]] {
        let task = world.done(id).await;
        assert_eq!((status(&world, &task), task.attempts()), (Status::Completed, 1));
    }
    assert_eq!(world.client.get(&ids[1]).await.expect("the store answers"), None);
}

/// Tasks of the kind `Work` that a handler of [`Work`] cannot read.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct NewWork {
    id: u32,
    key: String,
}

impl OnceTask for NewWork {
    const KIND: &'static str = Work::KIND;

    fn id(&self) -> TaskId {
        TaskId::new(format!("new:{}", self.id))
    }

    fn resource_key(&self) -> Option<oncetask::ResourceKey> {
        oncetask::ResourceKey::new(&self.key)
    }
}

async fn one_that_cannot_be_read_is_put_off_alone(world: World) {
    let ids = create(&world, ["a", "b"].map(|name| work(name).key("k"))).await;
    let unreadable = world
        .create(NewWork {
            id: 7,
            key: "k".into(),
        })
        .await;
    let last = world.create(work("c").key("k")).await;
    let (say, mut heard) = line();
    let _worker = world.work(telling(say)).await;
    for id in ids.iter().chain([&last]) {
        assert_eq!(status(&world, &world.done(id).await), Status::Completed);
    }
    assert_eq!(heard.rest(), [["a", "b", "c"]]);
    let task = world.until(&unreadable, |task| task.state.lease.is_none()).await;
    assert_eq!(
        (task.attempts(), task.state.deferrals, task.errors().len()),
        (0, 1, 0)
    );
}

async fn a_panic_is_an_error_for_all(world: World) {
    let ids = create(&world, ["a", "b"].map(|name| work(name).key("k"))).await;
    let handler = Handler::new(|jobs: Vec<Attempt<Work>>| async move {
        assert!(jobs.iter().all(|job| job.attempt > 1), "the first call panics");
    });
    let _worker = world.work(handler.config(attempts(2))).await;
    for id in &ids {
        let task = world.done(id).await;
        assert_eq!(status(&world, &task), Status::Completed);
        assert!(
            task.errors()[0].error.contains("the first call panics"),
            "{:?}",
            task.errors()
        );
    }
}

async fn a_shutdown_gives_all_back(world: World) {
    let (say, mut heard) = line();
    let handler = Handler::new(move |jobs: Vec<Attempt<Work>>| {
        let say = say.clone();
        async move {
            say.say(jobs.len());
            std::future::pending::<()>().await;
        }
    });
    let ids = create(&world, ["a", "b"].map(|name| work(name).key("k"))).await;
    let worker = start(builder(&world.client).grace(Duration::ZERO).handler(handler)).await;
    assert_eq!(heard.next().await, 2);
    worker.shutdown().await;
    for id in &ids {
        let task = world.task(id).await;
        assert_eq!((status(&world, &task), task.attempts()), (Status::Pending, 0));
    }
}

async fn a_crashed_group_is_run_again(world: World) {
    let ids = create(&world, ["a", "b"].map(|name| work(name).key("k"))).await;
    let demand = oncetask::store::Demand {
        kinds: vec![Work::KIND.into()],
        max_claims: 1,
        max_group: 10,
        lease: TimeDelta::milliseconds(100),
        generators_only: false,
    };
    let request = oncetask::store::ClaimRequest {
        owner: "dead:1".into(),
        now: world.client.clock().now(),
        demands: vec![demand],
    };
    let claimed = world
        .client
        .store()
        .claim(request)
        .await
        .expect("the store answers");
    assert_eq!(claimed.claims[0].tasks.len(), 2);
    let (say, mut heard) = line();
    let _worker = world.work(telling(say)).await;
    for id in &ids {
        let task = world.done(id).await;
        assert_eq!(
            (status(&world, &task), task.attempts(), task.errors().len()),
            (Status::Completed, 2, 1)
        );
    }
    assert_eq!(heard.rest(), [["a", "b"]]);
}
