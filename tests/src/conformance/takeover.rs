//! Claims of tasks whose lease has expired.

use oncetask::Status;
use oncetask::store::Renewed;
use oncetask::task::transition::{LeaseLost, Phase, Verdict};

use super::list_cases;
use super::support::{Backend, at, leased_until, task};

list_cases!("takeover":
    a_task_with_an_expired_lease_is_claimed_again,
    a_leased_task_is_not_claimed,
    an_extended_lease_is_respected,
    an_orphaned_attempt_leaves_an_error,
    attempts_and_errors_add_up_after_several_orphans,
    the_previous_claim_cannot_finish,
    the_previous_claim_cannot_be_renewed,
    an_expired_claim_can_finish_until_the_task_is_claimed_again,
    a_cancelled_task_is_claimed_for_its_cleanup,
    an_orphaned_cleanup_leaves_a_cleanup_error,
);

async fn a_task_with_an_expired_lease_is_claimed_again(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    store.create_and_claim(task("a"), at(0)).await;
    let claimed = other.claim_one(at(60)).await;
    assert!(claimed.orphaned);
    assert_eq!(claimed.task.attempts(), 2);
    assert_eq!(leased_until(&claimed.task), Some(at(120)));
    assert_eq!(store.task("a").await, claimed.task);
}

async fn a_leased_task_is_not_claimed(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    store.create_and_claim(task("a"), at(0)).await;
    other.assert_nothing_due(at(59)).await;
}

async fn an_extended_lease_is_respected(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    assert_eq!(store.extend(&claimed, at(90), at(30)).await, Renewed::Held);
    other.assert_nothing_due(at(60)).await;
    other.assert_nothing_due(at(89)).await;
    other.claim_one(at(90)).await;
}

async fn an_orphaned_attempt_leaves_an_error(backend: Backend) {
    let store = backend.open().await;
    store.create_and_claim(task("a"), at(0)).await;
    let claimed = store.claim_one(at(75)).await;
    let [error] = claimed.task.errors() else {
        panic!("{:?}", claimed.task.errors())
    };
    assert_eq!(error.at, at(75));
    assert_eq!(error.attempt, 1);
    assert!(!error.cleanup);
    assert!(
        error.error.contains("worker"),
        "the error names the worker: {}",
        error.error
    );
}

async fn attempts_and_errors_add_up_after_several_orphans(backend: Backend) {
    let store = backend.open().await;
    store.create_and_claim(task("a"), at(0)).await;
    store.claim_one(at(100)).await;
    let last = store.claim_one(at(200)).await;
    assert_eq!(last.task.attempts(), 3);
    assert_eq!(last.task.errors().len(), 2);
    assert_eq!(store.finish(&last, Verdict::Exhausted, at(201)).await, Ok(()));
    let task = store.task("a").await;
    assert_eq!(task.status(at(202)), Status::Failed);
    assert_eq!((task.attempts(), task.errors().len()), (2, 2));
}

async fn the_previous_claim_cannot_finish(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    let before = store.create_and_claim(task("a"), at(0)).await;
    let after = other.claim_one(at(60)).await;
    let late = store.finish(&before, Verdict::Complete(None), at(61)).await;
    assert_eq!(late, Err(LeaseLost));
    assert_eq!(store.task("a").await, after.task, "nothing is changed");
    assert_eq!(
        other.finish(&after, Verdict::Complete(None), at(62)).await,
        Ok(())
    );
    assert_eq!(store.task("a").await.status(at(63)), Status::Completed);
}

async fn the_previous_claim_cannot_be_renewed(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    let before = store.create_and_claim(task("a"), at(0)).await;
    let after = other.claim_one(at(60)).await;
    assert_eq!(store.extend(&before, at(900), at(61)).await, Renewed::Lost);
    assert_eq!(store.task("a").await, after.task, "nothing is changed");
}

async fn an_expired_claim_can_finish_until_the_task_is_claimed_again(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    assert_eq!(
        store.finish(&claimed, Verdict::Complete(None), at(500)).await,
        Ok(())
    );
    assert_eq!(store.task("a").await.status(at(501)), Status::Completed);
}

async fn a_cancelled_task_is_claimed_for_its_cleanup(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    store.create_and_claim(task("a"), at(0)).await;
    store.cancel("a", at(10)).await;
    other.assert_nothing_due(at(59)).await;
    let claimed = other.claim_one(at(60)).await;
    assert!(claimed.orphaned);
    assert_eq!(
        claimed.task.state.lease.as_ref().map(|lease| lease.phase),
        Some(Phase::Cleanup)
    );
    assert_eq!(
        (claimed.task.attempts(), claimed.task.state.cleanup_attempts),
        (1, 1)
    );
    assert!(!claimed.task.errors()[0].cleanup);
}

async fn an_orphaned_cleanup_leaves_a_cleanup_error(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a")]).await;
    store.cancel("a", at(0)).await;
    store.claim_one(at(0)).await;
    let again = store.claim_one(at(60)).await;
    assert!(again.orphaned);
    assert_eq!((again.task.attempts(), again.task.state.cleanup_attempts), (0, 2));
    assert!(again.task.errors()[0].cleanup);
}
