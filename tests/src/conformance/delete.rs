//! Deleting tasks.

use oncetask::store::{Action, Filter};
use oncetask::task::transition::Change;

use super::list_cases;
use super::support::{Backend, at, task};

list_cases!("delete":
    a_deleted_task_is_gone,
    a_task_of_any_status_is_deleted,
    an_unknown_id_is_reported_as_not_found,
    the_same_id_twice_is_deleted_once,
    results_are_in_request_order,
    the_id_of_a_deleted_task_is_free,
);

async fn a_deleted_task_is_gone(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    store.create([task("a"), task("b")]).await;
    assert_eq!(store.delete("a").await, Change::Applied);
    assert_eq!(other.find("a").await, None);
    assert_eq!(other.list(Filter::new(), at(9)).await, ["b"]);
    assert_eq!(other.claim_one(at(9)).await.task.id().as_str(), "b");
    other.assert_nothing_due(at(9)).await;
}

async fn a_task_of_any_status_is_deleted(backend: Backend) {
    let store = backend.open().await;
    store.create_and_complete(task("done"), at(0)).await;
    store.create_and_claim(task("leased"), at(0)).await;
    store
        .create([task("pending"), task("waiting").due(at(500)), task("cancelled")])
        .await;
    store.cancel("cancelled", at(1)).await;
    for id in ["done", "leased", "pending", "waiting", "cancelled"] {
        assert_eq!(store.delete(id).await, Change::Applied, "{id}");
        assert_eq!(store.find(id).await, None, "{id}");
    }
    store.assert_nothing_due(at(1000)).await;
}

async fn an_unknown_id_is_reported_as_not_found(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a")]).await;
    assert_eq!(store.delete("a").await, Change::Applied);
    assert_eq!(store.delete("a").await, Change::NotFound);
    assert_eq!(store.delete("b").await, Change::NotFound);
}

async fn the_same_id_twice_is_deleted_once(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a"), task("b")]).await;
    let changes = store.change(["a", "a", "b"], Action::Delete, at(1)).await;
    assert_eq!(changes, [Change::Applied, Change::NotFound, Change::Applied]);
}

async fn results_are_in_request_order(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a"), task("c")]).await;
    let changes = store
        .change(["c", "missing", "a", "b"], Action::Delete, at(1))
        .await;
    assert_eq!(
        changes,
        [
            Change::Applied,
            Change::NotFound,
            Change::Applied,
            Change::NotFound
        ]
    );
}

async fn the_id_of_a_deleted_task_is_free(backend: Backend) {
    let store = backend.open().await;
    store
        .create_and_complete(task("a").payload(r#"{"n":1}"#), at(1))
        .await;
    store.delete("a").await;
    store.create([task("a").payload(r#"{"n":2}"#)]).await;
    let claimed = store.claim_one(at(2)).await;
    assert_eq!(claimed.task.attempts(), 1);
    assert_eq!(claimed.task.spec.payload.as_str(), r#"{"n":2}"#);
}
