//! When tasks run: not before their instants, in order, and no busy key before the others.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::{Attempt, Handler, HandlerConfig, Retry};

use crate::on_every_store;
use crate::world::{
    Gate, Other, Say, Work, World, attempts, builder, line, naming, other, start, until, work,
};

on_every_store!(
    a_retry_runs_at_its_instant_and_not_before,
    a_task_of_the_future_runs_at_its_instant_and_not_before,
    a_task_of_the_past_runs_at_once,
    the_earliest_due_first_and_of_those_the_oldest,
    a_busy_key_delays_no_other,
    a_busy_kind_delays_no_other,
    no_more_at_once_than_the_concurrency,
    tasks_of_a_key_never_run_at_the_same_time,
    each_kind_wakes_up_for_its_own,
    an_alias_is_claimed_too,
    many_at_one_instant_all_run,
);

/// A handler that says when it runs.
fn timed(say: Say<(String, DateTime<Utc>)>) -> Handler {
    Handler::new(move |task: Work| {
        let say = say.clone();
        async move { say.say((task.name, oncetask::Clock::system().now())) }
    })
}

async fn a_retry_runs_at_its_instant_and_not_before(world: World) {
    let (say, mut heard) = line();
    let handler = Handler::new(move |job: Attempt<Work>, client: oncetask::Client| {
        let say = say.clone();
        async move {
            let now = oncetask::Clock::system().now();
            let stored = client
                .get(&job.id)
                .await
                .expect("the store answers")
                .expect("it is stored");
            say.say((now, stored.state.wait_until));
            if job.attempt < 4 { Err("again") } else { Ok(()) }
        }
    });
    let backoff = Retry::exponential()
        .base(Duration::from_millis(20))
        .max_attempts(4);
    let _worker = world
        .work(handler.config(HandlerConfig::DEFAULT.retry(backoff)))
        .await;
    let task = world.done(&world.create(work("a")).await).await;
    let runs = heard.rest();
    assert_eq!(runs.len(), 4);
    for (error, (ran, wait_until)) in task.errors().iter().zip(&runs[1..]) {
        let backoff = TimeDelta::milliseconds(20 << (error.attempt - 1));
        // The verdict is reached a moment before it is stored.
        assert!(*wait_until <= error.at + backoff, "{wait_until} {error:?}");
        assert!(ran >= wait_until, "{ran} before {wait_until}");
    }
}

async fn a_task_of_the_future_runs_at_its_instant_and_not_before(world: World) {
    let (say, mut heard) = line();
    let _worker = world.work(timed(say)).await;
    let now = world.client.clock().now();
    let at = |millis| now + TimeDelta::milliseconds(millis);
    // All at once: the first has to be there before the second is due.
    let tasks = [
        work("second").at(at(300)),
        work("first").at(at(150)),
        work("never").at(now + TimeDelta::days(365)),
    ];
    world.client.create_many(tasks).await.expect("the store answers");
    let (first, second) = (heard.next().await, heard.next().await);
    assert_eq!((first.0.as_str(), second.0.as_str()), ("first", "second"));
    assert!(first.1 >= at(150) && second.1 >= at(300));
}

async fn a_task_of_the_past_runs_at_once(world: World) {
    let (say, mut heard) = line();
    let _worker = world.work(naming(say)).await;
    world.create(work("a").at(DateTime::UNIX_EPOCH)).await;
    assert_eq!(heard.next().await, "a");
}

async fn the_earliest_due_first_and_of_those_the_oldest(world: World) {
    let now = world.client.clock().now();
    let ago = |minutes| now - TimeDelta::minutes(minutes);
    for task in [
        work("4").at(ago(1)),
        work("2").at(ago(5)),
        work("3").at(ago(5)).key("k"),
        work("1").at(ago(9)).key("another"),
        work("5"),
    ] {
        world.create(task).await;
    }
    let (say, mut heard) = line();
    let _worker = world.work(naming(say)).await;
    for expected in ["1", "2", "3", "4", "5"] {
        assert_eq!(heard.next().await, expected);
    }
}

/// A handler that says the name of each task, and keeps those of the key `busy` waiting.
fn keyed(say: Say<String>, gate: Gate) -> Handler {
    Handler::new(move |task: Work| {
        let (say, gate) = (say.clone(), gate.clone());
        async move {
            say.say(task.name);
            if task.key.as_deref() == Some("busy") {
                gate.opened().await;
            }
        }
    })
}

async fn a_busy_key_delays_no_other(world: World) {
    let ((say, mut heard), gate) = (line(), Gate::closed());
    for number in 0..20 {
        world.create(work(format!("busy {number}")).key("busy")).await;
    }
    world.create(work("other").key("idle")).await;
    world.create(work("none")).await;
    let handler = keyed(say, gate.clone()).config(HandlerConfig::DEFAULT.concurrency(2));
    let _worker = world.work(handler).await;
    let mut first = [heard.next().await, heard.next().await, heard.next().await];
    first.sort();
    assert_eq!(first, ["busy 0", "none", "other"]);
    assert_eq!(heard.rest(), [""; 0]);
    gate.open();
    for number in 1..20 {
        assert_eq!(heard.next().await, format!("busy {number}"));
    }
}

