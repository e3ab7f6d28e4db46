use std::time::Duration;

use oncetask::store::{Rung, Watch};
use oncetask::task::transition::Verdict;

use super::rules;
use super::scene::{KIND, Scene, at, complete, task};

rules!("watch":
    a_new_task_rings,
    a_new_task_rings_in_another_process,
    a_ring_before_the_wait_is_kept,
    a_task_that_is_given_back_rings,
    a_reset_rings,
    a_freed_key_rings,
    a_cancelled_handler_is_to_stop,
    a_deleted_handler_is_to_stop,
    a_cancelled_handler_rings_in_another_process,
    the_end_of_a_task_rings,
    the_end_of_a_task_rings_in_another_process,
    the_end_of_a_cancelled_task_rings,
    a_deleted_task_rings,
    everybody_who_watches_is_rung,
);

/// How long a ring may take before the store counts as dumb: longer than one that polls once a minute needs. Not how long
/// it should take.
const PATIENCE: Duration = Duration::from_secs(90);

async fn rung(watch: &mut Watch) -> Rung {
    let rung = tokio::time::timeout(PATIENCE, watch.rung()).await;
    rung.expect("it rings")
}

/// Takes the ring that there may have been.
async fn forget(watch: &mut Watch) {
    let _ = tokio::time::timeout(Duration::ZERO, watch.rung()).await;
}

async fn a_new_task_rings(scene: Scene) {
    let queue = scene.queue().await;
    let mut watch = queue.watch_kind(KIND);
    queue.create([task("a")]).await;
    rung(&mut watch).await;
}

async fn a_new_task_rings_in_another_process(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    let mut watch = other.watch_kind(KIND);
    queue.create([task("a")]).await;
    rung(&mut watch).await;
}

async fn a_ring_before_the_wait_is_kept(scene: Scene) {
    let queue = scene.queue().await;
    let mut watch = queue.watch_kind(KIND);
    queue.create([task("a")]).await;
    queue.create([task("b")]).await;
    tokio::task::yield_now().await;
    rung(&mut watch).await;
}

async fn a_task_that_is_given_back_rings(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let mut watch = queue.watch_kind(KIND);
    assert_eq!(queue.finish(&held, Verdict::Release, at(1)).await, Ok(()));
    rung(&mut watch).await;
}

async fn a_reset_rings(scene: Scene) {
    let queue = scene.queue().await;
    queue.complete(task("a"), at(0)).await;
    let mut watch = queue.watch_kind(KIND);
    queue.reset("a", at(1)).await;
    rung(&mut watch).await;
}

async fn a_freed_key_rings(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a").key("k"), at(0)).await;
    queue.create([task("b").key("k")]).await;
    let mut watch = queue.watch_kind(KIND);
    assert_eq!(queue.finish_one(complete(&held), at(1)).await, Ok(()));
    rung(&mut watch).await;
}

/// A ring says that `a` is to stop. It may be said twice: by this process, and by whoever watches all of them.
async fn assert_stopped(watch: &mut Watch) {
    let stopped = loop {
        let stopped = rung(watch).await.stopped;
        if !stopped.is_empty() {
            break stopped;
        }
    };
    assert!(stopped.iter().all(|id| id.as_str() == "a"), "{stopped:?}");
}

async fn a_cancelled_handler_is_to_stop(scene: Scene) {
    let queue = scene.queue().await;
    queue.start(task("a"), at(0)).await;
    let mut watch = queue.watch_kind(KIND);
    queue.cancel("a", at(1)).await;
    assert_stopped(&mut watch).await;
}

async fn a_deleted_handler_is_to_stop(scene: Scene) {
    let queue = scene.queue().await;
    queue.start(task("a"), at(0)).await;
    let mut watch = queue.watch_kind(KIND);
    queue.delete("a").await;
    assert_stopped(&mut watch).await;
}

async fn a_cancelled_handler_rings_in_another_process(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    queue.start(task("a"), at(0)).await;
    let mut watch = queue.watch_kind(KIND);
    other.cancel("a", at(1)).await;
    // Which task it is, the worker learns by the ring or when it extends the lease after it.
    rung(&mut watch).await;
}

async fn the_end_of_a_task_rings(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let mut watch = queue.watch_task("a");
    assert_eq!(queue.finish_one(complete(&held), at(1)).await, Ok(()));
    rung(&mut watch).await;
}

async fn the_end_of_a_task_rings_in_another_process(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    let held = queue.start(task("a"), at(0)).await;
    let mut watch = other.watch_task("a");
    assert_eq!(queue.finish_one(complete(&held), at(1)).await, Ok(()));
    rung(&mut watch).await;
}

async fn the_end_of_a_cancelled_task_rings(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let mut watch = queue.watch_task("a");
    queue.cancel("a", at(1)).await;
    forget(&mut watch).await;
    assert_eq!(queue.finish_one(complete(&held), at(2)).await, Ok(()));
    rung(&mut watch).await;
}

async fn a_deleted_task_rings(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a")]).await;
    let mut watch = queue.watch_task("a");
    queue.delete("a").await;
    rung(&mut watch).await;
}

async fn everybody_who_watches_is_rung(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let mut watches = [
        queue.watch_task("a"),
        queue.watch_kind(KIND),
        queue.watch_task("a"),
        queue.watch_kind(KIND),
    ];
    // The end of a task is news for who waits for it, a new one for who watches its kind.
    assert_eq!(queue.finish_one(complete(&held), at(1)).await, Ok(()));
    queue.create([task("b")]).await;
    for watch in &mut watches {
        rung(watch).await;
    }
}
