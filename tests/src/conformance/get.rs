//! Getting tasks by id.

use super::list_cases;
use super::support::{Backend, task, tasks};

list_cases!("get":
    results_are_in_request_order,
    an_unknown_id_is_none,
    the_same_id_twice_has_two_results,
    an_empty_call_has_no_results,
    similar_ids_are_distinguished,
);

async fn results_are_in_request_order(backend: Backend) {
    let store = backend.open().await;
    store.create(tasks(["a", "b", "c"])).await;
    let found = store.get(["c", "missing", "a", "b"]).await;
    let ids: Vec<_> = found
        .iter()
        .map(|task| task.as_ref().map(|task| task.id().as_str()))
        .collect();
    assert_eq!(ids, [Some("c"), None, Some("a"), Some("b")]);
}

async fn an_unknown_id_is_none(backend: Backend) {
    let store = backend.open().await;
    assert_eq!(store.find("a").await, None);
    store.create([task("a")]).await;
    assert_eq!(store.find("b").await, None);
}

async fn the_same_id_twice_has_two_results(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a")]).await;
    let stored = Some(store.task("a").await);
    assert_eq!(store.get(["a", "a"]).await, [stored.clone(), stored]);
}

async fn an_empty_call_has_no_results(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a")]).await;
    assert_eq!(store.get([] as [&str; 0]).await, []);
}

async fn similar_ids_are_distinguished(backend: Backend) {
    let store = backend.open().await;
    let ids = ["a", "A", "a ", "ä", "a\u{308}", "a%20", "a/", "a%2F"];
    store.create(tasks(ids)).await;
    for id in ids {
        assert_eq!(store.task(id).await.id().as_str(), id);
    }
}
