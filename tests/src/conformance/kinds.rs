use super::rules;
use super::scene::{KIND, Scene, at, task};

rules!("kinds":
    an_empty_store_has_none,
    each_kind_is_told_once_in_alphabetical_order,
    a_kind_whose_tasks_are_done_is_told,
    a_kind_whose_last_task_is_deleted_is_told_no_more,
);

async fn an_empty_store_has_none(scene: Scene) {
    assert_eq!(scene.queue().await.kinds().await, [] as [&str; 0]);
}

async fn each_kind_is_told_once_in_alphabetical_order(scene: Scene) {
    let queue = scene.queue().await;
    queue
        .create([
            task("a").kind("Cook"),
            task("b").kind("Bake"),
            task("c").kind("Cook").due(at(1000)),
            task("d").kind("Über"),
            task("e").kind("Air"),
        ])
        .await;
    assert_eq!(queue.kinds().await, ["Air", "Bake", "Cook", "Über"]);
}

async fn a_kind_whose_tasks_are_done_is_told(scene: Scene) {
    let queue = scene.queue().await;
    queue.complete(task("a"), at(1)).await;
    assert_eq!(queue.kinds().await, [KIND]);
}

async fn a_kind_whose_last_task_is_deleted_is_told_no_more(scene: Scene) {
    let queue = scene.queue().await;
    queue
        .create([task("a"), task("b"), task("c").kind("Other")])
        .await;
    queue.delete("a").await;
    assert_eq!(queue.kinds().await, ["Other", KIND]);
    queue.delete("b").await;
    assert_eq!(queue.kinds().await, ["Other"]);
}
