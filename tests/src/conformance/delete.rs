use oncetask::store::{Action, Filter};
use oncetask::task::transition::Change;

use super::rules;
use super::scene::{Scene, at, task};

rules!("delete":
    what_is_deleted_is_gone,
    in_every_status,
    an_unknown_task_is_told_so,
    the_same_id_twice_is_deleted_once,
    the_answers_are_in_the_order_asked,
    the_id_is_free_again,
);

async fn what_is_deleted_is_gone(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    queue.create([task("a"), task("b")]).await;
    assert_eq!(queue.delete("a").await, Change::Applied);
    assert_eq!(other.find("a").await, None);
    assert_eq!(other.list(Filter::new(), at(9)).await, ["b"]);
    assert_eq!(other.take(at(9)).await.task.id().as_str(), "b");
    other.assert_idle(at(9)).await;
}

async fn in_every_status(scene: Scene) {
    let queue = scene.queue().await;
    queue.complete(task("done"), at(0)).await;
    queue.start(task("leased"), at(0)).await;
    queue
        .create([task("pending"), task("waiting").due(at(500)), task("cancelled")])
        .await;
    queue.cancel("cancelled", at(1)).await;
    for id in ["done", "leased", "pending", "waiting", "cancelled"] {
        assert_eq!(queue.delete(id).await, Change::Applied, "{id}");
        assert_eq!(queue.find(id).await, None, "{id}");
    }
    queue.assert_idle(at(1000)).await;
}

async fn an_unknown_task_is_told_so(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a")]).await;
    assert_eq!(queue.delete("a").await, Change::Applied);
    assert_eq!(queue.delete("a").await, Change::NotFound);
    assert_eq!(queue.delete("b").await, Change::NotFound);
}

async fn the_same_id_twice_is_deleted_once(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a"), task("b")]).await;
    let changes = queue.change(["a", "a", "b"], Action::Delete, at(1)).await;
    assert_eq!(changes, [Change::Applied, Change::NotFound, Change::Applied]);
}

async fn the_answers_are_in_the_order_asked(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a"), task("c")]).await;
    let changes = queue
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

async fn the_id_is_free_again(scene: Scene) {
    let queue = scene.queue().await;
    queue.complete(task("a").payload(r#"{"n":1}"#), at(1)).await;
    queue.delete("a").await;
    queue.create([task("a").payload(r#"{"n":2}"#)]).await;
    let held = queue.take(at(2)).await;
    assert_eq!(held.task.attempts(), 1);
    assert_eq!(held.task.spec.payload.as_str(), r#"{"n":2}"#);
}
