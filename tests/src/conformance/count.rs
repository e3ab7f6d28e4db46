use oncetask::Status;
use oncetask::store::Filter;

use super::rules;
use super::scene::{KIND, Scene, at, task, tasks};

rules!("count":
    what_a_filter_lets_through,
    pending_are_the_due_ones_of_the_kind,
    nothing_in_an_empty_store,
    what_is_deleted_counts_no_more,
);

async fn what_a_filter_lets_through(scene: Scene) {
    let queue = scene.queue().await;
    queue.complete(task("done").key("k"), at(1)).await;
    queue
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
        assert_eq!(queue.count(filter.clone(), at(9)).await, count, "{filter:?}");
    }
}

async fn pending_are_the_due_ones_of_the_kind(scene: Scene) {
    let queue = scene.queue().await;
    queue
        .create([
            task("a"),
            task("b").due(at(10)),
            task("c").due(at(11)),
            task("d").kind("Other"),
        ])
        .await;
    let pending = Filter::new().kind(KIND).status(Status::Pending);
    assert_eq!(queue.count(pending.clone(), at(10)).await, 2);
    queue.take(at(10)).await;
    assert_eq!(queue.count(pending, at(10)).await, 1);
}

async fn nothing_in_an_empty_store(scene: Scene) {
    let queue = scene.queue().await;
    assert_eq!(queue.count(Filter::new(), at(0)).await, 0);
}

async fn what_is_deleted_counts_no_more(scene: Scene) {
    let queue = scene.queue().await;
    queue.create(tasks(["a", "b"])).await;
    queue.delete("a").await;
    assert_eq!(queue.count(Filter::new(), at(0)).await, 1);
}