async fn a_busy_kind_delays_no_other(world: World) {
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let (begins, others) = (say.clone(), say);
    let (blocked, opened) = (gate.clone(), gate);
    let slow = Handler::new(move |task: Work| {
        let (say, gate) = (begins.clone(), blocked.clone());
        async move {
            say.say(task.name);
            gate.opened().await;
        }
    });
    let quick = Handler::new(move |task: Other| {
        let say = others.clone();
        async move { say.say(task.name) }
    });
    let _worker = start(builder(&world.client).handler(slow).handler(quick)).await;
    for number in 0..5 {
        world.create(work(format!("slow {number}"))).await;
    }
    assert_eq!(heard.next().await, "slow 0");
    for number in 0..5 {
        world.create(other(format!("quick {number}"))).await;
        assert_eq!(heard.next().await, format!("quick {number}"));
    }
    opened.open();
}

async fn no_more_at_once_than_the_concurrency(world: World) {
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let opened = gate.clone();
    let running = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let handler = Handler::new(move |_: Work| {
        let (say, gate, running) = (say.clone(), opened.clone(), running.clone());
        async move {
            say.say(running.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1);
            gate.opened().await;
            tokio::task::yield_now().await;
            running.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        }
    });
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(world.create(work(format!("{number}"))).await);
    }
    let _worker = world
        .work(handler.config(HandlerConfig::DEFAULT.concurrency(3)))
        .await;
    let mut first = [heard.next().await, heard.next().await, heard.next().await];
    first.sort_unstable();
    assert_eq!(first, [1, 2, 3]);
    gate.open();
    for id in &ids {
        world.done(id).await;
    }
    let most = heard.rest().into_iter().max();
    assert!(most <= Some(3), "{most:?} at once");
}

async fn tasks_of_a_key_never_run_at_the_same_time(world: World) {
    let (say, mut heard) = line();
    let running = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let handler = || {
        let (say, running) = (say.clone(), running.clone());
        let handler = Handler::new(move |_: Work| {
            let (say, running) = (say.clone(), running.clone());
            async move {
                say.say(running.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                running.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
            }
        });
        handler.config(attempts(1).concurrency(8))
    };
    let _one = world.work(handler()).await;
    let _two = start(builder(&world.another().await).handler(handler())).await;
    let mut ids = Vec::new();
    for number in 0..60 {
        ids.push(world.create(work(format!("{number}")).key("k")).await);
    }
    for id in &ids {
        assert_eq!(world.done(id).await.attempts(), 1);
    }
    assert_eq!(heard.rest(), [0; 60], "nobody else ran");
}

async fn each_kind_wakes_up_for_its_own(world: World) {
    let (say, mut heard) = line();
    let others = say.clone();
    let quick = Handler::new(move |task: Other| {
        let say = others.clone();
        async move { say.say(task.name) }
    });
    let _worker = start(builder(&world.client).handler(naming(say)).handler(quick)).await;
    let now = world.client.clock().now();
    world.create(work("later").at(now + TimeDelta::hours(1))).await;
    world
        .create(work("soon").at(now + TimeDelta::milliseconds(120)))
        .await;
    world.create(other("now")).await;
    let mut names = [heard.next().await, heard.next().await];
    names.sort();
    assert_eq!(names, ["now", "soon"], "whichever was first on a busy machine");
}

#[derive(Debug, serde::Serialize, serde::Deserialize, oncetask::OnceTask)]
#[task(kind = "Renamed", alias = "Other")]
#[id("other:{name}")]
struct Renamed {
    name: String,
}

async fn an_alias_is_claimed_too(world: World) {
    let (say, mut heard) = line();
    world.create(other("stored under the old name")).await;
    let handler = Handler::new(move |task: Renamed| {
        let say = say.clone();
        async move { say.say(task.name) }
    });
    let _worker = start(builder(&world.client).handler(handler)).await;
    assert_eq!(heard.next().await, "stored under the old name");
    world.create(Renamed { name: "new".into() }).await;
    assert_eq!(heard.next().await, "new");
    world.create(other("by an older process")).await;
    assert_eq!(heard.next().await, "by an older process");
}

async fn many_at_one_instant_all_run(world: World) {
    let (say, mut heard) = line();
    let _worker = world
        .work(naming(say).config(HandlerConfig::DEFAULT.concurrency(7)))
        .await;
    let at = world.client.clock().now() + TimeDelta::milliseconds(100);
    let tasks = (0..300).map(|number| work(format!("{number}")).at(at));
    world.client.create_many(tasks).await.expect("the store answers");
    let mut names = std::collections::HashSet::new();
    for _ in 0..300 {
        assert!(names.insert(heard.next().await), "each runs once");
    }
    until(|| world.client.clock().now() >= at).await;
}
