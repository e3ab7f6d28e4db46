//! The start of a worker: refused handlers, unknown kinds, and generators that are created at start.

use chrono::TimeDelta;
use oncetask::{Client, Context, Error, Handler, OnceTask, Recurrence, Schedule, State};
use serde::{Deserialize, Serialize};
use tests::harness::wait::{until, within};
use tests::harness::{
    Fixture, Other, Reporter, Work, builder, name_reporting_handler, other, reports, start, work,
};
use tests::on_every_store;

use crate::logs;

on_every_store!(
    every_mistake_is_reported_at_once,
    tasks_of_an_unknown_kind_are_logged_and_not_claimed,
    aliases_and_kinds_of_other_workers_are_not_unknown,
    only_restricts_the_kinds,
    an_at_start_generator_is_created_once,
    an_at_start_generator_adopts_a_changed_rule,
    a_cancelled_at_start_generator_stays_cancelled,
);

#[derive(Clone)]
struct Pool;

#[derive(Clone)]
struct Mailer;

async fn every_mistake_is_reported_at_once(fixture: Fixture) {
    let handlers = [
        Handler::new(|_: Work, _: State<Pool>, _: State<Mailer>| async {}),
        Handler::new(|_: Work| async {}),
        Handler::new(|_: Other| async {}).on_cancel(|_: Work| async {}),
    ];
    let worker = handlers
        .into_iter()
        .fold(builder(&fixture.client), oncetask::WorkerBuilder::handler);
    let error = worker.start().await.expect_err("the worker must not start");
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
    let located = problems
        .iter()
        .filter(|problem| problem.contains("runtime/startup.rs:"));
    assert_eq!(
        located.count(),
        problems.len(),
        "a problem without its location: {error}"
    );
}

async fn tasks_of_an_unknown_kind_are_logged_and_not_claimed(fixture: Fixture) {
    #[derive(Debug, Serialize, Deserialize)]
    struct Unknown;

    impl OnceTask for Unknown {
        const KIND: &'static str = "UnknownKind";

        fn id(&self) -> oncetask::TaskId {
            "unknown".into()
        }
    }

    logs::record();
    let id = fixture.create(Unknown).await;
    let (reporter, mut received) = reports();
    let _worker = fixture.work(name_reporting_handler(reporter)).await;
    fixture.create(work("a")).await;
    assert_eq!(received.next().await, "a");
    until(|| !logs::lines(&["WARN", "UnknownKind"]).is_empty()).await;
    assert_eq!(fixture.task(&id).await.attempts(), 0);
}

async fn aliases_and_kinds_of_other_workers_are_not_unknown(fixture: Fixture) {
    macro_rules! task {
        ($name:ident, $kind:literal, $aliases:expr) => {
            #[derive(Debug, Serialize, Deserialize)]
            struct $name;

            impl OnceTask for $name {
                const KIND: &'static str = $kind;
                const ALIASES: &'static [&'static str] = $aliases;

                fn id(&self) -> oncetask::TaskId {
                    $kind.into()
                }
            }
        };
    }
    task!(Former, "FormerName", &[]);
    task!(Current, "CurrentName", &["FormerName"]);
    task!(Stray, "StrayKind", &[]);

    logs::record();
    let former = fixture.create(Former).await;
    fixture.create(Stray).await;
    // `Mine` is a type of this program, but this worker does not run it.
    fixture.create(Mine { name: "a".into() }).await;
    let _worker = fixture.work(Handler::new(|_: Current| async {})).await;
    fixture.done(&former).await;
    until(|| !logs::lines(&["WARN", "StrayKind"]).is_empty()).await;
    assert_eq!(logs::lines(&["WARN", "FormerName"]), [""; 0]);
    assert_eq!(logs::lines(&["WARN", "kind=Mine"]), [""; 0]);
}

/// The state through which the derived handlers of this file send their reports.
#[derive(Clone)]
struct Log(Reporter<String>);

