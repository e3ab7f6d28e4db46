//! Cancelling tasks.

use oncetask::Status;
use oncetask::store::Action;
use oncetask::task::transition::{Change, Phase, Verdict};
use oncetask::task::{Done, Ending};

use super::list_cases;
use super::support::{Backend, at, task};

list_cases!("cancel":
    a_waiting_task_is_due_at_once_for_its_cleanup,
    a_running_task_keeps_its_claim,
    a_task_in_backoff_is_due_at_once,
    a_generator_ends,
    a_cancelled_task_is_reported_as_already_cancelled,
    a_done_task_is_reported_as_already_done,
    an_unknown_id_is_reported_as_not_found,
    the_same_id_twice_is_cancelled_once,
    results_are_in_request_order,
    one_of_competing_cancellations_is_applied,
);

async fn a_waiting_task_is_due_at_once_for_its_cleanup(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a").due(at(500))]).await;
    assert_eq!(store.cancel("a", at(5)).await, Change::Applied);
    let stored = store.task("a").await;
    assert_eq!(stored.state.cancelled_at, Some(at(5)));
    assert_eq!(stored.status(at(5)), Status::CancellationPending);
    let claimed = store.claim_one(at(5)).await;
    assert_eq!(
        claimed.task.state.lease.as_ref().map(|lease| lease.phase),
        Some(Phase::Cleanup)
    );
    assert_eq!(
        (claimed.task.attempts(), claimed.task.state.cleanup_attempts),
        (0, 1)
    );
}

async fn a_running_task_keeps_its_claim(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    assert_eq!(other.cancel("a", at(5)).await, Change::Applied);
    let stored = store.task("a").await;
    assert_eq!(stored.state.lease, claimed.task.state.lease);
    assert_eq!(stored.status(at(5)), Status::CancellationPending);
    other.assert_nothing_due(at(59)).await;
}

async fn a_task_in_backoff_is_due_at_once(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    let retry = Verdict::Retry {
        at: at(500),
        error: "again".into(),
    };
    assert_eq!(store.finish(&claimed, retry, at(1)).await, Ok(()));
    assert_eq!(store.cancel("a", at(2)).await, Change::Applied);
    assert_eq!(store.claim_one(at(2)).await.task.errors().len(), 1);
}

async fn a_generator_ends(backend: Backend) {
    let store = backend.open().await;
    store
        .create([task("daily").recurring("FREQ=DAILY").due(at(500))])
        .await;
    assert_eq!(store.cancel("daily", at(5)).await, Change::Applied);
    let expected = Done::new(at(5), Ending::Cancelled);
    assert_eq!(store.task("daily").await.state.done, Some(expected));
    store.assert_nothing_due(at(1000)).await;
}

async fn a_cancelled_task_is_reported_as_already_cancelled(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a")]).await;
    store.cancel("a", at(5)).await;
    let stored = store.task("a").await;
    assert_eq!(store.cancel("a", at(6)).await, Change::AlreadyCancelled);
    assert_eq!(store.task("a").await, stored);

    let claimed = store.claim_one(at(7)).await;
    assert_eq!(store.cancel("a", at(8)).await, Change::AlreadyCancelled);
    assert_eq!(
        store.finish(&claimed, Verdict::Complete(None), at(9)).await,
        Ok(())
    );
    assert_eq!(store.cancel("a", at(10)).await, Change::AlreadyCancelled);
    assert_eq!(store.task("a").await.status(at(11)), Status::Cancelled);
}

async fn a_done_task_is_reported_as_already_done(backend: Backend) {
    let store = backend.open().await;
    store.create_and_complete(task("completed"), at(1)).await;
    let claimed = store.create_and_claim(task("failed"), at(1)).await;
    let fail = Verdict::Fail { error: "no".into() };
    assert_eq!(store.finish(&claimed, fail, at(1)).await, Ok(()));
    for id in ["completed", "failed"] {
        let stored = store.task(id).await;
        assert_eq!(store.cancel(id, at(5)).await, Change::AlreadyDone);
        assert_eq!(store.task(id).await, stored);
    }
}

async fn an_unknown_id_is_reported_as_not_found(backend: Backend) {
    let store = backend.open().await;
    assert_eq!(store.cancel("a", at(5)).await, Change::NotFound);
    assert_eq!(store.find("a").await, None);
}

async fn the_same_id_twice_is_cancelled_once(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a"), task("b")]).await;
    let changes = store.change(["a", "b", "a"], Action::Cancel, at(5)).await;
    assert_eq!(
        changes,
        [Change::Applied, Change::Applied, Change::AlreadyCancelled]
    );
}

async fn results_are_in_request_order(backend: Backend) {
    let store = backend.open().await;
    store.create_and_complete(task("done"), at(1)).await;
    store.create([task("open"), task("cancelled")]).await;
    store.cancel("cancelled", at(2)).await;
    let changes = store
        .change(["cancelled", "missing", "open", "done"], Action::Cancel, at(5))
        .await;
    assert_eq!(
        changes,
        [
            Change::AlreadyCancelled,
            Change::NotFound,
            Change::Applied,
            Change::AlreadyDone
        ]
    );
    assert_eq!(store.change([] as [&str; 0], Action::Cancel, at(5)).await, []);
}

async fn one_of_competing_cancellations_is_applied(backend: Backend) {
    let store = backend.open().await;
    let all: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    store.create(all.iter().map(|id| task(&id[..]))).await;
    let mut calls = Vec::new();
    for _ in 0..3 {
        let (store, all) = (backend.open().await, all.clone());
        calls.push(tokio::spawn(async move {
            store
                .change(all.iter().map(|id| &id[..]), Action::Cancel, at(5))
                .await
        }));
    }
    let mut applied = 0;
    for changes in calls {
        let changes = changes.await.expect("the call does not panic");
        applied += changes
            .iter()
            .filter(|change| **change == Change::Applied)
            .count();
    }
    assert_eq!(applied, all.len());
}
