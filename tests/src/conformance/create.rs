//! Creating tasks.

use std::collections::HashSet;

use oncetask::Status;
use oncetask::store::Insert;

use super::list_cases;
use super::support::{Backend, KIND, at, task, tasks};

list_cases!("create":
    a_new_task_is_stored,
    an_existing_task_is_not_changed,
    a_done_task_keeps_its_id,
    an_id_of_another_kind_is_not_reused,
    the_same_id_twice_in_a_call_is_created_once,
    results_are_in_request_order,
    an_empty_call_has_no_results,
    competing_clients_create_each_task_once,
    another_handle_sees_a_new_task_at_once,
);

async fn a_new_task_is_stored(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a").due(at(10))]).await;
    let stored = store.task("a").await;
    assert_eq!(stored, task("a").due(at(10)).into());
    assert_eq!(stored.status(at(9)), Status::Waiting);
    assert_eq!(stored.status(at(10)), Status::Pending);
}

async fn an_existing_task_is_not_changed(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a").payload(r#"{"n":1}"#)]).await;
    let stored = store.task("a").await;

    let second = task("a")
        .payload(r#"{"n":2}"#)
        .key("k")
        .due(at(50))
        .created(at(40));
    let inserts = store.insert([second]).await;

    assert_eq!(inserts, [Insert::Existing(Box::new(stored.clone()))]);
    assert_eq!(store.task("a").await, stored);
}

async fn a_done_task_keeps_its_id(backend: Backend) {
    let store = backend.open().await;
    store.create_and_complete(task("a"), at(1)).await;
    let stored = store.task("a").await;
    let inserts = store.insert([task("a")]).await;
    assert_eq!(inserts, [Insert::Existing(Box::new(stored))]);
    store.assert_nothing_due(at(100)).await;
}

async fn an_id_of_another_kind_is_not_reused(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a")]).await;
    let inserts = store.insert([task("a").kind("Other")]).await;
    let Insert::Existing(stored) = &inserts[0] else {
        panic!("{inserts:?}")
    };
    assert_eq!(stored.kind(), KIND);
    assert_eq!(store.kinds().await, [KIND]);
}

async fn the_same_id_twice_in_a_call_is_created_once(backend: Backend) {
    let store = backend.open().await;
    let twice = [
        task("a").payload(r#"{"n":1}"#),
        task("b"),
        task("a").payload(r#"{"n":2}"#),
    ];
    let inserts = store.insert(twice).await;
    assert_eq!(inserts[..2], [Insert::New, Insert::New]);
    let first = store.task("a").await;
    assert_eq!(first.spec.payload.as_str(), r#"{"n":1}"#);
    assert_eq!(inserts[2], Insert::Existing(Box::new(first)));
}

async fn results_are_in_request_order(backend: Backend) {
    let store = backend.open().await;
    store.create(tasks(["b", "d"])).await;
    let inserts = store.insert(tasks(["a", "b", "c", "d", "e"])).await;
    let new: Vec<_> = inserts.iter().map(|insert| *insert == Insert::New).collect();
    assert_eq!(new, [true, false, true, false, true]);
    let existing = inserts.iter().filter_map(|insert| match insert {
        Insert::Existing(task) => Some(task.id().as_str()),
        _ => None,
    });
    assert_eq!(existing.collect::<Vec<_>>(), ["b", "d"]);
}

async fn an_empty_call_has_no_results(backend: Backend) {
    let store = backend.open().await;
    assert_eq!(store.insert(tasks([] as [&str; 0])).await, []);
}

async fn competing_clients_create_each_task_once(backend: Backend) {
    const TASKS: usize = 30;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let store = backend.open().await;
        clients.push(tokio::spawn(async move {
            let mut created = Vec::new();
            for n in 0..TASKS {
                let inserts = store.insert([task(format!("task {n}"))]).await;
                created.extend((inserts[0] == Insert::New).then_some(n));
            }
            created
        }));
    }
    let mut created = Vec::new();
    for client in clients {
        created.extend(client.await.expect("the client does not panic"));
    }
    assert_eq!(created.len(), TASKS, "each task is new to one client");
    assert_eq!(created.iter().collect::<HashSet<_>>().len(), TASKS);
}

async fn another_handle_sees_a_new_task_at_once(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    store.create([task("a")]).await;
    assert_eq!(other.task("a").await, store.task("a").await);
    assert_eq!(other.claim_one(at(1)).await.task.id().as_str(), "a");
    store.assert_nothing_due(at(1)).await;
}
