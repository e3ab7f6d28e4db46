//! Claiming tasks: their order, their leases, and the next due times.

use std::collections::HashSet;
use std::time::Duration;

use oncetask::store::Demand;
use oncetask::task::transition::Phase;

use super::list_cases;
use super::support::{Backend, KIND, LEASE, StoreHandle, at, demand, ids, millis, task, tasks, token, up_to};

list_cases!("claim":
    a_due_task_is_claimed,
    a_task_that_is_not_due_is_not_claimed,
    the_earliest_due_task_is_claimed_first,
    of_equal_due_times_the_oldest_task_is_claimed_first,
    the_claimed_task_is_the_stored_task,
    no_more_claims_than_demanded,
    a_demand_for_nothing_claims_nothing,
    each_demand_gets_its_own_claims,
    several_kinds_of_a_demand_share_one_order,
    other_kinds_are_not_claimed,
    a_claimed_task_is_not_claimed_again,
    a_done_task_is_not_claimed,
    a_generator_is_claimed_without_an_attempt,
    a_demand_for_generators_claims_only_generators,
    a_demand_for_generators_gets_their_next_due_time,
    each_claim_has_its_own_token,
    the_lease_has_the_demanded_duration,
    competing_workers_claim_each_task_once,
    next_due_is_the_due_time_of_the_next_task,
    next_due_is_given_for_each_demand,
    next_due_is_none_without_open_tasks,
    next_due_is_not_in_the_future_while_tasks_are_due,
    next_due_is_in_the_future_once_all_tasks_are_claimed,
);

async fn a_due_task_is_claimed(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a").due(millis(1500))]).await;
    assert_eq!(ids(&store.claim(up_to(1), millis(1500)).await), ["a"]);
}

async fn a_task_that_is_not_due_is_not_claimed(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a").due(millis(1500))]).await;
    store.assert_nothing_due(millis(1499)).await;
    assert_eq!(store.task("a").await.attempts(), 0);
}

async fn the_earliest_due_task_is_claimed_first(backend: Backend) {
    let store = backend.open().await;
    let drafts = [
        ("c", millis(3000)),
        ("a", millis(1000)),
        ("d", millis(3001)),
        ("b", millis(1250)),
    ];
    store.create(drafts.map(|(id, due)| task(id).due(due))).await;
    assert_eq!(ids(&store.claim(up_to(3), at(9)).await), ["a", "b", "c"]);
    assert_eq!(ids(&store.claim(up_to(3), at(9)).await), ["d"]);
}

async fn of_equal_due_times_the_oldest_task_is_claimed_first(backend: Backend) {
    let store = backend.open().await;
    for (id, created) in [("b", 1), ("c", 2), ("a", 3)] {
        store.create([task(id).created(at(created)).due(at(5))]).await;
    }
    assert_eq!(ids(&store.claim(up_to(9), at(9)).await), ["b", "c", "a"]);
}

async fn the_claimed_task_is_the_stored_task(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a").key("k").payload(r#"{"n":1}"#)]).await;
    let claimed = store.claim_one(at(5)).await;
    assert!(!claimed.orphaned);
    assert_eq!(claimed.task, store.task("a").await);
    assert_eq!(claimed.task.attempts(), 1);
    let lease = claimed.task.state.lease.expect("a claimed task has a lease");
    assert_eq!(lease.until, at(5) + LEASE);
    assert_eq!(&*lease.owner, "worker");
    assert_eq!(lease.phase, Phase::Run);
}

async fn no_more_claims_than_demanded(backend: Backend) {
    let store = backend.open().await;
    store.create(tasks(["a", "b", "c", "d", "e"])).await;
    assert_eq!(ids(&store.claim(up_to(2), at(9)).await), ["a", "b"]);
    assert_eq!(ids(&store.claim(up_to(2), at(9)).await), ["c", "d"]);
    assert_eq!(ids(&store.claim(up_to(2), at(9)).await), ["e"]);
}

async fn a_demand_for_nothing_claims_nothing(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a")]).await;
    assert!(store.claim(up_to(0), at(9)).await.is_empty());
    assert!(store.claim_all(Vec::new(), at(9)).await.claims.is_empty());
    assert_eq!(store.task("a").await, task("a").into());
}

