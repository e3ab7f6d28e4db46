//! Notifications of subscribers.

use std::time::Duration;

use oncetask::store::{Subscription, Wakeup};
use oncetask::task::transition::Verdict;

use super::list_cases;
use super::support::{Backend, KIND, at, complete, task};

list_cases!("notifications":
    a_new_task_notifies,
    a_new_task_notifies_another_process,
    a_notification_before_the_wait_is_kept,
    a_released_task_notifies,
    a_reset_notifies,
    a_freed_key_notifies,
    a_cancellation_stops_the_handler,
    a_deletion_stops_the_handler,
    a_cancellation_notifies_another_process,
    the_end_of_a_task_notifies,
    the_end_of_a_task_notifies_another_process,
    the_end_of_a_cancelled_task_notifies,
    a_deletion_notifies,
    every_subscriber_is_notified,
);

/// The time after which a missing wake-up is a failure. A store that polls once a minute may need most of it.
const TIMEOUT: Duration = Duration::from_secs(90);

async fn notified(subscription: &mut Subscription) -> Wakeup {
    let wakeup = tokio::time::timeout(TIMEOUT, subscription.notified()).await;
    wakeup.expect("the subscriber is notified")
}

/// Discards the pending wake-up, if there is one.
async fn discard_notification(subscription: &mut Subscription) {
    let _ = tokio::time::timeout(Duration::ZERO, subscription.notified()).await;
}

async fn a_new_task_notifies(backend: Backend) {
    let store = backend.open().await;
    let mut subscription = store.subscribe_to_kind(KIND);
    store.create([task("a")]).await;
    notified(&mut subscription).await;
}

async fn a_new_task_notifies_another_process(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    let mut subscription = other.subscribe_to_kind(KIND);
    store.create([task("a")]).await;
    notified(&mut subscription).await;
}

async fn a_notification_before_the_wait_is_kept(backend: Backend) {
    let store = backend.open().await;
    let mut subscription = store.subscribe_to_kind(KIND);
    store.create([task("a")]).await;
    store.create([task("b")]).await;
    tokio::task::yield_now().await;
    notified(&mut subscription).await;
}

async fn a_released_task_notifies(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    let mut subscription = store.subscribe_to_kind(KIND);
    assert_eq!(store.finish(&claimed, Verdict::Release, at(1)).await, Ok(()));
    notified(&mut subscription).await;
}

async fn a_reset_notifies(backend: Backend) {
    let store = backend.open().await;
    store.create_and_complete(task("a"), at(0)).await;
    let mut subscription = store.subscribe_to_kind(KIND);
    store.reset("a", at(1)).await;
    notified(&mut subscription).await;
}

async fn a_freed_key_notifies(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a").key("k"), at(0)).await;
    store.create([task("b").key("k")]).await;
    let mut subscription = store.subscribe_to_kind(KIND);
    assert_eq!(store.finish_one(complete(&claimed), at(1)).await, Ok(()));
    notified(&mut subscription).await;
}

/// Waits for a wake-up that names `a` as stopped. The store may report it twice: when the call returns, and when it
/// learns of the stored change.
async fn assert_stopped(subscription: &mut Subscription) {
    let stopped = loop {
        let stopped = notified(subscription).await.stopped;
        if !stopped.is_empty() {
            break stopped;
        }
    };
    assert!(stopped.iter().all(|id| id.as_str() == "a"), "{stopped:?}");
}

async fn a_cancellation_stops_the_handler(backend: Backend) {
    let store = backend.open().await;
    store.create_and_claim(task("a"), at(0)).await;
    let mut subscription = store.subscribe_to_kind(KIND);
    store.cancel("a", at(1)).await;
    assert_stopped(&mut subscription).await;
}

async fn a_deletion_stops_the_handler(backend: Backend) {
    let store = backend.open().await;
    store.create_and_claim(task("a"), at(0)).await;
    let mut subscription = store.subscribe_to_kind(KIND);
    store.delete("a").await;
    assert_stopped(&mut subscription).await;
}

async fn a_cancellation_notifies_another_process(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    store.create_and_claim(task("a"), at(0)).await;
    let mut subscription = store.subscribe_to_kind(KIND);
    other.cancel("a", at(1)).await;
    // The worker learns the id from the wake-up, or from the next renewal of the lease.
    notified(&mut subscription).await;
}

async fn the_end_of_a_task_notifies(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    let mut subscription = store.subscribe_to_task("a");
    assert_eq!(store.finish_one(complete(&claimed), at(1)).await, Ok(()));
    notified(&mut subscription).await;
}

async fn the_end_of_a_task_notifies_another_process(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    let mut subscription = other.subscribe_to_task("a");
    assert_eq!(store.finish_one(complete(&claimed), at(1)).await, Ok(()));
    notified(&mut subscription).await;
}

async fn the_end_of_a_cancelled_task_notifies(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    let mut subscription = store.subscribe_to_task("a");
    store.cancel("a", at(1)).await;
    discard_notification(&mut subscription).await;
    assert_eq!(store.finish_one(complete(&claimed), at(2)).await, Ok(()));
    notified(&mut subscription).await;
}

async fn a_deletion_notifies(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a")]).await;
    let mut subscription = store.subscribe_to_task("a");
    store.delete("a").await;
    notified(&mut subscription).await;
}

async fn every_subscriber_is_notified(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    let mut subscriptions = [
        store.subscribe_to_task("a"),
        store.subscribe_to_kind(KIND),
        store.subscribe_to_task("a"),
        store.subscribe_to_kind(KIND),
    ];
    // The end of `a` wakes the subscribers of the task, and the creation of `b` those of the kind.
    assert_eq!(store.finish_one(complete(&claimed), at(1)).await, Ok(()));
    store.create([task("b")]).await;
    for subscription in &mut subscriptions {
        notified(subscription).await;
    }
}
