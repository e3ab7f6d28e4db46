//! Payloads that a worker cannot read, as in a rolling deployment.

use chrono::TimeDelta;
use oncetask::{Handler, OnceTask, Status, TaskId};
use serde::{Deserialize, Serialize};
use tests::harness::{Fixture, builder, reports, start};
use tests::on_every_store;

use crate::logs;

on_every_store!(
    an_unreadable_payload_is_deferred_without_an_attempt,
    deferrals_grow_from_a_minute_to_an_hour,
    a_newer_worker_runs_a_deferred_task,
    a_panic_in_deserialize_defers_the_task,
);

/// The payload as the older worker reads it.
#[derive(Debug, Serialize, Deserialize)]
struct Old {
    name: String,
    amount: u32,
}

/// The payload as the newer worker reads and writes it.
#[derive(Debug, Serialize, Deserialize)]
struct New {
    name: String,
    amount: String,
}

impl OnceTask for Old {
    const KIND: &'static str = "Rolling";

    fn id(&self) -> TaskId {
        TaskId::new(format!("rolling:{}", self.name))
    }
}

impl OnceTask for New {
    const KIND: &'static str = "Rolling";

    fn id(&self) -> TaskId {
        TaskId::new(format!("rolling:{}", self.name))
    }
}

fn new(name: &str) -> New {
    New {
        name: name.into(),
        amount: "seven".into(),
    }
}

fn old_handler() -> Handler {
    Handler::new(|_: Old| async { Err::<(), _>("it cannot be read") })
}

async fn an_unreadable_payload_is_deferred_without_an_attempt(fixture: Fixture) {
    logs::record();
    let name = format!("logged on {}", fixture.client.store().address());
    let _worker = start(builder(&fixture.client).handler(old_handler())).await;
    let id = fixture.create(new(&name)).await;
    let task = fixture.until(&id, |task| task.state.deferrals == 1).await;
    assert_eq!((task.attempts(), task.errors().len()), (0, 0));
    let now = fixture.client.clock().now();
    assert_eq!(task.status(now), Status::Waiting);
    let minute = task.state.wait_until - task.spec.created_at;
    assert!(minute >= TimeDelta::minutes(1) && task.state.wait_until <= now + TimeDelta::minutes(1));
    let warnings = logs::lines(&["WARN", &name, "Rolling", "amount"]);
    assert!(
        !warnings.is_empty(),
        "a warning with the id, the kind and the path"
    );
}

async fn deferrals_grow_from_a_minute_to_an_hour(fixture: Fixture) {
    let id = fixture.create(new("deferred")).await;
    let mut minutes = Vec::new();
    let mut ahead = TimeDelta::zero();
    for deferrals in 1..=8 {
        let client = fixture.client_ahead(ahead);
        let now = client.clock().now();
        let worker = start(builder(&client).handler(old_handler())).await;
        let task = fixture.until(&id, |task| task.state.deferrals == deferrals).await;
        worker.shutdown().await;
        minutes.push((task.state.wait_until - now).num_minutes());
        ahead += TimeDelta::minutes(61);
    }
    assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 60, 60]);
}

async fn a_newer_worker_runs_a_deferred_task(fixture: Fixture) {
    let older = start(builder(&fixture.client).handler(old_handler())).await;
    let id = fixture.create(new("shared")).await;
    fixture.until(&id, |task| task.state.deferrals == 1).await;
    let (reporter, mut received) = reports();
    let handler = Handler::new(move |task: New| {
        let reporter = reporter.clone();
        async move { reporter.report(task.amount) }
    });
    // On this clock, the deferral of one minute has passed.
    let later = fixture.client_ahead(TimeDelta::minutes(2));
    let _newer = start(builder(&later).handler(handler)).await;
    assert_eq!(received.next().await, "seven");
    let task = fixture.done(&id).await;
    assert_eq!((task.attempts(), task.state.deferrals), (1, 0));
    older.shutdown().await;
}

/// A payload whose `Deserialize` panics for some names.
#[derive(Debug, Serialize, OnceTask)]
#[id("fragile:{name}")]
struct Fragile {
    name: String,
    #[resource_key]
    key: String,
}

impl<'de> Deserialize<'de> for Fragile {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut fields = std::collections::HashMap::<String, String>::deserialize(from)?;
        let mut field = |name: &str| fields.remove(name).expect("every field exists");
        let (name, key) = (field("name"), field("key"));
        assert!(!name.contains("unreadable"), "deserialize panics");
        Ok(Self { name, key })
    }
}

async fn a_panic_in_deserialize_defers_the_task(fixture: Fixture) {
    logs::record();
    let names = ["sound", "unreadable fragile one", "whole"];
    let mut ids = Vec::new();
    for name in names {
        let (name, key) = (name.to_owned(), "k".to_owned());
        ids.push(fixture.create(Fragile { name, key }).await);
    }
    let (reporter, mut received) = reports();
    let handler = Handler::new(move |tasks: Vec<Fragile>| {
        let reporter = reporter.clone();
        async move { reporter.report(tasks.into_iter().map(|task| task.name).collect::<Vec<_>>()) }
    });
    let _worker = start(builder(&fixture.client).handler(handler)).await;
    let task = fixture.until(&ids[1], |task| task.state.deferrals == 1).await;
    assert_eq!((task.attempts(), task.errors().len()), (0, 0));
    for id in [&ids[0], &ids[2]] {
        let task = fixture.done(id).await;
        assert_eq!((task.attempts(), task.errors().len()), (1, 0), "{id}");
    }
    assert_eq!(received.drain(), [["sound", "whole"]]);
    let warnings = logs::lines(&[
        "WARN",
        "unreadable fragile one",
        "deferrals.rs",
        "deserialize panics",
    ]);
    assert!(
        !warnings.is_empty(),
        "a warning with the id, the location and the panic"
    );
}
