//! Resource keys: at most one claim of a key is active.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use oncetask::store::Renewed;
use oncetask::task::transition::Verdict;

use super::list_cases;
use super::support::{Backend, LEASE, StoreHandle, at, demand, ids, task, up_to};

list_cases!("keys":
    a_key_has_one_active_claim,
    one_call_claims_each_key_once,
    a_held_key_delays_no_other_key,
    tasks_of_a_held_key_are_not_due,
    the_tasks_of_a_key_are_claimed_in_due_order,
    a_finish_frees_the_key,
    a_retry_frees_the_key,
    a_release_frees_the_key,
    a_delete_frees_the_key,
    an_expired_lease_frees_the_key,
    a_renewal_keeps_the_key,
    a_cancelled_handler_keeps_the_key,
    a_cleanup_waits_for_the_key_and_holds_it,
    a_refused_finish_does_not_free_the_key,
    kinds_do_not_share_a_key,
    a_generator_neither_holds_its_key_nor_waits_for_it,
    competing_workers_never_hold_a_key_twice,
);

async fn a_key_has_one_active_claim(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    store.create(["a", "b", "c"].map(|id| task(id).key("k"))).await;
    assert_eq!(store.claim(up_to(1), at(1)).await.len(), 1);
    store.assert_nothing_due(at(1)).await;
    other.assert_nothing_due(at(1)).await;
}

async fn one_call_claims_each_key_once(backend: Backend) {
    let store = backend.open().await;
    let drafts = [("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a"), ("b2", "b")];
    let drafts = drafts
        .into_iter()
        .zip(0..)
        .map(|((id, key), n)| task(id).key(key).due(at(n)));
    store.create(drafts).await;
    assert_eq!(ids(&store.claim(up_to(9), at(9)).await), ["a1", "b1"]);
}

async fn a_held_key_delays_no_other_key(backend: Backend) {
    let store = backend.open().await;
    store
        .create((0..300).map(|n| task(format!("busy {n}")).key("busy")))
        .await;
    store.claim_one(at(1)).await;
    store
        .create([
            task("free").key("free").due(at(5)),
            task("plain").due(at(6)),
            task("other").key("other").due(at(7)),
        ])
        .await;
    assert_eq!(ids(&store.claim(demand("Work"), at(9)).await), ["free"]);
    assert_eq!(ids(&store.claim(up_to(9), at(9)).await), ["plain", "other"]);
}

async fn tasks_of_a_held_key_are_not_due(backend: Backend) {
    let store = backend.open().await;
    store
        .create([
            task("a").key("k"),
            task("b").key("k"),
            task("c").key("k").due(at(30)),
        ])
        .await;
    let claimed = store.claim_all(vec![up_to(9)], at(1)).await;
    assert_eq!(claimed.claims.len(), 1);
    // A worker would claim again at once, in a loop, if this instant were not in the future.
    let next = claimed.next_due[0];
    assert!(next.is_none_or(|next| next > at(1)), "{next:?}");
    let again = store.claim_all(vec![up_to(9)], at(31)).await;
    let next = again.next_due[0].expect("`b` waits for the key");
    assert!(at(31) < next && next <= at(1) + LEASE, "{next}");
}

async fn the_tasks_of_a_key_are_claimed_in_due_order(backend: Backend) {
    let store = backend.open().await;
    let drafts = [("c", 3), ("a", 1), ("d", 4), ("b", 2)];
    store
        .create(drafts.map(|(id, due)| task(id).key("k").due(at(due))))
        .await;
    for id in ["a", "b", "c", "d"] {
        let claimed = store.claim_one(at(9)).await;
        assert_eq!(claimed.task.id().as_str(), id);
        assert_eq!(
            store.finish(&claimed, Verdict::Complete(None), at(9)).await,
            Ok(())
        );
    }
}

/// Creates two tasks of a key, `a` and `b`, and claims `a`.
async fn claim_one_of_two(store: &StoreHandle) -> oncetask::store::ClaimedTask {
    store
        .create([task("a").key("k"), task("b").key("k").due(at(1))])
        .await;
    let claimed = store.claim_one(at(1)).await;
    assert_eq!(claimed.task.id().as_str(), "a");
    claimed
}

async fn assert_freed(store: &StoreHandle, seconds: i64) {
    assert_eq!(ids(&store.claim(up_to(9), at(seconds)).await), ["b"]);
}

async fn a_finish_frees_the_key(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    let claimed = claim_one_of_two(&store).await;
    assert_eq!(
        store
            .finish(&claimed, Verdict::Fail { error: "no".into() }, at(2))
            .await,
        Ok(())
    );
    assert_freed(&other, 2).await;
}

async fn a_retry_frees_the_key(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    let claimed = claim_one_of_two(&store).await;
    let retry = Verdict::Retry {
        at: at(20),
        error: "again".into(),
    };
    assert_eq!(store.finish(&claimed, retry, at(2)).await, Ok(()));
    assert_freed(&other, 2).await;
    other.assert_nothing_due(at(21)).await;
}

async fn a_release_frees_the_key(backend: Backend) {
    let store = backend.open().await;
    let claimed = claim_one_of_two(&store).await;
    assert_eq!(store.finish(&claimed, Verdict::Release, at(2)).await, Ok(()));
    assert_eq!(ids(&store.claim(up_to(9), at(2)).await), ["a"]);
}

