//! The beginning of a worker: what it refuses, what it finds, and what it creates.

use chrono::TimeDelta;
use oncetask::{Client, Context, Error, Handler, OnceTask, Recurrence, Schedule, State};
use serde::{Deserialize, Serialize};

use crate::world::{Other, Say, Work, World, builder, line, other, start, within, work};
use crate::{logs, on_every_store};

on_every_store!(
    everything_that_is_wrong_is_told_at_once,
    a_kind_that_nobody_knows_is_warned_of_and_left_alone,
    only_these_kinds_run,
    at_start_a_generator_is_created_once,
    at_start_a_changed_rule_is_followed,
    at_start_a_generator_that_was_cancelled_stays_so,
);

#[derive(Clone)]
struct Pool;

#[derive(Clone)]
struct Mailer;

async fn everything_that_is_wrong_is_told_at_once(world: World) {
    let handlers = [
        Handler::new(|_: Work, _: State<Pool>, _: State<Mailer>| async {}),
        Handler::new(|_: Work| async {}),
        Handler::new(|_: Other| async {}).on_cancel(|_: Work| async {}),
    ];
    let worker = handlers
        .into_iter()
        .fold(builder(&world.client), oncetask::WorkerBuilder::handler);
    let error = worker.start().await.expect_err("nothing of it can run");
    let Error::Start(error) = error else {
        panic!("{error}")
    };
    let problems = error.problems();
    assert_eq!(problems.len(), 4, "{error}");
    for part in [
        "Pool",
        "Mailer",
        "two handlers",
        "cleanup handler of another kind",
    ] {
        assert!(
            problems.iter().any(|problem| problem.contains(part)),
            "no `{part}` in {error}"
        );
    }
    let places = problems
        .iter()
        .filter(|problem| problem.contains("runtime/start_up.rs:"));
    assert_eq!(places.count(), problems.len(), "each with its place: {error}");
}

async fn a_kind_that_nobody_knows_is_warned_of_and_left_alone(world: World) {
    #[derive(Debug, Serialize, Deserialize)]
    struct Strange;

    impl OnceTask for Strange {
        const KIND: &'static str = "KindThatNobodyKnows";

        fn id(&self) -> oncetask::TaskId {
            "strange".into()
        }
    }

    logs::listen();
    let id = world.create(Strange).await;
    let (say, mut heard) = line();
    let _worker = world.work(crate::world::naming(say)).await;
    world.create(work("a")).await;
    assert_eq!(heard.next().await, "a");
    crate::world::until(|| !logs::lines(&["WARN", "KindThatNobodyKnows", "leaves them alone"]).is_empty())
        .await;
    assert_eq!(world.task(&id).await.attempts(), 0);
}

/// Whom the types of this file tell what they do.
#[derive(Clone)]
struct Teller(Say<String>);

#[derive(Debug, Serialize, Deserialize, OnceTask)]
#[id("mine:{name}")]
#[handler]
struct Mine {
    name: String,
}

impl Mine {
    #[expect(clippy::unused_async, reason = "a handler is an async function")]
    async fn run(self, teller: State<Teller>) {
        teller.0.0.say(format!("mine {}", self.name));
    }
}

#[derive(Debug, Serialize, Deserialize, OnceTask)]
#[id("nightly")]
#[recurrence("FREQ=DAILY;BYHOUR=3;BYMINUTE=0;BYSECOND=0", tz = "Europe/Paris", at_start)]
#[handler]
struct Nightly;

impl Nightly {
    #[expect(clippy::unused_async, reason = "a handler is an async function")]
    async fn run(self, cx: Context, teller: State<Teller>) {
        teller.0.0.say(format!("{:?}", cx.id()));
    }
}

/// A worker of the types that this file derives.
fn discovered(client: &Client, kinds: &[&str], say: &Say<String>) -> oncetask::WorkerBuilder {
    oncetask::builder()
        .only(kinds)
        .client(client.clone())
        .state(Teller(say.clone()))
}

async fn only_these_kinds_run(world: World) {
    let (say, mut heard) = line();
    let (mine, others) = (Mine { name: "a".into() }, other("b"));
    world.create(mine).await;
    let left = world.create(others).await;
    let _worker = start(discovered(&world.client, &["Mine"], &say)).await;
    assert_eq!(heard.next().await, "mine a");
    assert_eq!(world.task(&left).await.attempts(), 0);
    assert_eq!(
        world
            .client
            .get(&"nightly".into())
            .await
            .expect("the store answers"),
        None
    );
}

async fn at_start_a_generator_is_created_once(world: World) {
    let (say, _heard) = line();
    for _ in 0..3 {
        let worker = start(discovered(&world.client, &["Nightly"], &say)).await;
        within(worker.shutdown()).await;
    }
    let task = world.task(&"nightly".into()).await;
    let rule = task.spec.recurrence.expect("it is a generator");
    assert_eq!(rule.rule(), "FREQ=DAILY;BYHOUR=3;BYMINUTE=0;BYSECOND=0");
    assert!(task.state.wait_until > task.spec.created_at);
    assert!(task.state.wait_until <= task.spec.created_at + TimeDelta::hours(25));
}

/// The generator as an older version of the program created it.
#[derive(Debug, Serialize, Deserialize)]
struct Hourly;

impl OnceTask for Hourly {
    const KIND: &'static str = Nightly::KIND;

    fn id(&self) -> oncetask::TaskId {
        Nightly.id()
    }

    fn schedule(&self) -> Schedule {
        let rule = Recurrence::new("FREQ=HOURLY;BYMINUTE=30;BYSECOND=0");
        Schedule::Recurring(rule.expect("a rule"))
    }
}

async fn at_start_a_changed_rule_is_followed(world: World) {
    logs::listen();
    world.create(Hourly).await;
    let (say, _heard) = line();
    let worker = start(discovered(&world.client, &["Nightly"], &say)).await;
    within(worker.shutdown()).await;
    let followed = world.task(&"nightly".into()).await;
    let rule = followed.spec.recurrence.clone().expect("it is a generator");
    assert_eq!(rule.rule(), "FREQ=DAILY;BYHOUR=3;BYMINUTE=0;BYSECOND=0");
    assert_eq!(
        Some(followed.state.wait_until),
        rule.after(world.client.clock().now())
    );
    let told = logs::lines(&[
        "rule replaced by the rule in the code",
        "FREQ=HOURLY",
        "FREQ=DAILY",
        "nightly",
    ]);
    assert!(!told.is_empty(), "old rule and new rule are logged");
    // A start with the same rule changes nothing.
    let worker = start(discovered(&world.client, &["Nightly"], &say)).await;
    within(worker.shutdown()).await;
    assert_eq!(world.task(&"nightly".into()).await, followed);
}

async fn at_start_a_generator_that_was_cancelled_stays_so(world: World) {
    let id = world.create(Hourly).await;
    world.cancel(&id).await;
    let cancelled = world.task(&id).await;
    let (say, _heard) = line();
    let worker = start(discovered(&world.client, &["Nightly"], &say)).await;
    within(worker.shutdown()).await;
    assert_eq!(world.task(&id).await, cancelled);
}
