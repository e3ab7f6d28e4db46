use chrono::{TimeDelta, Utc};
use oncetask::store::Filter;
use oncetask::{Status, Task};

use super::on_every_store;
use super::world::{Note, World, note};

on_every_store! {
    by_key_exactly_the_tasks_of_that_key,
    by_ids_missing_ones_are_none,
    pending_are_only_due_ones_of_the_kind,
    another_environment_is_not_found,
    the_status_is_derived_from_what_is_stored,
}

fn names(tasks: &[Task]) -> Vec<String> {
    let payload = |task: &Task| task.payload::<Note>().expect("readable").name;
    tasks.iter().map(payload).collect()
}

async fn by_key_exactly_the_tasks_of_that_key(world: World) {
    let keys = [("c", "k"), ("a", "k"), ("x", "other"), ("b", "k")];
    for (name, key) in keys {
        world.create([note(name).key(key)]).await;
        tick().await;
    }
    world.create([note("y")]).await;
    let of_key = async |key: &str| {
        let tasks = world.client.by_resource_key(key).await;
        names(&tasks.expect("answered"))
    };
    assert_eq!(of_key("k").await, ["c", "a", "b"], "by creation");
    assert_eq!(of_key("other").await, ["x"]);
    assert_eq!(of_key("unknown").await, [] as [&str; 0]);
    assert_eq!(of_key("").await, [] as [&str; 0]);
}

/// Until the clock shows another millisecond: creation is told apart by no less.
async fn tick() {
    let before = Utc::now().timestamp_millis();
    while Utc::now().timestamp_millis() == before {
        tokio::task::yield_now().await;
    }
}

async fn by_ids_missing_ones_are_none(world: World) {
    world.create(["a", "b"].map(note)).await;
    let ids = ["note:b", "note:missing", "note:a"].map(Into::into);
    let found = world.client.get_many(&ids).await.expect("answered");
    let found: Vec<_> = found.iter().map(|task| task.as_ref().map(Task::id)).collect();
    assert_eq!(found, [Some(&ids[0]), None, Some(&ids[2])]);
    assert_eq!(world.client.get_many([]).await.expect("answered"), []);
}

async fn pending_are_only_due_ones_of_the_kind(world: World) {
    let later = Utc::now() + TimeDelta::hours(1);
    world
        .create([note("a"), note("b"), note("later").at(later)])
        .await;
    let pending = async |kind: &str| world.client.pending_count(kind).await.expect("answered");
    assert_eq!(pending("Note").await, 2);
    assert_eq!(pending("Chime").await, 0);
    world.claim(1, Utc::now()).await;
    assert_eq!(pending("Note").await, 1);
}

async fn another_environment_is_not_found(world: World) {
    world.create([note("a").key("k")]).await;
    let elsewhere = &world.elsewhere;
    assert_eq!(elsewhere.get(&"note:a".into()).await.expect("answered"), None);
    assert_eq!(elsewhere.by_resource_key("k").await.expect("answered"), []);
    assert_eq!(elsewhere.count(Filter::new()).await.expect("answered"), 0);
}

async fn the_status_is_derived_from_what_is_stored(world: World) {
    let now = Utc::now();
    world
        .create([note("a"), note("later").at(now + TimeDelta::hours(1))])
        .await;
    let status = async |name: &str| world.task(format!("note:{name}")).await.status(Utc::now());
    assert_eq!(status("a").await, Status::Pending);
    assert_eq!(status("later").await, Status::Waiting);
    world.claim(1, Utc::now()).await;
    assert_eq!(status("a").await, Status::Leased);
    world.client.cancel(&"note:a".into()).await.expect("answered");
    assert_eq!(status("a").await, Status::CancellationPending);
}
