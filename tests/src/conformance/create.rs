use std::collections::HashSet;

use oncetask::Status;
use oncetask::store::Insert;

use super::rules;
use super::scene::{KIND, Scene, at, task, tasks};

rules!("create":
    a_new_task_is_stored,
    of_an_id_that_is_taken_nothing_is_changed,
    a_done_task_keeps_its_id,
    another_kind_does_not_get_the_id,
    the_same_id_twice_in_a_call_is_created_once,
    the_answers_are_in_the_order_asked,
    no_tasks_have_no_answers,
    of_competing_creators_one_creates_it,
    another_handle_sees_it_at_once,
);

async fn a_new_task_is_stored(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a").due(at(10))]).await;
    let stored = queue.task("a").await;
    assert_eq!(stored, task("a").due(at(10)).into());
    assert_eq!(stored.status(at(9)), Status::Waiting);
    assert_eq!(stored.status(at(10)), Status::Pending);
}

async fn of_an_id_that_is_taken_nothing_is_changed(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a").payload(r#"{"n":1}"#)]).await;
    let stored = queue.task("a").await;

    let second = task("a")
        .payload(r#"{"n":2}"#)
        .key("k")
        .due(at(50))
        .created(at(40));
    let inserts = queue.insert([second]).await;

    assert_eq!(inserts, [Insert::Existing(Box::new(stored.clone()))]);
    assert_eq!(queue.task("a").await, stored);
}

async fn a_done_task_keeps_its_id(scene: Scene) {
    let queue = scene.queue().await;
    queue.complete(task("a"), at(1)).await;
    let stored = queue.task("a").await;
    let inserts = queue.insert([task("a")]).await;
    assert_eq!(inserts, [Insert::Existing(Box::new(stored))]);
    queue.assert_idle(at(100)).await;
}

async fn another_kind_does_not_get_the_id(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a")]).await;
    let inserts = queue.insert([task("a").kind("Other")]).await;
    let Insert::Existing(stored) = &inserts[0] else {
        panic!("{inserts:?}")
    };
    assert_eq!(stored.kind(), KIND);
    assert_eq!(queue.kinds().await, [KIND]);
}

async fn the_same_id_twice_in_a_call_is_created_once(scene: Scene) {
    let queue = scene.queue().await;
    let twice = [
        task("a").payload(r#"{"n":1}"#),
        task("b"),
        task("a").payload(r#"{"n":2}"#),
    ];
    let inserts = queue.insert(twice).await;
    assert_eq!(inserts[..2], [Insert::New, Insert::New]);
    let first = queue.task("a").await;
    assert_eq!(first.spec.payload.as_str(), r#"{"n":1}"#);
    assert_eq!(inserts[2], Insert::Existing(Box::new(first)));
}

async fn the_answers_are_in_the_order_asked(scene: Scene) {
    let queue = scene.queue().await;
    queue.create(tasks(["b", "d"])).await;
    let inserts = queue.insert(tasks(["a", "b", "c", "d", "e"])).await;
    let new: Vec<_> = inserts.iter().map(|insert| *insert == Insert::New).collect();
    assert_eq!(new, [true, false, true, false, true]);
    let existing = inserts.iter().filter_map(|insert| match insert {
        Insert::Existing(task) => Some(task.id().as_str()),
        _ => None,
    });
    assert_eq!(existing.collect::<Vec<_>>(), ["b", "d"]);
}

async fn no_tasks_have_no_answers(scene: Scene) {
    let queue = scene.queue().await;
    assert_eq!(queue.insert(tasks([] as [&str; 0])).await, []);
}

async fn of_competing_creators_one_creates_it(scene: Scene) {
    const TASKS: usize = 30;
    let mut creators = Vec::new();
    for _ in 0..4 {
        let queue = scene.queue().await;
        creators.push(tokio::spawn(async move {
            let mut created = Vec::new();
            for n in 0..TASKS {
                let inserts = queue.insert([task(format!("task {n}"))]).await;
                created.extend((inserts[0] == Insert::New).then_some(n));
            }
            created
        }));
    }
    let mut created = Vec::new();
    for creator in creators {
        created.extend(creator.await.expect("a creator ends"));
    }
    assert_eq!(created.len(), TASKS, "each is new to one creator");
    assert_eq!(created.iter().collect::<HashSet<_>>().len(), TASKS);
}

async fn another_handle_sees_it_at_once(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    queue.create([task("a")]).await;
    assert_eq!(other.task("a").await, queue.task("a").await);
    assert_eq!(other.take(at(1)).await.task.id().as_str(), "a");
    queue.assert_idle(at(1)).await;
}
