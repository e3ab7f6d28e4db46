use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use oncetask::store::Renewed;
use oncetask::task::transition::Verdict;

use super::rules;
use super::scene::{LEASE, Queue, Scene, at, demand, ids, room, task};

rules!("keys":
    one_claim_of_a_key_is_held,
    in_one_claim_each_key_comes_once,
    a_held_key_delays_no_other,
    a_held_key_is_not_due,
    the_tasks_of_a_key_come_in_due_order,
    a_finish_frees_the_key,
    a_retry_frees_the_key,
    a_release_frees_the_key,
    a_delete_frees_the_key,
    the_end_of_the_lease_frees_the_key,
    an_extension_keeps_the_key,
    a_cancelled_handler_keeps_the_key,
    a_cleanup_waits_for_the_key_and_holds_it,
    a_refused_finish_frees_nothing,
    kinds_do_not_share_a_key,
    a_generator_neither_holds_its_key_nor_waits_for_it,
    competing_claimers_never_hold_a_key_twice,
);

async fn one_claim_of_a_key_is_held(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    queue.create(["a", "b", "c"].map(|id| task(id).key("k"))).await;
    assert_eq!(queue.claim(room(1), at(1)).await.len(), 1);
    queue.assert_idle(at(1)).await;
    other.assert_idle(at(1)).await;
}

async fn in_one_claim_each_key_comes_once(scene: Scene) {
    let queue = scene.queue().await;
    let drafts = [("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a"), ("b2", "b")];
    let drafts = drafts
        .into_iter()
        .zip(0..)
        .map(|((id, key), n)| task(id).key(key).due(at(n)));
    queue.create(drafts).await;
    assert_eq!(ids(&queue.claim(room(9), at(9)).await), ["a1", "b1"]);
}

async fn a_held_key_delays_no_other(scene: Scene) {
    let queue = scene.queue().await;
    queue
        .create((0..300).map(|n| task(format!("busy {n}")).key("busy")))
        .await;
    queue.take(at(1)).await;
    queue
        .create([
            task("free").key("free").due(at(5)),
            task("plain").due(at(6)),
            task("other").key("other").due(at(7)),
        ])
        .await;
    assert_eq!(ids(&queue.claim(demand("Work"), at(9)).await), ["free"]);
    assert_eq!(ids(&queue.claim(room(9), at(9)).await), ["plain", "other"]);
}

async fn a_held_key_is_not_due(scene: Scene) {
    let queue = scene.queue().await;
    queue
        .create([
            task("a").key("k"),
            task("b").key("k"),
            task("c").key("k").due(at(30)),
        ])
        .await;
    let claimed = queue.claim_all(vec![room(9)], at(1)).await;
    assert_eq!(claimed.claims.len(), 1);
    // A worker that is told `now` or earlier looks again at once, for as long as the key is held.
    let next = claimed.next_due[0];
    assert!(next.is_none_or(|next| next > at(1)), "{next:?}");
    let again = queue.claim_all(vec![room(9)], at(31)).await;
    let next = again.next_due[0].expect("`b` waits for the key");
    assert!(at(31) < next && next <= at(1) + LEASE, "{next}");
}

async fn the_tasks_of_a_key_come_in_due_order(scene: Scene) {
    let queue = scene.queue().await;
    let drafts = [("c", 3), ("a", 1), ("d", 4), ("b", 2)];
    queue
        .create(drafts.map(|(id, due)| task(id).key("k").due(at(due))))
        .await;
    for id in ["a", "b", "c", "d"] {
        let held = queue.take(at(9)).await;
        assert_eq!(held.task.id().as_str(), id);
        assert_eq!(queue.finish(&held, Verdict::Complete(None), at(9)).await, Ok(()));
    }
}

/// Two tasks of a key, the first of which is held.
async fn held_of_two(queue: &Queue) -> oncetask::store::ClaimedTask {
    queue
        .create([task("a").key("k"), task("b").key("k").due(at(1))])
        .await;
    let held = queue.take(at(1)).await;
    assert_eq!(held.task.id().as_str(), "a");
    held
}

async fn assert_freed(queue: &Queue, seconds: i64) {
    assert_eq!(ids(&queue.claim(room(9), at(seconds)).await), ["b"]);
}

async fn a_finish_frees_the_key(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    let held = held_of_two(&queue).await;
    assert_eq!(
        queue
            .finish(&held, Verdict::Fail { error: "no".into() }, at(2))
            .await,
        Ok(())
    );
    assert_freed(&other, 2).await;
}

async fn a_retry_frees_the_key(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    let held = held_of_two(&queue).await;
    let retry = Verdict::Retry {
        at: at(20),
        error: "again".into(),
    };
    assert_eq!(queue.finish(&held, retry, at(2)).await, Ok(()));
    assert_freed(&other, 2).await;
    other.assert_idle(at(21)).await;
}

async fn a_release_frees_the_key(scene: Scene) {
    let queue = scene.queue().await;
    let held = held_of_two(&queue).await;
    assert_eq!(queue.finish(&held, Verdict::Release, at(2)).await, Ok(()));
    assert_eq!(ids(&queue.claim(room(9), at(2)).await), ["a"]);
}