async fn each_demand_gets_its_own_claims(backend: Backend) {
    let store = backend.open().await;
    store
        .create([
            task("a1"),
            task("b1").kind("Other"),
            task("a2").created(at(1)),
            task("b2").kind("Other").created(at(1)),
        ])
        .await;
    let other = demand("Other").max_claims(5);
    let claims = store
        .claim_all(vec![other, demand("None"), demand(KIND)], at(9))
        .await
        .claims;
    let ids_of = |index: usize| {
        let claims: Vec<_> = claims.iter().filter(|claim| claim.demand == index).collect();
        claims
            .iter()
            .map(|claim| claim.tasks[0].task.id().as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids_of(0), ["b1", "b2"]);
    assert_eq!(ids_of(1), [] as [&str; 0]);
    assert_eq!(ids_of(2), ["a1"]);
}

async fn several_kinds_of_a_demand_share_one_order(backend: Backend) {
    let store = backend.open().await;
    let kinds = ["New", "Old", "Oldest", "New", "Old"];
    let drafts = kinds
        .into_iter()
        .zip(1..)
        .map(|(kind, n)| task(n.to_string()).kind(kind).due(at(n)));
    store.create(drafts).await;
    let aliases = Demand::new(["New", "Old", "Oldest"], LEASE).max_claims(4);
    assert_eq!(ids(&store.claim(aliases, at(9)).await), ["1", "2", "3", "4"]);
}

async fn other_kinds_are_not_claimed(backend: Backend) {
    let store = backend.open().await;
    store
        .create([task("a").kind("Other"), task("b").kind("work")])
        .await;
    store.assert_nothing_due(at(9)).await;
    let nothing = Demand::new([] as [&str; 0], LEASE).max_claims(5);
    assert!(store.claim(nothing, at(9)).await.is_empty());
}

async fn a_claimed_task_is_not_claimed_again(backend: Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    store.create_and_claim(task("a"), at(0)).await;
    store.assert_nothing_due(at(0)).await;
    other.assert_nothing_due(at(0)).await;
    other.assert_nothing_due(millis(59_999)).await;
}

async fn a_done_task_is_not_claimed(backend: Backend) {
    let store = backend.open().await;
    store.create_and_complete(task("a"), at(1)).await;
    store.assert_nothing_due(at(1_000_000)).await;
}

async fn a_generator_is_claimed_without_an_attempt(backend: Backend) {
    let store = backend.open().await;
    let claimed = store
        .create_and_claim(task("daily").recurring("FREQ=DAILY").due(at(3)), at(3))
        .await;
    assert_eq!(claimed.task.attempts(), 0);
    let again = store.claim_one(at(63)).await;
    assert!(!again.orphaned, "claims of a generator are not attempts");
    assert_eq!(again.task.errors(), []);
}

/// Returns a demand for generators only.
fn generators(claims: usize) -> Demand {
    up_to(claims).generators_only()
}

async fn a_demand_for_generators_claims_only_generators(backend: Backend) {
    let store = backend.open().await;
    let backlog = (0..300).map(|n| task(n.to_string()));
    store.create(backlog).await;
    store.create([task("keyed").key("k")]).await;
    let daily = |id: &str| task(id).recurring("FREQ=DAILY");
    store
        .create([
            daily("second").key("k").due(at(3)),
            daily("first").due(at(2)),
            daily("later").due(at(7)),
            daily("other").kind("Other"),
        ])
        .await;
    assert!(store.claim(generators(0), at(5)).await.is_empty());
    assert_eq!(ids(&store.claim(generators(1), at(5)).await), ["first"]);
    let rest = store.claim_all(vec![generators(5)], at(5)).await;
    assert_eq!(ids(&rest.claims), ["second"]);
    assert_eq!(rest.next_due, [Some(at(7))]);
    let all = store.claim(up_to(400), at(5)).await;
    assert_eq!(all.len(), 301, "all tasks except the generators are still due");
}

async fn a_demand_for_generators_gets_their_next_due_time(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a"), task("b").due(at(3))]).await;
    store
        .create([task("daily").recurring("FREQ=DAILY").due(at(9))])
        .await;
    let response = store.claim_all(vec![generators(1)], at(1)).await;
    assert!(response.claims.is_empty());
    assert_eq!(response.next_due, [Some(at(9))]);
    let both = store.claim_all(vec![generators(1), up_to(5)], at(9)).await;
    assert_eq!(both.claims.iter().filter(|claim| claim.demand == 0).count(), 1);
    assert_eq!(both.claims.iter().filter(|claim| claim.demand == 1).count(), 2);
}

async fn each_claim_has_its_own_token(backend: Backend) {
    let store = backend.open().await;
    store
        .create(tasks((0..20).map(|n| n.to_string()).collect::<Vec<_>>()))
        .await;
    let claims = store.claim(up_to(20), at(1)).await;
    let tokens: HashSet<_> = claims.iter().flat_map(|claim| &claim.tasks).map(token).collect();
    assert_eq!(tokens.len(), 20);
}

async fn the_lease_has_the_demanded_duration(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a")]).await;
    let short = Demand::new([KIND], chrono::TimeDelta::seconds(2));
    store.claim(short, at(0)).await;
    store.assert_nothing_due(at(1)).await;
    store.claim_one(at(2)).await;
}

async fn competing_workers_claim_each_task_once(backend: Backend) {
    const TASKS: usize = 60;
    let store = backend.open().await;
    store
        .create(tasks((0..TASKS).map(|n| n.to_string()).collect::<Vec<_>>()))
        .await;
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(tokio::spawn(claim_everything(backend.open().await)));
    }
    let mut claimed_ids = Vec::new();
    for worker in workers {
        claimed_ids.extend(worker.await.expect("the worker does not panic"));
    }
    assert_eq!(
        claimed_ids.iter().collect::<HashSet<_>>().len(),
        TASKS,
        "{claimed_ids:?}"
    );
    assert_eq!(claimed_ids.len(), TASKS, "each task is claimed once");
}

