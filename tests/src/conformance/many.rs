//! Calls with a thousand items.

use std::collections::HashSet;

use oncetask::store::{Action, Filter, Insert};
use oncetask::task::transition::Change;

use super::list_cases;
use super::support::{Backend, StoreHandle, at, complete, extension, group_of, ids, task, tasks, up_to};

list_cases!("many":
    tasks_in_a_create,
    tasks_in_a_get,
    tasks_in_a_claim_and_a_finish,
    tasks_in_a_group,
    keys_in_a_claim,
    claims_in_a_renewal,
    tasks_in_a_change,
);

const TASKS: usize = 1000;

fn names() -> Vec<String> {
    (0..TASKS).map(|n| format!("task {n:04}")).collect()
}

async fn create_many(store: &StoreHandle) -> Vec<String> {
    let names = names();
    store.create(tasks(&names[..])).await;
    names
}

async fn tasks_in_a_create(backend: Backend) {
    let store = backend.open().await;
    let names = create_many(&store).await;
    assert_eq!(store.count(Filter::new(), at(9)).await, TASKS as u64);
    assert_eq!(store.list(Filter::new(), at(9)).await, names);
    let again = store.insert(tasks(&names[..])).await;
    assert!(again.iter().all(|insert| matches!(insert, Insert::Existing(_))));
}

async fn tasks_in_a_get(backend: Backend) {
    let store = backend.open().await;
    let names = create_many(&store).await;
    let requested: Vec<_> = names
        .iter()
        .rev()
        .flat_map(|name| [name.clone(), format!("no {name}")])
        .collect();
    let found = store.get(&requested[..]).await;
    for (id, found) in requested.iter().zip(found) {
        let found = found.map(|task| task.id().to_string());
        assert_eq!(found, (!id.starts_with("no")).then(|| id.clone()));
    }
}

async fn tasks_in_a_claim_and_a_finish(backend: Backend) {
    let store = backend.open().await;
    let names = create_many(&store).await;
    let claims = store.claim(up_to(TASKS), at(9)).await;
    assert_eq!(ids(&claims), names);
    let claimed = claims.iter().flat_map(|claim| &claim.tasks);
    let finished = store.finish_all(claimed.map(complete).collect(), at(9)).await;
    assert_eq!(finished, vec![Ok(()); TASKS]);
    let completed = Filter::new().status(oncetask::Status::Completed);
    assert_eq!(store.count(completed, at(9)).await, TASKS as u64);
    store.assert_nothing_due(at(1_000_000)).await;
}

async fn tasks_in_a_group(backend: Backend) {
    let store = backend.open().await;
    let names = names();
    let drafts = names
        .iter()
        .zip(0..)
        .map(|(name, n)| task(&name[..]).key("k").due(at(n)));
    store.create(drafts).await;
    let claims = store.claim(group_of(TASKS), at(2000)).await;
    assert_eq!(claims.len(), 1);
    assert_eq!(ids(&claims), names);
    store.assert_nothing_due(at(2000)).await;
    let claimed = claims[0].tasks.iter().map(complete).collect();
    assert_eq!(store.finish_all(claimed, at(2001)).await, vec![Ok(()); TASKS]);
}

async fn keys_in_a_claim(backend: Backend) {
    let store = backend.open().await;
    let names = names();
    let drafts = names
        .iter()
        .zip(0..)
        .map(|(name, n)| task(&name[..]).key(&format!("key {}", n % (TASKS / 2))));
    store.create(drafts).await;
    let claims = store.claim(up_to(TASKS), at(9)).await;
    let keys: HashSet<_> = claims
        .iter()
        .map(|claim| claim.tasks[0].task.resource_key())
        .collect();
    assert_eq!((claims.len(), keys.len()), (TASKS / 2, TASKS / 2));
}

async fn claims_in_a_renewal(backend: Backend) {
    let store = backend.open().await;
    create_many(&store).await;
    let claims = store.claim(up_to(TASKS), at(9)).await;
    let claimed = claims.iter().flat_map(|claim| &claim.tasks);
    let renewals = claimed.map(|claimed| extension(claimed, at(500))).collect();
    let renewed = store.renew_all(renewals, at(10)).await;
    assert_eq!(renewed, vec![oncetask::store::Renewed::Held; TASKS]);
    store.assert_nothing_due(at(499)).await;
}

async fn tasks_in_a_change(backend: Backend) {
    let store = backend.open().await;
    let names = create_many(&store).await;
    for (action, again) in [
        (Action::Cancel, Change::AlreadyCancelled),
        (Action::Delete, Change::NotFound),
    ] {
        let changes = store.change(&names[..], action.clone(), at(9)).await;
        assert_eq!(changes, vec![Change::Applied; TASKS]);
        let changes = store.change(&names[..], action, at(9)).await;
        assert_eq!(changes, vec![again; TASKS]);
    }
}
