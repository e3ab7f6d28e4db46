//! Payloads that a worker cannot read, as in a rolling deploy.

use chrono::TimeDelta;
use oncetask::{Handler, OnceTask, Status, TaskId};
use serde::{Deserialize, Serialize};

use crate::world::{World, builder, line, start};
use crate::{logs, on_every_store};

on_every_store!(
    it_is_put_off_without_spending_an_attempt,
    it_is_put_off_for_longer_each_time,
    a_worker_that_can_read_it_runs_it,
    a_reader_that_panics_is_one_that_cannot_read,
);

/// What the older worker knows.
#[derive(Debug, Serialize, Deserialize)]
struct Old {
    name: String,
    amount: u32,
}

/// What the newer worker knows.
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

async fn it_is_put_off_without_spending_an_attempt(world: World) {
    logs::listen();
    let name = format!("warned of on {}", world.client.store().address());
    let _worker = start(builder(&world.client).handler(old_handler())).await;
    let id = world.create(new(&name)).await;
    let task = world.until(&id, |task| task.state.deferrals == 1).await;
    assert_eq!((task.attempts(), task.errors().len()), (0, 0));
    let now = world.client.clock().now();
    assert_eq!(task.status(now), Status::Waiting);
    let minute = task.state.wait_until - task.spec.created_at;
    assert!(minute >= TimeDelta::minutes(1) && task.state.wait_until <= now + TimeDelta::minutes(1));
    let warnings = logs::lines(&["WARN", &name, "Rolling", "amount", "cannot read the payload"]);
    assert!(
        !warnings.is_empty(),
        "a warning with the id, the kind and the path"
    );
}

async fn it_is_put_off_for_longer_each_time(world: World) {
    let id = world.create(new("patient")).await;
    let mut minutes = Vec::new();
    let mut ahead = TimeDelta::zero();
    for deferrals in 1..=8 {
        let client = world.ahead(ahead);
        let now = client.clock().now();
        let worker = start(builder(&client).handler(old_handler())).await;
        let task = world.until(&id, |task| task.state.deferrals == deferrals).await;
        worker.shutdown().await;
        minutes.push((task.state.wait_until - now).num_minutes());
        ahead += TimeDelta::minutes(61);
    }
    assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 60, 60]);
}

async fn a_worker_that_can_read_it_runs_it(world: World) {
    let older = start(builder(&world.client).handler(old_handler())).await;
    let id = world.create(new("shared")).await;
    world.until(&id, |task| task.state.deferrals == 1).await;
    let (say, mut heard) = line();
    let handler = Handler::new(move |task: New| {
        let say = say.clone();
        async move { say.say(task.amount) }
    });
    // A minute later.
    let later = world.ahead(TimeDelta::minutes(2));
    let _newer = start(builder(&later).handler(handler)).await;
    assert_eq!(heard.next().await, "seven");
    let task = world.done(&id).await;
    assert_eq!((task.attempts(), task.state.deferrals), (1, 0));
    older.shutdown().await;
}

/// A payload whose reader panics when it has nothing to unwrap.
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
        let mut field = |name: &str| fields.remove(name).expect("every field is there");
        let (name, key) = (field("name"), field("key"));
        assert!(!name.contains("unreadable"), "nobody reads this");
        Ok(Self { name, key })
    }
}

async fn a_reader_that_panics_is_one_that_cannot_read(world: World) {
    logs::listen();
    let names = ["sound", "unreadable fragile one", "whole"];
    let mut ids = Vec::new();
    for name in names {
        let (name, key) = (name.to_owned(), "k".to_owned());
        ids.push(world.create(Fragile { name, key }).await);
    }
    let (say, mut heard) = line();
    let handler = Handler::new(move |tasks: Vec<Fragile>| {
        let say = say.clone();
        async move { say.say(tasks.into_iter().map(|task| task.name).collect::<Vec<_>>()) }
    });
    let _worker = start(builder(&world.client).handler(handler)).await;
    let task = world.until(&ids[1], |task| task.state.deferrals == 1).await;
    assert_eq!((task.attempts(), task.errors().len()), (0, 0));
    for id in [&ids[0], &ids[2]] {
        let task = world.done(id).await;
        assert_eq!((task.attempts(), task.errors().len()), (1, 0), "{id}");
    }
    assert_eq!(heard.rest(), [["sound", "whole"]]);
    let warnings = logs::lines(&[
        "WARN",
        "unreadable fragile one",
        "unreadable.rs",
        "nobody reads this",
    ]);
    assert!(
        !warnings.is_empty(),
        "a warning with the id, the place and the panic"
    );
}
