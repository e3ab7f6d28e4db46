use std::collections::HashSet;

use oncetask::Task;
use oncetask::store::{Cursor, Filter, Page, Query};

use super::rules;
use super::scene::{Queue, Scene, at, task, tasks};

rules!("pages":
    every_task_is_on_one_page,
    tasks_created_at_one_instant_are_on_one_page_each,
    the_last_page_has_no_next,
    a_full_last_page_has_no_next,
    a_place_in_the_list_survives_as_text,
    what_is_created_meanwhile_moves_nothing,
    what_is_deleted_meanwhile_moves_nothing,
    what_changes_its_status_meanwhile_moves_nothing,
);

async fn page(queue: &Queue, filter: Filter, after: Option<Cursor>) -> Page {
    let query = Query::new(filter, 3, at(50)).after(after);
    queue.page(query).await
}

/// The pages that follow a place, to the end.
async fn rest(queue: &Queue, filter: &Filter, mut after: Option<Cursor>) -> Vec<String> {
    let mut listed = Vec::new();
    while let Some(place) = after {
        let next = page(queue, filter.clone(), Some(place)).await;
        listed.extend(names(&next.tasks));
        after = next.next;
    }
    listed
}

async fn all(queue: &Queue, filter: &Filter) -> Vec<String> {
    let first = page(queue, filter.clone(), None).await;
    let mut listed = names(&first.tasks);
    listed.extend(rest(queue, filter, first.next).await);
    listed
}

fn names(tasks: &[Task]) -> Vec<String> {
    tasks.iter().map(|task| task.id().to_string()).collect()
}

async fn every_task_is_on_one_page(scene: Scene) {
    let queue = scene.queue().await;
    let ids: Vec<_> = (0..10).map(|n| n.to_string()).collect();
    queue.create(tasks(&ids[..])).await;
    assert_eq!(all(&queue, &Filter::new()).await, ids);

    let newest: Vec<_> = ids.into_iter().rev().collect();
    assert_eq!(all(&queue, &Filter::new().newest_first()).await, newest);
}

async fn tasks_created_at_one_instant_are_on_one_page_each(scene: Scene) {
    let queue = scene.queue().await;
    let ids: HashSet<_> = (0..10).map(|n| n.to_string()).collect();
    queue.create(ids.iter().map(|id| task(id.as_str()))).await;
    for filter in [Filter::new(), Filter::new().newest_first()] {
        let listed = all(&queue, &filter).await;
        assert_eq!(listed.len(), ids.len(), "{listed:?}");
        assert_eq!(listed.into_iter().collect::<HashSet<_>>(), ids);
    }
}

async fn the_last_page_has_no_next(scene: Scene) {
    let queue = scene.queue().await;
    queue.create(tasks(["a", "b"])).await;
    let only = page(&queue, Filter::new(), None).await;
    assert_eq!(names(&only.tasks), ["a", "b"]);
    assert_eq!(only.next, None);
}

async fn a_full_last_page_has_no_next(scene: Scene) {
    let queue = scene.queue().await;
    queue.create(tasks(["a", "b", "c"])).await;
    // A store may look whether more follows, or find out with one page more.
    assert_eq!(all(&queue, &Filter::new()).await, ["a", "b", "c"]);
}

async fn a_place_in_the_list_survives_as_text(scene: Scene) {
    let queue = scene.queue().await;
    queue.create(tasks(["a.1", "b.2", "c.3", "d.4", "e.5"])).await;
    let first = page(&queue, Filter::new(), None).await;
    let place = first.next.expect("there are more").to_string();
    let second = page(&queue, Filter::new(), Some(place.parse().expect("a place"))).await;
    assert_eq!(names(&second.tasks), ["d.4", "e.5"]);
}

async fn what_is_created_meanwhile_moves_nothing(scene: Scene) {
    let queue = scene.queue().await;
    queue
        .create([1, 2, 3, 4, 5].map(|n| task(n.to_string()).created(at(n))))
        .await;
    let first = page(&queue, Filter::new(), None).await;
    queue
        .create([task("older").created(at(0)), task("newer").created(at(9))])
        .await;
    assert_eq!(names(&first.tasks), ["1", "2", "3"]);
    assert_eq!(
        rest(&queue, &Filter::new(), first.next).await,
        ["4", "5", "newer"]
    );
}

async fn what_is_deleted_meanwhile_moves_nothing(scene: Scene) {
    let queue = scene.queue().await;
    queue.create(tasks(["1", "2", "3", "4", "5"])).await;
    let first = page(&queue, Filter::new(), None).await;
    // The last of the page is the one whose place is remembered.
    for id in ["1", "3", "4"] {
        queue.delete(id).await;
    }
    assert_eq!(names(&first.tasks), ["1", "2", "3"]);
    assert_eq!(rest(&queue, &Filter::new(), first.next).await, ["5"]);
}

async fn what_changes_its_status_meanwhile_moves_nothing(scene: Scene) {
    let queue = scene.queue().await;
    queue.create(tasks(["1", "2", "3", "4", "5"])).await;
    let filter = Filter::new().status(oncetask::Status::Pending);
    let first = page(&queue, filter.clone(), None).await;
    assert_eq!(names(&first.tasks), ["1", "2", "3"]);
    let held = queue.take(at(50)).await;
    assert_eq!(held.task.id().as_str(), "1");
    assert_eq!(rest(&queue, &filter, first.next).await, ["4", "5"]);
}
