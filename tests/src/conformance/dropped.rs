//! Calls whose futures are dropped: each change is made completely or not at all.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use oncetask::Status;
use oncetask::store::{Action, ClaimRequest, Insert};
use oncetask::task::transition::{Change, LeaseLost};

use super::list_cases;
use super::support::{Backend, at, complete, ids, task, tasks, up_to};

list_cases!("dropped":
    a_dropped_create_is_atomic_for_each_task,
    the_tasks_of_a_dropped_claim_are_free_after_their_leases,
    a_dropped_finish_is_atomic,
    a_dropped_change_is_atomic_for_each_task,
);

/// Polls a call once and drops it.
async fn start_and_drop<T>(call: impl Future<Output = T>) {
    let mut call = pin!(call);
    poll_fn(|cx| {
        let _ = call.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

fn names() -> Vec<String> {
    (0..50).map(|n| n.to_string()).collect()
}

async fn a_dropped_create_is_atomic_for_each_task(backend: Backend) {
    let store = backend.open().await;
    let drafts = || tasks(names()).into_iter().map(Into::into).collect();
    start_and_drop(store.0.create(drafts())).await;
    let inserts = store.insert(tasks(names())).await;
    for (name, insert) in names().iter().zip(inserts) {
        let stored = store.task(name).await;
        if insert != Insert::New {
            assert_eq!(insert, Insert::Existing(Box::new(stored)));
        }
    }
    assert_eq!(ids(&store.claim(up_to(99), at(1)).await), names());
}

async fn the_tasks_of_a_dropped_claim_are_free_after_their_leases(backend: Backend) {
    let store = backend.open().await;
    store.create(tasks(names())).await;
    let request = ClaimRequest::new("dropped", at(1), vec![up_to(99)]);
    start_and_drop(store.0.claim(request)).await;
    let claims = store.claim(up_to(99), at(61)).await;
    assert_eq!(claims.len(), names().len());
    for claimed in claims.iter().flat_map(|claim| &claim.tasks) {
        let expected = if claimed.orphaned { (2, 1) } else { (1, 0) };
        assert_eq!((claimed.task.attempts(), claimed.task.errors().len()), expected);
    }
}

async fn a_dropped_finish_is_atomic(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(0)).await;
    start_and_drop(store.0.finish(vec![complete(&claimed)], at(1))).await;
    // The second finish is refused if the first one was applied.
    let second = store.finish_one(complete(&claimed), at(2)).await;
    let stored = store.task("a").await;
    assert_eq!(stored.status(at(3)), Status::Completed);
    let done = stored.state.done.expect("the task is done").at;
    assert_eq!(done, if second == Err(LeaseLost) { at(1) } else { at(2) });
}

async fn a_dropped_change_is_atomic_for_each_task(backend: Backend) {
    let store = backend.open().await;
    store.create(tasks(names())).await;
    let ids = names().into_iter().map(Into::into).collect();
    start_and_drop(store.0.change(ids, Action::Cancel, at(1))).await;
    let changes = store.change(names(), Action::Cancel, at(2)).await;
    for (name, change) in names().iter().zip(changes) {
        let cancelled = store.task(name).await.state.cancelled_at;
        let expected = if change == Change::Applied { at(2) } else { at(1) };
        assert_eq!(cancelled, Some(expected), "{change:?}");
    }
}
