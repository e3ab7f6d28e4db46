use super::rules;
use super::scene::{Scene, task, tasks};

rules!("get":
    the_answers_are_in_the_order_asked,
    an_unknown_id_is_none,
    the_same_id_twice_is_answered_twice,
    no_ids_have_no_answers,
    ids_that_look_alike_are_told_apart,
);

async fn the_answers_are_in_the_order_asked(scene: Scene) {
    let queue = scene.queue().await;
    queue.create(tasks(["a", "b", "c"])).await;
    let found = queue.get(["c", "missing", "a", "b"]).await;
    let ids: Vec<_> = found
        .iter()
        .map(|task| task.as_ref().map(|task| task.id().as_str()))
        .collect();
    assert_eq!(ids, [Some("c"), None, Some("a"), Some("b")]);
}

async fn an_unknown_id_is_none(scene: Scene) {
    let queue = scene.queue().await;
    assert_eq!(queue.find("a").await, None);
    queue.create([task("a")]).await;
    assert_eq!(queue.find("b").await, None);
}

async fn the_same_id_twice_is_answered_twice(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a")]).await;
    let stored = Some(queue.task("a").await);
    assert_eq!(queue.get(["a", "a"]).await, [stored.clone(), stored]);
}

async fn no_ids_have_no_answers(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a")]).await;
    assert_eq!(queue.get([] as [&str; 0]).await, []);
}

async fn ids_that_look_alike_are_told_apart(scene: Scene) {
    let queue = scene.queue().await;
    let ids = ["a", "A", "a ", "ä", "a\u{308}", "a%20", "a/", "a%2F"];
    queue.create(tasks(ids)).await;
    for id in ids {
        assert_eq!(queue.task(id).await.id().as_str(), id);
    }
}