#[derive(Debug, Serialize, Deserialize, OnceTask)]
#[id("mine:{name}")]
#[handler]
struct Mine {
    name: String,
}

impl Mine {
    #[expect(clippy::unused_async, reason = "a handler is an async function")]
    async fn run(self, log: State<Log>) {
        log.0.0.report(format!("mine {}", self.name));
    }
}

#[derive(Debug, Serialize, Deserialize, OnceTask)]
#[id("nightly")]
#[recurrence("FREQ=DAILY;BYHOUR=3;BYMINUTE=0;BYSECOND=0", tz = "Europe/Paris", at_start)]
#[handler]
struct Nightly;

impl Nightly {
    #[expect(clippy::unused_async, reason = "a handler is an async function")]
    async fn run(self, cx: Context, log: State<Log>) {
        log.0.0.report(format!("{:?}", cx.id()));
    }
}

/// Returns the builder of a worker with the derived handlers of these kinds.
fn derived(client: &Client, kinds: &[&str], reporter: &Reporter<String>) -> oncetask::WorkerBuilder {
    oncetask::builder()
        .only(kinds)
        .client(client.clone())
        .state(Log(reporter.clone()))
}

async fn only_restricts_the_kinds(fixture: Fixture) {
    let (reporter, mut received) = reports();
    fixture.create(Mine { name: "a".into() }).await;
    let unclaimed = fixture.create(other("b")).await;
    let _worker = start(derived(&fixture.client, &["Mine"], &reporter)).await;
    assert_eq!(received.next().await, "mine a");
    assert_eq!(fixture.task(&unclaimed).await.attempts(), 0);
    assert_eq!(
        fixture.client.get("nightly").await.expect("the store answers"),
        None
    );
}

async fn an_at_start_generator_is_created_once(fixture: Fixture) {
    let (reporter, _received) = reports();
    for _ in 0..3 {
        let worker = start(derived(&fixture.client, &["Nightly"], &reporter)).await;
        within(worker.shutdown()).await;
    }
    let task = fixture.task("nightly").await;
    let rule = task.spec.recurrence.expect("a generator");
    assert_eq!(rule.rule(), "FREQ=DAILY;BYHOUR=3;BYMINUTE=0;BYSECOND=0");
    assert!(task.state.wait_until > task.spec.created_at);
    assert!(task.state.wait_until <= task.spec.created_at + TimeDelta::hours(25));
}

/// The generator with the rule of an older version of the program.
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

async fn an_at_start_generator_adopts_a_changed_rule(fixture: Fixture) {
    logs::record();
    fixture.create(Hourly).await;
    let (reporter, _received) = reports();
    let worker = start(derived(&fixture.client, &["Nightly"], &reporter)).await;
    within(worker.shutdown()).await;
    let followed = fixture.task("nightly").await;
    let rule = followed.spec.recurrence.clone().expect("a generator");
    assert_eq!(rule.rule(), "FREQ=DAILY;BYHOUR=3;BYMINUTE=0;BYSECOND=0");
    assert_eq!(
        Some(followed.state.wait_until),
        rule.after(fixture.client.clock().now())
    );
    let logged = logs::lines(&["INFO", "FREQ=HOURLY", "FREQ=DAILY", "nightly"]);
    assert!(!logged.is_empty(), "the old rule and the new rule are logged");
    // Another start with the same rule changes nothing.
    let worker = start(derived(&fixture.client, &["Nightly"], &reporter)).await;
    within(worker.shutdown()).await;
    assert_eq!(fixture.task("nightly").await, followed);
}

async fn a_cancelled_at_start_generator_stays_cancelled(fixture: Fixture) {
    let id = fixture.create(Hourly).await;
    fixture.cancel(&id).await;
    let cancelled = fixture.task(&id).await;
    let (reporter, _received) = reports();
    let worker = start(derived(&fixture.client, &["Nightly"], &reporter)).await;
    within(worker.shutdown()).await;
    assert_eq!(fixture.task(&id).await, cancelled);
}