/// Claims tasks until all are claimed, and returns their ids.
async fn claim_everything(store: StoreHandle) -> Vec<String> {
    let mut claimed_ids = Vec::new();
    loop {
        let claimed = store.claim_all(vec![up_to(3)], at(1)).await;
        let is_empty = claimed.claims.is_empty();
        claimed_ids.extend(ids(&claimed.claims).into_iter().map(str::to_owned));
        // A store that leaves due tasks to other processes returns the instant of the next try.
        if is_empty && claimed.next_due[0].is_none_or(|due| due >= at(1) + LEASE) {
            return claimed_ids;
        }
        let pause = if is_empty { 5 } else { 0 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

async fn next_due_is_the_due_time_of_the_next_task(backend: Backend) {
    let store = backend.open().await;
    let drafts = [
        ("now", millis(0)),
        ("soon", millis(2500)),
        ("later", millis(9000)),
    ];
    store.create(drafts.map(|(id, due)| task(id).due(due))).await;
    let claimed = store.claim_all(vec![up_to(5)], at(1)).await;
    assert_eq!(ids(&claimed.claims), ["now"]);
    assert_eq!(claimed.next_due, [Some(millis(2500))]);
}

async fn next_due_is_given_for_each_demand(backend: Backend) {
    let store = backend.open().await;
    store
        .create([task("a").due(at(7)), task("b").kind("Other").due(at(5))])
        .await;
    let claimed = store
        .claim_all(vec![demand(KIND), demand("None"), demand("Other")], at(1))
        .await;
    assert_eq!(claimed.next_due, [Some(at(7)), None, Some(at(5))]);
}

async fn next_due_is_none_without_open_tasks(backend: Backend) {
    let store = backend.open().await;
    store.create_and_complete(task("a"), at(1)).await;
    let claimed = store.claim_all(vec![up_to(5)], at(1)).await;
    assert_eq!(claimed.next_due, [None]);
}

async fn next_due_is_not_in_the_future_while_tasks_are_due(backend: Backend) {
    let store = backend.open().await;
    store.create(tasks(["a", "b", "c"])).await;
    for demand in [up_to(2), up_to(0)] {
        let claimed = store.claim_all(vec![demand], at(1)).await;
        let next = claimed.next_due[0].expect("a task is due");
        assert!(next <= at(1), "{next}");
    }
}

async fn next_due_is_in_the_future_once_all_tasks_are_claimed(backend: Backend) {
    let store = backend.open().await;
    store.create(tasks(["a", "b"])).await;
    for _ in 0..2 {
        let claimed = store.claim_all(vec![up_to(2)], at(1)).await;
        // A store may return the end of the leases, although the tasks may be finished by then.
        assert!(claimed.next_due[0].is_none_or(|due| due >= at(1) + LEASE));
    }
}
