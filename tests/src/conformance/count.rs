//! Counting tasks.

use oncetask::Status;
use oncetask::store::Filter;

use super::list_cases;
use super::support::{Backend, KIND, at, task, tasks};

list_cases!("count":
    tasks_that_match_a_filter_are_counted,
    pending_tasks_are_the_due_tasks_of_a_kind,
    an_empty_store_counts_zero,
    a_deleted_task_is_not_counted,
);

async fn tasks_that_match_a_filter_are_counted(backend: Backend) {
    let store = backend.open().await;
    store.create_and_complete(task("done").key("k"), at(1)).await;
    store
        .create([
            task("a").key("k").created(at(2)),
            task("b").kind("Other").created(at(3)),
        ])
        .await;
    let expected = [
        (Filter::new(), 3),
        (Filter::new().kind(KIND), 2),
        (Filter::new().resource_key("k"), 2),
        (Filter::new().status(Status::Completed), 1),
        (Filter::new().kind("Other").status(Status::Completed), 0),
        (Filter::new().created(Some(at(2)), Some(at(3))), 1),
        (Filter::new().done(Some(at(1)), None), 1),
        (Filter::new().done(Some(at(2)), None), 0),
    ];
    for (filter, count) in expected {
        assert_eq!(store.count(filter.clone(), at(9)).await, count, "{filter:?}");
    }
}

async fn pending_tasks_are_the_due_tasks_of_a_kind(backend: Backend) {
    let store = backend.open().await;
    store
        .create([
            task("a"),
            task("b").due(at(10)),
            task("c").due(at(11)),
            task("d").kind("Other"),
        ])
        .await;
    let pending = Filter::new().kind(KIND).status(Status::Pending);
    assert_eq!(store.count(pending.clone(), at(10)).await, 2);
    store.claim_one(at(10)).await;
    assert_eq!(store.count(pending, at(10)).await, 1);
}

async fn an_empty_store_counts_zero(backend: Backend) {
    let store = backend.open().await;
    assert_eq!(store.count(Filter::new(), at(0)).await, 0);
}

async fn a_deleted_task_is_not_counted(backend: Backend) {
    let store = backend.open().await;
    store.create(tasks(["a", "b"])).await;
    store.delete("a").await;
    assert_eq!(store.count(Filter::new(), at(0)).await, 1);
}
