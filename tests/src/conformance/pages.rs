//! Listing tasks page by page.

use std::collections::HashSet;

use oncetask::Task;
use oncetask::store::{Cursor, Filter, Page, Query};

use super::list_cases;
use super::support::{Backend, StoreHandle, at, task, tasks};

list_cases!("pages":
    every_task_is_on_one_page,
    tasks_created_at_one_instant_are_on_one_page_each,
    the_last_page_has_no_next,
    a_full_last_page_has_no_next,
    a_cursor_survives_as_text,
    tasks_created_between_pages_move_no_other_task,
    tasks_deleted_between_pages_move_no_other_task,
    status_changes_between_pages_move_no_other_task,
);

async fn page(store: &StoreHandle, filter: Filter, after: Option<Cursor>) -> Page {
    let query = Query::new(filter, 3, at(50)).after(after);
    store.page(query).await
}

/// Returns the ids on all pages after a cursor.
async fn rest(store: &StoreHandle, filter: &Filter, mut after: Option<Cursor>) -> Vec<String> {
    let mut listed = Vec::new();
    while let Some(cursor) = after {
        let next = page(store, filter.clone(), Some(cursor)).await;
        listed.extend(names(&next.tasks));
        after = next.next;
    }
    listed
}

async fn all(store: &StoreHandle, filter: &Filter) -> Vec<String> {
    let first = page(store, filter.clone(), None).await;
    let mut listed = names(&first.tasks);
    listed.extend(rest(store, filter, first.next).await);
    listed
}

fn names(tasks: &[Task]) -> Vec<String> {
    tasks.iter().map(|task| task.id().to_string()).collect()
}

async fn every_task_is_on_one_page(backend: Backend) {
    let store = backend.open().await;
    let ids: Vec<_> = (0..10).map(|n| n.to_string()).collect();
    store.create(tasks(&ids[..])).await;
    assert_eq!(all(&store, &Filter::new()).await, ids);

    let newest: Vec<_> = ids.into_iter().rev().collect();
    assert_eq!(all(&store, &Filter::new().newest_first()).await, newest);
}

async fn tasks_created_at_one_instant_are_on_one_page_each(backend: Backend) {
    let store = backend.open().await;
    let ids: HashSet<_> = (0..10).map(|n| n.to_string()).collect();
    store.create(ids.iter().map(|id| task(id.as_str()))).await;
    for filter in [Filter::new(), Filter::new().newest_first()] {
        let listed = all(&store, &filter).await;
        assert_eq!(listed.len(), ids.len(), "{listed:?}");
        assert_eq!(listed.into_iter().collect::<HashSet<_>>(), ids);
    }
}

async fn the_last_page_has_no_next(backend: Backend) {
    let store = backend.open().await;
    store.create(tasks(["a", "b"])).await;
    let only = page(&store, Filter::new(), None).await;
    assert_eq!(names(&only.tasks), ["a", "b"]);
    assert_eq!(only.next, None);
}

async fn a_full_last_page_has_no_next(backend: Backend) {
    let store = backend.open().await;
    store.create(tasks(["a", "b", "c"])).await;
    // A store may check whether more tasks follow, or return an empty page after the last one.
    assert_eq!(all(&store, &Filter::new()).await, ["a", "b", "c"]);
}

async fn a_cursor_survives_as_text(backend: Backend) {
    let store = backend.open().await;
    store.create(tasks(["a.1", "b.2", "c.3", "d.4", "e.5"])).await;
    let first = page(&store, Filter::new(), None).await;
    let cursor = first.next.expect("there is a second page").to_string();
    let second = page(
        &store,
        Filter::new(),
        Some(cursor.parse().expect("a valid cursor")),
    )
    .await;
    assert_eq!(names(&second.tasks), ["d.4", "e.5"]);
}

async fn tasks_created_between_pages_move_no_other_task(backend: Backend) {
    let store = backend.open().await;
    store
        .create([1, 2, 3, 4, 5].map(|n| task(n.to_string()).created(at(n))))
        .await;
    let first = page(&store, Filter::new(), None).await;
    store
        .create([task("older").created(at(0)), task("newer").created(at(9))])
        .await;
    assert_eq!(names(&first.tasks), ["1", "2", "3"]);
    assert_eq!(
        rest(&store, &Filter::new(), first.next).await,
        ["4", "5", "newer"]
    );
}

async fn tasks_deleted_between_pages_move_no_other_task(backend: Backend) {
    let store = backend.open().await;
    store.create(tasks(["1", "2", "3", "4", "5"])).await;
    let first = page(&store, Filter::new(), None).await;
    // `3` is the last task of the page, to which the cursor refers.
    for id in ["1", "3", "4"] {
        store.delete(id).await;
    }
    assert_eq!(names(&first.tasks), ["1", "2", "3"]);
    assert_eq!(rest(&store, &Filter::new(), first.next).await, ["5"]);
}

async fn status_changes_between_pages_move_no_other_task(backend: Backend) {
    let store = backend.open().await;
    store.create(tasks(["1", "2", "3", "4", "5"])).await;
    let filter = Filter::new().status(oncetask::Status::Pending);
    let first = page(&store, filter.clone(), None).await;
    assert_eq!(names(&first.tasks), ["1", "2", "3"]);
    let claimed = store.claim_one(at(50)).await;
    assert_eq!(claimed.task.id().as_str(), "1");
    assert_eq!(rest(&store, &filter, first.next).await, ["4", "5"]);
}