async fn a_delete_frees_the_key(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    claim_one_of_two(&store).await;
    store.delete("a").await;
    assert_freed(&other, 2).await;
}

async fn an_expired_lease_frees_the_key(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    claim_one_of_two(&store).await;
    other.assert_nothing_due(at(60)).await;
    let claims = other.claim(up_to(9), at(61)).await;
    assert_eq!(claims.len(), 1, "the key has one active claim again");
    other.assert_nothing_due(at(61)).await;
}

async fn a_renewal_keeps_the_key(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    let claimed = claim_one_of_two(&store).await;
    assert_eq!(store.extend(&claimed, at(100), at(30)).await, Renewed::Held);
    other.assert_nothing_due(at(99)).await;
    assert_eq!(other.claim(up_to(9), at(100)).await.len(), 1);
}

async fn a_cancelled_handler_keeps_the_key(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    claim_one_of_two(&store).await;
    store.cancel("a", at(2)).await;
    other.assert_nothing_due(at(3)).await;
}

async fn a_cleanup_waits_for_the_key_and_holds_it(backend: Backend) {
    let store = backend.open().await;
    let claimed = claim_one_of_two(&store).await;
    store.cancel("b", at(2)).await;
    store.assert_nothing_due(at(3)).await;
    assert_eq!(
        store.finish(&claimed, Verdict::Complete(None), at(4)).await,
        Ok(())
    );
    store.create([task("c").key("k").due(at(4))]).await;
    assert_freed(&store, 5).await;
    store.assert_nothing_due(at(5)).await;
}

async fn a_refused_finish_does_not_free_the_key(backend: Backend) {
    let store = backend.open().await;
    let before = claim_one_of_two(&store).await;
    assert_eq!(store.finish(&before, Verdict::Release, at(2)).await, Ok(()));
    store.claim_one(at(2)).await;
    assert!(
        store
            .finish(&before, Verdict::Complete(None), at(3))
            .await
            .is_err()
    );
    store.assert_nothing_due(at(3)).await;
}

async fn kinds_do_not_share_a_key(backend: Backend) {
    let store = backend.open().await;
    store
        .create([task("a").key("k"), task("b").key("k").kind("Other")])
        .await;
    let claimed = store.claim_all(vec![up_to(5), demand("Other")], at(1)).await;
    assert_eq!(ids(&claimed.claims), ["a", "b"]);
}

async fn a_generator_neither_holds_its_key_nor_waits_for_it(backend: Backend) {
    let store = backend.open().await;
    let generator = task("generator").key("k").recurring("FREQ=DAILY");
    store.create([task("occurrence").key("k"), generator]).await;
    let claims = store.claim(up_to(5), at(1)).await;
    let mut claimed = ids(&claims);
    claimed.sort_unstable();
    assert_eq!(claimed, ["generator", "occurrence"]);
}

async fn competing_workers_never_hold_a_key_twice(backend: Backend) {
    const KEYS: usize = 4;
    const TASKS: usize = 40;
    let store = backend.open().await;
    let drafts = (0..TASKS).map(|n| task(n.to_string()).key(&format!("key {}", n % KEYS)));
    store.create(drafts).await;
    let active_keys = Arc::new(Mutex::new(HashSet::new()));
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(tokio::spawn(claim_and_complete_all(
            backend.open().await,
            active_keys.clone(),
        )));
    }
    for worker in workers {
        worker.await.expect("no key has two active claims");
    }
    let pending = store
        .get((0..TASKS).map(|n| n.to_string()).collect::<Vec<_>>())
        .await;
    let done = pending.iter().flatten().filter(|task| task.is_done()).count();
    assert_eq!(done, TASKS);
}

/// Claims and completes tasks until none is pending, and checks that no key is claimed twice at the same time.
async fn claim_and_complete_all(store: StoreHandle, active_keys: Arc<Mutex<HashSet<String>>>) {
    let keys = |claims: &[oncetask::store::Claim]| -> Vec<String> {
        let tasks = claims.iter().flat_map(|claim| &claim.tasks);
        tasks
            .map(|claimed| {
                claimed
                    .task
                    .resource_key()
                    .expect("every task has a key")
                    .to_string()
            })
            .collect()
    };
    while store.count(pending(), at(2)).await > 0 {
        let claims = store.claim(up_to(2), at(1)).await;
        let claimed_keys = keys(&claims);
        for key in &claimed_keys {
            let new = active_keys
                .lock()
                .expect("no panic while locked")
                .insert(key.clone());
            assert!(new, "`{key}` has two active claims");
        }
        tokio::task::yield_now().await;
        for key in &claimed_keys {
            active_keys.lock().expect("no panic while locked").remove(key);
        }
        let tasks = claims.iter().flat_map(|claim| &claim.tasks);
        let finishes: Vec<_> = tasks.map(super::support::complete).collect();
        for finished in store.finish_all(finishes, at(1)).await {
            assert_eq!(finished, Ok(()));
        }
    }
}

/// Returns the filter of tasks that are neither claimed nor done.
fn pending() -> oncetask::Filter {
    oncetask::Filter::new().status(oncetask::Status::Pending)
}
