//! Finding and counting tasks, and their status.

use chrono::{TimeDelta, Utc};
use oncetask::store::Filter;
use oncetask::{Status, Task, TaskId};
use tests::harness::{Fixture, Work, work};
use tests::on_every_store;

use super::{ELSEWHERE, minute_claim};

on_every_store! {
    by_resource_key_returns_exactly_the_tasks_of_that_key,
    get_many_returns_none_for_unknown_ids,
    pending_count_counts_only_due_tasks_of_the_kind,
    tasks_of_another_environment_are_not_found,
    the_status_is_derived_from_the_stored_state,
}

fn names(tasks: &[Task]) -> Vec<String> {
    let payload = |task: &Task| task.payload::<Work>().expect("readable").name;
    tasks.iter().map(payload).collect()
}

async fn by_resource_key_returns_exactly_the_tasks_of_that_key(fixture: Fixture) {
    let keys = [("c", "k"), ("a", "k"), ("x", "other"), ("b", "k")];
    for (name, key) in keys {
        fixture.create(work(name).key(key)).await;
        next_millisecond().await;
    }
    fixture.create(work("y")).await;
    let of_key = async |key: &str| {
        let tasks = fixture.client.by_resource_key(key).await;
        names(&tasks.expect("the store answers"))
    };
    assert_eq!(of_key("k").await, ["c", "a", "b"], "by creation");
    assert_eq!(of_key("other").await, ["x"]);
    assert_eq!(of_key("unknown").await, [] as [&str; 0]);
    assert_eq!(of_key("").await, [] as [&str; 0]);
}

/// Waits for the next millisecond, because creation times have that resolution.
async fn next_millisecond() {
    let before = Utc::now().timestamp_millis();
    while Utc::now().timestamp_millis() == before {
        tokio::task::yield_now().await;
    }
}

async fn get_many_returns_none_for_unknown_ids(fixture: Fixture) {
    fixture.create_many(["a", "b"].map(work)).await;
    let ids = ["work:b", "work:missing", "work:a"].map(TaskId::new);
    let found = fixture.client.get_many(&ids).await.expect("the store answers");
    let found: Vec<_> = found.iter().map(|task| task.as_ref().map(Task::id)).collect();
    assert_eq!(found, [Some(&ids[0]), None, Some(&ids[2])]);
    let none = fixture.client.get_many([] as [TaskId; 0]).await;
    assert_eq!(none.expect("the store answers"), []);
}

async fn pending_count_counts_only_due_tasks_of_the_kind(fixture: Fixture) {
    let later = Utc::now() + TimeDelta::hours(1);
    fixture
        .create_many([work("a"), work("b"), work("later").at(later)])
        .await;
    let pending = async |kind: &str| {
        fixture
            .client
            .pending_count(kind)
            .await
            .expect("the store answers")
    };
    assert_eq!(pending("Work").await, 2);
    assert_eq!(pending("Chime").await, 0);
    fixture.claim_at(minute_claim(), Utc::now()).await;
    assert_eq!(pending("Work").await, 1);
}

async fn tasks_of_another_environment_are_not_found(fixture: Fixture) {
    fixture.create(work("a").key("k")).await;
    let elsewhere = fixture.client_in(ELSEWHERE).await;
    assert_eq!(elsewhere.get("work:a").await.expect("the store answers"), None);
    assert_eq!(
        elsewhere.by_resource_key("k").await.expect("the store answers"),
        []
    );
    assert_eq!(
        elsewhere.count(Filter::new()).await.expect("the store answers"),
        0
    );
}

async fn the_status_is_derived_from_the_stored_state(fixture: Fixture) {
    let now = Utc::now();
    fixture
        .create_many([work("a"), work("later").at(now + TimeDelta::hours(1))])
        .await;
    let status = async |name: &str| fixture.task(format!("work:{name}")).await.status(Utc::now());
    assert_eq!(status("a").await, Status::Pending);
    assert_eq!(status("later").await, Status::Waiting);
    fixture.claim_at(minute_claim(), Utc::now()).await;
    assert_eq!(status("a").await, Status::Leased);
    fixture.client.cancel("work:a").await.expect("the store answers");
    assert_eq!(status("a").await, Status::CancellationPending);
}
