//! Claims of several tasks of one resource key.

use std::collections::HashSet;

use oncetask::store::{Claim, Demand};
use oncetask::task::transition::{Phase, Verdict};

use super::list_cases;
use super::support::{Backend, LEASE, StoreHandle, at, complete, group_of, ids, task, token, up_to};

list_cases!("groups":
    a_group_contains_the_due_tasks_of_a_key_in_due_order,
    of_equal_due_times_the_oldest_task_comes_first,
    a_group_is_no_larger_than_demanded,
    a_task_that_is_not_due_is_not_in_the_group,
    a_group_has_one_key,
    a_group_has_one_kind,
    each_task_of_a_group_has_its_own_lease,
    tasks_without_a_key_are_not_grouped,
    cancelled_tasks_are_not_grouped,
    tasks_created_later_wait_for_the_group,
    the_key_is_free_when_the_whole_group_is_finished,
    the_key_is_held_until_the_last_lease_of_the_group_ends,
    one_call_claims_several_groups,
    an_orphaned_group_is_claimed_again,
    only_the_unfinished_tasks_of_a_group_run_again,
    a_deleted_task_does_not_affect_its_group,
);

async fn create_due(store: &StoreHandle, tasks: &[(&str, i64)]) {
    let drafts = tasks.iter().map(|(id, due)| task(*id).key("k").due(at(*due)));
    store.create(drafts).await;
}

async fn claim_group(store: &StoreHandle, size: usize, seconds: i64) -> Claim {
    let mut claims = store.claim(group_of(size), at(seconds)).await;
    claims.pop().expect("a group is due")
}

async fn a_group_contains_the_due_tasks_of_a_key_in_due_order(backend: Backend) {
    let store = backend.open().await;
    create_due(&store, &[("c", 3), ("a", 1), ("d", 4), ("b", 2)]).await;
    assert_eq!(
        ids(&store.claim(group_of(100), at(9)).await),
        ["a", "b", "c", "d"]
    );
}

async fn of_equal_due_times_the_oldest_task_comes_first(backend: Backend) {
    let store = backend.open().await;
    for (id, created) in [("b", 1), ("c", 2), ("a", 3)] {
        store
            .create([task(id).key("k").created(at(created)).due(at(5))])
            .await;
    }
    assert_eq!(ids(&store.claim(group_of(100), at(9)).await), ["b", "c", "a"]);
}

