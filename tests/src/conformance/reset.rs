//! Resetting tasks.

use oncetask::store::Action;
use oncetask::task::transition::{Change, Verdict};
use oncetask::task::{Json, TaskState};

use super::list_cases;
use super::support::{Backend, at, task};

list_cases!("reset":
    a_completed_task_starts_again,
    a_failed_task_starts_again,
    a_cancelled_task_starts_again,
    a_task_that_is_not_done_is_reported,
    an_unknown_id_is_reported_as_not_found,
    the_same_id_twice_is_reset_once,
    a_reset_task_waits_for_its_key,
    a_claim_from_before_the_reset_cannot_finish,
);

async fn a_completed_task_starts_again(backend: Backend) {
    let store = backend.open().await;
    let first = store
        .create_and_claim(task("a").payload(r#"{"n":1}"#).key("k"), at(0))
        .await;
    let result = Json::parse("7").expect("valid JSON");
    assert_eq!(
        store.finish(&first, Verdict::Complete(Some(result)), at(1)).await,
        Ok(())
    );

    assert_eq!(store.reset("a", at(9)).await, Change::Applied);

    let stored = store.task("a").await;
    assert_eq!(stored.spec, first.task.spec);
    assert_eq!(stored.state, TaskState::waiting_until(at(9)));
    assert_eq!(store.claim_one(at(9)).await.task.attempts(), 1);
}

async fn a_failed_task_starts_again(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    let fail = Verdict::Fail { error: "no".into() };
    assert_eq!(store.finish(&claimed, fail, at(1)).await, Ok(()));
    assert_eq!(store.reset("a", at(9)).await, Change::Applied);
    assert_eq!(
        store.task("a").await.state,
        TaskState::waiting_until(at(9)),
        "the errors are removed"
    );
}

async fn a_cancelled_task_starts_again(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    store.cancel("a", at(1)).await;
    assert_eq!(
        store.finish(&claimed, Verdict::Complete(None), at(2)).await,
        Ok(())
    );
    assert_eq!(store.reset("a", at(9)).await, Change::Applied);
    assert_eq!(store.task("a").await.state, TaskState::waiting_until(at(9)));
    assert_eq!(store.cancel("a", at(10)).await, Change::Applied);
}

async fn a_task_that_is_not_done_is_reported(backend: Backend) {
    let store = backend.open().await;
    store.create_and_claim(task("leased"), at(0)).await;
    store
        .create([task("pending"), task("waiting").due(at(500)), task("cancelled")])
        .await;
    store.cancel("cancelled", at(1)).await;
    for id in ["leased", "pending", "waiting", "cancelled"] {
        let stored = store.task(id).await;
        assert_eq!(store.reset(id, at(9)).await, Change::NotDone, "{id}");
        assert_eq!(store.task(id).await, stored, "{id}");
    }
}

async fn an_unknown_id_is_reported_as_not_found(backend: Backend) {
    let store = backend.open().await;
    assert_eq!(store.reset("a", at(9)).await, Change::NotFound);
}

async fn the_same_id_twice_is_reset_once(backend: Backend) {
    let store = backend.open().await;
    store.create_and_complete(task("a"), at(0)).await;
    store.create_and_complete(task("b"), at(0)).await;
    let changes = store.change(["a", "b", "a"], Action::Reset, at(9)).await;
    assert_eq!(changes, [Change::Applied, Change::Applied, Change::NotDone]);
}

async fn a_reset_task_waits_for_its_key(backend: Backend) {
    let store = backend.open().await;
    store.create_and_complete(task("a").key("k"), at(0)).await;
    store.create_and_claim(task("b").key("k"), at(1)).await;
    assert_eq!(store.reset("a", at(2)).await, Change::Applied);
    store.assert_nothing_due(at(3)).await;
}

async fn a_claim_from_before_the_reset_cannot_finish(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    assert_eq!(
        store.finish(&claimed, Verdict::Complete(None), at(1)).await,
        Ok(())
    );
    store.reset("a", at(2)).await;
    let late = store
        .finish(&claimed, Verdict::Fail { error: "late".into() }, at(3))
        .await;
    assert!(late.is_err());
    assert_eq!(store.task("a").await.state, TaskState::waiting_until(at(2)));
}
