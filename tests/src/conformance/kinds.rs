//! Listing the kinds.

use super::list_cases;
use super::support::{Backend, KIND, at, task};

list_cases!("kinds":
    an_empty_store_has_no_kinds,
    each_kind_is_listed_once_in_alphabetical_order,
    a_kind_whose_tasks_are_done_is_listed,
    a_kind_without_tasks_is_not_listed,
);

async fn an_empty_store_has_no_kinds(backend: Backend) {
    assert_eq!(backend.open().await.kinds().await, [] as [&str; 0]);
}

async fn each_kind_is_listed_once_in_alphabetical_order(backend: Backend) {
    let store = backend.open().await;
    store
        .create([
            task("a").kind("Cook"),
            task("b").kind("Bake"),
            task("c").kind("Cook").due(at(1000)),
            task("d").kind("Über"),
            task("e").kind("Air"),
        ])
        .await;
    assert_eq!(store.kinds().await, ["Air", "Bake", "Cook", "Über"]);
}

async fn a_kind_whose_tasks_are_done_is_listed(backend: Backend) {
    let store = backend.open().await;
    store.create_and_complete(task("a"), at(1)).await;
    assert_eq!(store.kinds().await, [KIND]);
}

async fn a_kind_without_tasks_is_not_listed(backend: Backend) {
    let store = backend.open().await;
    store
        .create([task("a"), task("b"), task("c").kind("Other")])
        .await;
    store.delete("a").await;
    assert_eq!(store.kinds().await, ["Other", KIND]);
    store.delete("b").await;
    assert_eq!(store.kinds().await, ["Other"]);
}