async fn a_group_is_no_larger_than_demanded(backend: Backend) {
    let store = backend.open().await;
    create_due(&store, &[("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)]).await;
    for expected in [["a", "b"].as_slice(), &["c", "d"], &["e"]] {
        let claim = claim_group(&store, 2, 9).await;
        assert_eq!(ids(std::slice::from_ref(&claim)), expected);
        store.assert_nothing_due(at(9)).await;
        store
            .finish_all(claim.tasks.iter().map(complete).collect(), at(9))
            .await;
    }
}

async fn a_task_that_is_not_due_is_not_in_the_group(backend: Backend) {
    let store = backend.open().await;
    create_due(&store, &[("a", 1), ("b", 5), ("c", 6)]).await;
    assert_eq!(ids(&store.claim(group_of(100), at(5)).await), ["a", "b"]);
    assert_eq!(store.task("c").await.attempts(), 0);
}

async fn a_group_has_one_key(backend: Backend) {
    let store = backend.open().await;
    store
        .create([
            task("a1").key("a").due(at(1)),
            task("b1").key("b").due(at(2)),
            task("a2").key("a").due(at(3)),
        ])
        .await;
    assert_eq!(ids(&store.claim(group_of(100), at(9)).await), ["a1", "a2"]);
    assert_eq!(ids(&store.claim(group_of(100), at(9)).await), ["b1"]);
}

async fn a_group_has_one_kind(backend: Backend) {
    let store = backend.open().await;
    store
        .create([task("a").key("k"), task("b").key("k").kind("Other").due(at(1))])
        .await;
    let demand = Demand::new(["Work", "Other"], LEASE).max_claims(5).max_group(100);
    let claims = store.claim(demand, at(9)).await;
    assert_eq!(claims.len(), 2);
    assert_eq!(ids(&claims), ["a", "b"]);
}

async fn each_task_of_a_group_has_its_own_lease(backend: Backend) {
    let store = backend.open().await;
    create_due(&store, &[("a", 1), ("b", 2), ("c", 3)]).await;
    let claim = claim_group(&store, 3, 9).await;
    let tokens: HashSet<_> = claim.tasks.iter().map(token).collect();
    assert_eq!(tokens.len(), 3, "each task has its own token");
    for claimed in &claim.tasks {
        assert_eq!(claimed.task.attempts(), 1);
        assert_eq!(store.task(claimed.task.id().as_str()).await, claimed.task);
    }
}

async fn tasks_without_a_key_are_not_grouped(backend: Backend) {
    let store = backend.open().await;
    store.create(["a", "b", "c"].map(task)).await;
    let demand = group_of(100).max_claims(2);
    let claims = store.claim(demand, at(1)).await;
    let sizes: Vec<_> = claims.iter().map(|claim| claim.tasks.len()).collect();
    assert_eq!(sizes, [1, 1]);
}

async fn cancelled_tasks_are_not_grouped(backend: Backend) {
    let store = backend.open().await;
    create_due(&store, &[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)]).await;
    // The first task of the key is cancelled too, because a store may derive the group from it.
    store.cancel("a", at(1)).await;
    store.cancel("d", at(1)).await;
    let mut claimed = Vec::new();
    while claimed.len() < 5 {
        let claim = claim_group(&store, 100, 9).await;
        let phases = claim.tasks.iter().map(|claimed| {
            claimed
                .task
                .state
                .lease
                .as_ref()
                .expect("a claimed task has a lease")
                .phase
        });
        let phases: HashSet<_> = phases.collect();
        assert_eq!(phases.len(), 1, "a claim has one phase");
        if phases.contains(&Phase::Cleanup) {
            assert_eq!(claim.tasks.len(), 1, "a cleanup is claimed alone");
        } else {
            assert_eq!(ids(std::slice::from_ref(&claim)), ["b", "c", "e"]);
        }
        claimed.extend(claim.tasks.iter().map(|claimed| claimed.task.id().to_string()));
        store
            .finish_all(claim.tasks.iter().map(complete).collect(), at(9))
            .await;
    }
    store.assert_nothing_due(at(9)).await;
}

async fn tasks_created_later_wait_for_the_group(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    create_due(&store, &[("a", 1), ("b", 2)]).await;
    let claim = claim_group(&store, 100, 3).await;
    other
        .create([task("c").key("k").due(at(0)), task("d").key("k").due(at(3))])
        .await;
    assert!(other.claim(group_of(100), at(4)).await.is_empty());
    store
        .finish_all(claim.tasks.iter().map(complete).collect(), at(5))
        .await;
    assert_eq!(ids(&other.claim(group_of(100), at(5)).await), ["c", "d"]);
}

async fn the_key_is_free_when_the_whole_group_is_finished(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    create_due(&store, &[("a", 1), ("b", 2), ("c", 3)]).await;
    let claim = claim_group(&store, 100, 3).await;
    create_due(&store, &[("d", 3)]).await;
    for claimed in &claim.tasks {
        other.assert_nothing_due(at(4)).await;
        assert_eq!(
            store.finish(claimed, Verdict::Complete(None), at(4)).await,
            Ok(())
        );
    }
    assert_eq!(ids(&other.claim(up_to(9), at(4)).await), ["d"]);
}

async fn the_key_is_held_until_the_last_lease_of_the_group_ends(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    create_due(&store, &[("a", 1), ("b", 2), ("c", 3)]).await;
    let claim = claim_group(&store, 100, 3).await;
    store.extend(&claim.tasks[1], at(100), at(30)).await;
    other.assert_nothing_due(at(63)).await;
    other.assert_nothing_due(at(99)).await;
    assert_eq!(ids(&other.claim(group_of(100), at(100)).await), ["a", "b", "c"]);
}

async fn one_call_claims_several_groups(backend: Backend) {
    let store = backend.open().await;
    let drafts = [
        ("a1", "a"),
        ("b1", "b"),
        ("a2", "a"),
        ("c1", "c"),
        ("b2", "b"),
        ("a3", "a"),
    ];
    let drafts = drafts
        .into_iter()
        .zip(0..)
        .map(|((id, key), n)| task(id).key(key).due(at(n)));
    store.create(drafts).await;
    let demand = group_of(2).max_claims(2);
    let claims = store.claim(demand, at(9)).await;
    let groups: Vec<_> = claims
        .iter()
        .map(|claim| ids(std::slice::from_ref(claim)))
        .collect();
    assert_eq!(groups, [["a1", "a2"], ["b1", "b2"]]);
}

async fn an_orphaned_group_is_claimed_again(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    create_due(&store, &[("a", 1), ("b", 2)]).await;
    claim_group(&store, 100, 3).await;
    other.assert_nothing_due(at(62)).await;
    let claim = claim_group(&other, 100, 63).await;
    assert_eq!(ids(std::slice::from_ref(&claim)), ["a", "b"]);
    for claimed in claim.tasks {
        assert!(claimed.orphaned);
        assert_eq!((claimed.task.attempts(), claimed.task.errors().len()), (2, 1));
    }
}

/// Simulates a crash of the worker between two writes of a group that is too large for one write of some stores.
async fn only_the_unfinished_tasks_of_a_group_run_again(backend: Backend) {
    const SIZE: usize = 120;
    const COMPLETED: usize = 70;
    let store = backend.open().await;
    let names: Vec<String> = (0..SIZE).map(|n| format!("{n:03}")).collect();
    let drafts = super::support::tasks(&names)
        .into_iter()
        .map(|draft| draft.key("k"));
    store.create(drafts).await;
    let claimed = claim_group(&store, SIZE, 1).await;
    assert_eq!(claimed.tasks.len(), SIZE);
    let first: Vec<_> = claimed.tasks[..COMPLETED].iter().map(complete).collect();
    for finished in store.finish_all(first, at(2)).await {
        assert_eq!(finished, Ok(()));
    }

    let again = claim_group(&store, SIZE, 100_000).await;

    let rest: Vec<_> = again
        .tasks
        .iter()
        .map(|claimed| claimed.task.id().as_str())
        .collect();
    assert_eq!(rest, names[COMPLETED..]);
    assert!(
        again
            .tasks
            .iter()
            .all(|claimed| claimed.orphaned && claimed.task.attempts() == 2)
    );
    for done in store.get(&names[..COMPLETED]).await {
        assert!(done.is_some_and(|task| task.is_done() && task.attempts() == 1));
    }
}

async fn a_deleted_task_does_not_affect_its_group(backend: Backend) {
    let store = backend.open().await;
    create_due(&store, &[("a", 1), ("b", 2), ("c", 3)]).await;
    let claim = claim_group(&store, 100, 3).await;
    store.delete("b").await;
    let finished = store
        .finish_all(claim.tasks.iter().map(complete).collect(), at(4))
        .await;
    assert_eq!(
        finished.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, true]
    );
    assert!(store.task("a").await.is_done());
    assert!(store.task("c").await.is_done());
    assert_eq!(store.find("b").await, None);
}