async fn a_delete_frees_the_key(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    held_of_two(&queue).await;
    queue.delete("a").await;
    assert_freed(&other, 2).await;
}

async fn the_end_of_the_lease_frees_the_key(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    held_of_two(&queue).await;
    other.assert_idle(at(60)).await;
    let claims = other.claim(room(9), at(61)).await;
    assert_eq!(claims.len(), 1, "and one claim of it is held again");
    other.assert_idle(at(61)).await;
}

async fn an_extension_keeps_the_key(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    let held = held_of_two(&queue).await;
    assert_eq!(queue.extend(&held, at(100), at(30)).await, Renewed::Held);
    other.assert_idle(at(99)).await;
    assert_eq!(other.claim(room(9), at(100)).await.len(), 1);
}

async fn a_cancelled_handler_keeps_the_key(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    held_of_two(&queue).await;
    queue.cancel("a", at(2)).await;
    other.assert_idle(at(3)).await;
}

async fn a_cleanup_waits_for_the_key_and_holds_it(scene: Scene) {
    let queue = scene.queue().await;
    let held = held_of_two(&queue).await;
    queue.cancel("b", at(2)).await;
    queue.assert_idle(at(3)).await;
    assert_eq!(queue.finish(&held, Verdict::Complete(None), at(4)).await, Ok(()));
    queue.create([task("c").key("k").due(at(4))]).await;
    assert_freed(&queue, 5).await;
    queue.assert_idle(at(5)).await;
}

async fn a_refused_finish_frees_nothing(scene: Scene) {
    let queue = scene.queue().await;
    let before = held_of_two(&queue).await;
    assert_eq!(queue.finish(&before, Verdict::Release, at(2)).await, Ok(()));
    queue.take(at(2)).await;
    assert!(
        queue
            .finish(&before, Verdict::Complete(None), at(3))
            .await
            .is_err()
    );
    queue.assert_idle(at(3)).await;
}

async fn kinds_do_not_share_a_key(scene: Scene) {
    let queue = scene.queue().await;
    queue
        .create([task("a").key("k"), task("b").key("k").kind("Other")])
        .await;
    let claimed = queue.claim_all(vec![room(5), demand("Other")], at(1)).await;
    assert_eq!(ids(&claimed.claims), ["a", "b"]);
}

async fn a_generator_neither_holds_its_key_nor_waits_for_it(scene: Scene) {
    let queue = scene.queue().await;
    let generator = task("generator").key("k").recurring("FREQ=DAILY");
    queue.create([task("occurrence").key("k"), generator]).await;
    let claims = queue.claim(room(5), at(1)).await;
    let mut claimed = ids(&claims);
    claimed.sort_unstable();
    assert_eq!(claimed, ["generator", "occurrence"]);
}

async fn competing_claimers_never_hold_a_key_twice(scene: Scene) {
    const KEYS: usize = 4;
    const TASKS: usize = 40;
    let queue = scene.queue().await;
    let drafts = (0..TASKS).map(|n| task(n.to_string()).key(&format!("key {}", n % KEYS)));
    queue.create(drafts).await;
    let held_keys = Arc::new(Mutex::new(HashSet::new()));
    let mut claimers = Vec::new();
    for _ in 0..4 {
        claimers.push(tokio::spawn(work_off(scene.queue().await, held_keys.clone())));
    }
    for claimer in claimers {
        claimer.await.expect("no key was held twice");
    }
    let pending = queue
        .get((0..TASKS).map(|n| n.to_string()).collect::<Vec<_>>())
        .await;
    let done = pending.iter().flatten().filter(|task| task.is_done()).count();
    assert_eq!(done, TASKS);
}

/// Claims and completes until every task is done, and watches that no key is held beside it.
async fn work_off(queue: Queue, held_keys: Arc<Mutex<HashSet<String>>>) {
    let keys = |claims: &[oncetask::store::Claim]| -> Vec<String> {
        let tasks = claims.iter().flat_map(|claim| &claim.tasks);
        tasks
            .map(|held| held.task.resource_key().expect("all have one").to_string())
            .collect()
    };
    while queue.count(open(), at(2)).await > 0 {
        let claims = queue.claim(room(2), at(1)).await;
        let claimed_keys = keys(&claims);
        for key in &claimed_keys {
            let new = held_keys.lock().expect("no panic").insert(key.clone());
            assert!(new, "`{key}` is held twice");
        }
        tokio::task::yield_now().await;
        for key in &claimed_keys {
            held_keys.lock().expect("no panic").remove(key);
        }
        let tasks = claims.iter().flat_map(|claim| &claim.tasks);
        let finishes: Vec<_> = tasks.map(super::scene::complete).collect();
        for finished in queue.finish_all(finishes, at(1)).await {
            assert_eq!(finished, Ok(()));
        }
    }
}

/// What is not claimed or done.
fn open() -> oncetask::Filter {
    oncetask::Filter::new().status(oncetask::Status::Pending)
}
