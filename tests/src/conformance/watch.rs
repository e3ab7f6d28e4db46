use std::time::Duration;

use oncetask::store::{Subscription, Wakeup};
use oncetask::task::transition::Verdict;

use super::rules;
use super::scene::{KIND, Scene, at, complete, task};

rules!("subscription":
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

async fn rung(subscription: &mut Subscription) -> Wakeup {
    let rung = tokio::time::timeout(PATIENCE, subscription.notified()).await;
    rung.expect("it rings")
}

/// Takes the ring that there may have been.
async fn forget(subscription: &mut Subscription) {
    let _ = tokio::time::timeout(Duration::ZERO, subscription.notified()).await;
}

async fn a_new_task_rings(scene: Scene) {
    let queue = scene.queue().await;
    let mut subscription = queue.watch_kind(KIND);
    queue.create([task("a")]).await;
    rung(&mut subscription).await;
}

async fn a_new_task_rings_in_another_process(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    let mut subscription = other.watch_kind(KIND);
    queue.create([task("a")]).await;
    rung(&mut subscription).await;
}

async fn a_ring_before_the_wait_is_kept(scene: Scene) {
    let queue = scene.queue().await;
    let mut subscription = queue.watch_kind(KIND);
    queue.create([task("a")]).await;
    queue.create([task("b")]).await;
    tokio::task::yield_now().await;
    rung(&mut subscription).await;
}

async fn a_task_that_is_given_back_rings(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let mut subscription = queue.watch_kind(KIND);
    assert_eq!(queue.finish(&held, Verdict::Release, at(1)).await, Ok(()));
    rung(&mut subscription).await;
}

async fn a_reset_rings(scene: Scene) {
    let queue = scene.queue().await;
    queue.complete(task("a"), at(0)).await;
    let mut subscription = queue.watch_kind(KIND);
    queue.reset("a", at(1)).await;
    rung(&mut subscription).await;
}

async fn a_freed_key_rings(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a").key("k"), at(0)).await;
    queue.create([task("b").key("k")]).await;
    let mut subscription = queue.watch_kind(KIND);
    assert_eq!(queue.finish_one(complete(&held), at(1)).await, Ok(()));
    rung(&mut subscription).await;
}

/// A ring says that `a` is to stop. It may be said twice: by this process, and by whoever subscriptions all of them.
async fn assert_stopped(subscription: &mut Subscription) {
    let stopped = loop {
        let stopped = rung(subscription).await.stopped;
        if !stopped.is_empty() {
            break stopped;
        }
    };
    assert!(stopped.iter().all(|id| id.as_str() == "a"), "{stopped:?}");
}

async fn a_cancelled_handler_is_to_stop(scene: Scene) {
    let queue = scene.queue().await;
    queue.start(task("a"), at(0)).await;
    let mut subscription = queue.watch_kind(KIND);
    queue.cancel("a", at(1)).await;
    assert_stopped(&mut subscription).await;
}

async fn a_deleted_handler_is_to_stop(scene: Scene) {
    let queue = scene.queue().await;
    queue.start(task("a"), at(0)).await;
    let mut subscription = queue.watch_kind(KIND);
    queue.delete("a").await;
    assert_stopped(&mut subscription).await;
}

async fn a_cancelled_handler_rings_in_another_process(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    queue.start(task("a"), at(0)).await;
    let mut subscription = queue.watch_kind(KIND);
    other.cancel("a", at(1)).await;
    // Which task it is, the worker learns by the ring or when it extends the lease after it.
    rung(&mut subscription).await;
}

async fn the_end_of_a_task_rings(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let mut subscription = queue.watch_task("a");
    assert_eq!(queue.finish_one(complete(&held), at(1)).await, Ok(()));
    rung(&mut subscription).await;
}

async fn the_end_of_a_task_rings_in_another_process(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    let held = queue.start(task("a"), at(0)).await;
    let mut subscription = other.watch_task("a");
    assert_eq!(queue.finish_one(complete(&held), at(1)).await, Ok(()));
    rung(&mut subscription).await;
}

async fn the_end_of_a_cancelled_task_rings(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let mut subscription = queue.watch_task("a");
    queue.cancel("a", at(1)).await;
    forget(&mut subscription).await;
    assert_eq!(queue.finish_one(complete(&held), at(2)).await, Ok(()));
    rung(&mut subscription).await;
}

async fn a_deleted_task_rings(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a")]).await;
    let mut subscription = queue.watch_task("a");
    queue.delete("a").await;
    rung(&mut subscription).await;
}

async fn everybody_who_watches_is_rung(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let mut subscriptions = [
        queue.watch_task("a"),
        queue.watch_kind(KIND),
        queue.watch_task("a"),
        queue.watch_kind(KIND),
    ];
    // The end of a task is news for who waits for it, a new one for who subscriptions its kind.
    assert_eq!(queue.finish_one(complete(&held), at(1)).await, Ok(()));
    queue.create([task("b")]).await;
    for subscription in &mut subscriptions {
        rung(subscription).await;
    }
}
