use std::collections::HashSet;

use oncetask::store::{Action, Filter, Insert};
use oncetask::task::transition::Change;

use super::rules;
use super::scene::{Queue, Scene, at, complete, extension, group, ids, room, task, tasks};

rules!("many":
    tasks_in_a_create,
    tasks_in_a_get,
    tasks_in_a_claim_and_a_finish,
    tasks_in_a_group,
    keys_in_a_claim,
    claims_in_a_renewal,
    tasks_in_a_change,
);

const MANY: usize = 1000;

fn names() -> Vec<String> {
    (0..MANY).map(|n| format!("task {n:04}")).collect()
}

async fn create_many(queue: &Queue) -> Vec<String> {
    let names = names();
    queue.create(tasks(&names[..])).await;
    names
}

async fn tasks_in_a_create(scene: Scene) {
    let queue = scene.queue().await;
    let names = create_many(&queue).await;
    assert_eq!(queue.count(Filter::new(), at(9)).await, MANY as u64);
    assert_eq!(queue.list(Filter::new(), at(9)).await, names);
    let again = queue.insert(tasks(&names[..])).await;
    assert!(again.iter().all(|insert| matches!(insert, Insert::Existing(_))));
}

async fn tasks_in_a_get(scene: Scene) {
    let queue = scene.queue().await;
    let names = create_many(&queue).await;
    let asked: Vec<_> = names
        .iter()
        .rev()
        .flat_map(|name| [name.clone(), format!("no {name}")])
        .collect();
    let found = queue.get(&asked[..]).await;
    for (asked, found) in asked.iter().zip(found) {
        let found = found.map(|task| task.id().to_string());
        assert_eq!(found, (!asked.starts_with("no")).then(|| asked.clone()));
    }
}

async fn tasks_in_a_claim_and_a_finish(scene: Scene) {
    let queue = scene.queue().await;
    let names = create_many(&queue).await;
    let claims = queue.claim(room(MANY), at(9)).await;
    assert_eq!(ids(&claims), names);
    let held = claims.iter().flat_map(|claim| &claim.tasks);
    let finished = queue.finish_all(held.map(complete).collect(), at(9)).await;
    assert_eq!(finished, vec![Ok(()); MANY]);
    let completed = Filter::new().status(oncetask::Status::Completed);
    assert_eq!(queue.count(completed, at(9)).await, MANY as u64);
    queue.assert_idle(at(1_000_000)).await;
}

async fn tasks_in_a_group(scene: Scene) {
    let queue = scene.queue().await;
    let names = names();
    let drafts = names
        .iter()
        .zip(0..)
        .map(|(name, n)| task(&name[..]).key("k").due(at(n)));
    queue.create(drafts).await;
    let claims = queue.claim(group(MANY), at(2000)).await;
    assert_eq!(claims.len(), 1);
    assert_eq!(ids(&claims), names);
    queue.assert_idle(at(2000)).await;
    let held = claims[0].tasks.iter().map(complete).collect();
    assert_eq!(queue.finish_all(held, at(2001)).await, vec![Ok(()); MANY]);
}

async fn keys_in_a_claim(scene: Scene) {
    let queue = scene.queue().await;
    let names = names();
    let drafts = names
        .iter()
        .zip(0..)
        .map(|(name, n)| task(&name[..]).key(&format!("key {}", n % (MANY / 2))));
    queue.create(drafts).await;
    let claims = queue.claim(room(MANY), at(9)).await;
    let keys: HashSet<_> = claims
        .iter()
        .map(|claim| claim.tasks[0].task.resource_key())
        .collect();
    assert_eq!((claims.len(), keys.len()), (MANY / 2, MANY / 2));
}

async fn claims_in_a_renewal(scene: Scene) {
    let queue = scene.queue().await;
    create_many(&queue).await;
    let claims = queue.claim(room(MANY), at(9)).await;
    let held = claims.iter().flat_map(|claim| &claim.tasks);
    let renewals = held.map(|held| extension(held, at(500))).collect();
    let renewed = queue.renew_all(renewals, at(10)).await;
    assert_eq!(renewed, vec![oncetask::store::Renewed::Held; MANY]);
    queue.assert_idle(at(499)).await;
}

async fn tasks_in_a_change(scene: Scene) {
    let queue = scene.queue().await;
    let names = create_many(&queue).await;
    for (action, again) in [
        (Action::Cancel, Change::AlreadyCancelled),
        (Action::Delete, Change::NotFound),
    ] {
        let changes = queue.change(&names[..], action.clone(), at(9)).await;
        assert_eq!(changes, vec![Change::Applied; MANY]);
        let changes = queue.change(&names[..], action, at(9)).await;
        assert_eq!(changes, vec![again; MANY]);
    }
}
