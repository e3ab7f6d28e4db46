use std::collections::HashSet;

use oncetask::store::{Claim, Demand};
use oncetask::task::transition::{Phase, Verdict};

use super::rules;
use super::scene::{LEASE, Queue, Scene, at, complete, group, ids, room, task, token};

rules!("groups":
    a_group_is_all_that_is_due_of_a_key_in_due_order,
    of_those_due_at_one_instant_the_oldest_comes_first,
    a_group_is_no_larger_than_wanted,
    what_is_not_due_stays_out,
    a_group_has_one_key,
    a_group_has_one_kind,
    each_task_of_a_group_is_claimed_by_itself,
    tasks_without_a_key_come_alone,
    cancelled_ones_come_alone,
    what_arrives_meanwhile_waits,
    the_key_is_free_when_the_whole_group_is_finished,
    the_key_is_held_until_the_last_lease_of_the_group_ends,
    several_groups_fit_into_one_claim,
    a_group_that_fell_silent_is_taken_over,
    of_a_group_half_completed_only_the_rest_runs_again,
    a_deleted_one_leaves_the_others_alone,
);

async fn create_due(queue: &Queue, tasks: &[(&str, i64)]) {
    let drafts = tasks.iter().map(|(id, due)| task(*id).key("k").due(at(*due)));
    queue.create(drafts).await;
}

async fn one(queue: &Queue, size: usize, seconds: i64) -> Claim {
    let mut claims = queue.claim(group(size), at(seconds)).await;
    claims.pop().expect("a claim")
}

async fn a_group_is_all_that_is_due_of_a_key_in_due_order(scene: Scene) {
    let queue = scene.queue().await;
    create_due(&queue, &[("c", 3), ("a", 1), ("d", 4), ("b", 2)]).await;
    assert_eq!(ids(&queue.claim(group(100), at(9)).await), ["a", "b", "c", "d"]);
}

async fn of_those_due_at_one_instant_the_oldest_comes_first(scene: Scene) {
    let queue = scene.queue().await;
    for (id, created) in [("b", 1), ("c", 2), ("a", 3)] {
        queue
            .create([task(id).key("k").created(at(created)).due(at(5))])
            .await;
    }
    assert_eq!(ids(&queue.claim(group(100), at(9)).await), ["b", "c", "a"]);
}

async fn a_group_is_no_larger_than_wanted(scene: Scene) {
    let queue = scene.queue().await;
    create_due(&queue, &[("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)]).await;
    for expected in [["a", "b"].as_slice(), &["c", "d"], &["e"]] {
        let claim = one(&queue, 2, 9).await;
        assert_eq!(ids(std::slice::from_ref(&claim)), expected);
        queue.assert_idle(at(9)).await;
        queue
            .finish_all(claim.tasks.iter().map(complete).collect(), at(9))
            .await;
    }
}

async fn what_is_not_due_stays_out(scene: Scene) {
    let queue = scene.queue().await;
    create_due(&queue, &[("a", 1), ("b", 5), ("c", 6)]).await;
    assert_eq!(ids(&queue.claim(group(100), at(5)).await), ["a", "b"]);
    assert_eq!(queue.task("c").await.attempts(), 0);
}

async fn a_group_has_one_key(scene: Scene) {
    let queue = scene.queue().await;
    queue
        .create([
            task("a1").key("a").due(at(1)),
            task("b1").key("b").due(at(2)),
            task("a2").key("a").due(at(3)),
        ])
        .await;
    assert_eq!(ids(&queue.claim(group(100), at(9)).await), ["a1", "a2"]);
    assert_eq!(ids(&queue.claim(group(100), at(9)).await), ["b1"]);
}

async fn a_group_has_one_kind(scene: Scene) {
    let queue = scene.queue().await;
    queue
        .create([task("a").key("k"), task("b").key("k").kind("Other").due(at(1))])
        .await;
    let demand = Demand::new(["Work", "Other"], LEASE).max_claims(5).max_group(100);
    let claims = queue.claim(demand, at(9)).await;
    assert_eq!(claims.len(), 2);
    assert_eq!(ids(&claims), ["a", "b"]);
}

async fn each_task_of_a_group_is_claimed_by_itself(scene: Scene) {
    let queue = scene.queue().await;
    create_due(&queue, &[("a", 1), ("b", 2), ("c", 3)]).await;
    let claim = one(&queue, 3, 9).await;
    let tokens: HashSet<_> = claim.tasks.iter().map(token).collect();
    assert_eq!(tokens.len(), 3, "each has a token of its own");
    for claimed in &claim.tasks {
        assert_eq!(claimed.task.attempts(), 1);
        assert_eq!(queue.task(claimed.task.id().as_str()).await, claimed.task);
    }
}

async fn tasks_without_a_key_come_alone(scene: Scene) {
    let queue = scene.queue().await;
    queue.create(["a", "b", "c"].map(task)).await;
    let demand = group(100).max_claims(2);
    let claims = queue.claim(demand, at(1)).await;
    let sizes: Vec<_> = claims.iter().map(|claim| claim.tasks.len()).collect();
    assert_eq!(sizes, [1, 1]);
}

async fn cancelled_ones_come_alone(scene: Scene) {
    let queue = scene.queue().await;
    create_due(&queue, &[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)]).await;
    // The first one too: what is claimed with it must not follow from the rest.
    queue.cancel("a", at(1)).await;
    queue.cancel("d", at(1)).await;
    let mut claimed = Vec::new();
    while claimed.len() < 5 {
        let claim = one(&queue, 100, 9).await;
        let phases = claim
            .tasks
            .iter()
            .map(|held| held.task.state.lease.as_ref().expect("leased").phase);
        let phases: HashSet<_> = phases.collect();
        assert_eq!(phases.len(), 1, "a claim is of one phase");
        if phases.contains(&Phase::Cleanup) {
            assert_eq!(claim.tasks.len(), 1, "a cleanup comes alone");
        } else {
            assert_eq!(ids(std::slice::from_ref(&claim)), ["b", "c", "e"]);
        }
        claimed.extend(claim.tasks.iter().map(|held| held.task.id().to_string()));
        queue
            .finish_all(claim.tasks.iter().map(complete).collect(), at(9))
            .await;
    }
    queue.assert_idle(at(9)).await;
}

async fn what_arrives_meanwhile_waits(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    create_due(&queue, &[("a", 1), ("b", 2)]).await;
    let claim = one(&queue, 100, 3).await;
    other
        .create([task("c").key("k").due(at(0)), task("d").key("k").due(at(3))])
        .await;
    assert!(other.claim(group(100), at(4)).await.is_empty());
    queue
        .finish_all(claim.tasks.iter().map(complete).collect(), at(5))
        .await;
    assert_eq!(ids(&other.claim(group(100), at(5)).await), ["c", "d"]);
}

async fn the_key_is_free_when_the_whole_group_is_finished(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    create_due(&queue, &[("a", 1), ("b", 2), ("c", 3)]).await;
    let claim = one(&queue, 100, 3).await;
    create_due(&queue, &[("d", 3)]).await;
    for held in &claim.tasks {
        other.assert_idle(at(4)).await;
        assert_eq!(queue.finish(held, Verdict::Complete(None), at(4)).await, Ok(()));
    }
    assert_eq!(ids(&other.claim(room(9), at(4)).await), ["d"]);
}

async fn the_key_is_held_until_the_last_lease_of_the_group_ends(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    create_due(&queue, &[("a", 1), ("b", 2), ("c", 3)]).await;
    let claim = one(&queue, 100, 3).await;
    queue.extend(&claim.tasks[1], at(100), at(30)).await;
    other.assert_idle(at(63)).await;
    other.assert_idle(at(99)).await;
    assert_eq!(ids(&other.claim(group(100), at(100)).await), ["a", "b", "c"]);
}

async fn several_groups_fit_into_one_claim(scene: Scene) {
    let queue = scene.queue().await;
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
    queue.create(drafts).await;
    let demand = group(2).max_claims(2);
    let claims = queue.claim(demand, at(9)).await;
    let groups: Vec<_> = claims
        .iter()
        .map(|claim| ids(std::slice::from_ref(claim)))
        .collect();
    assert_eq!(groups, [["a1", "a2"], ["b1", "b2"]]);
}

async fn a_group_that_fell_silent_is_taken_over(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    create_due(&queue, &[("a", 1), ("b", 2)]).await;
    one(&queue, 100, 3).await;
    other.assert_idle(at(62)).await;
    let claim = one(&other, 100, 63).await;
    assert_eq!(ids(std::slice::from_ref(&claim)), ["a", "b"]);
    for held in claim.tasks {
        assert!(held.orphaned);
        assert_eq!((held.task.attempts(), held.task.errors().len()), (2, 1));
    }
}

/// Larger than what one write of some stores holds; the worker dies between two of its writes.
async fn of_a_group_half_completed_only_the_rest_runs_again(scene: Scene) {
    const SIZE: usize = 120;
    const COMPLETED: usize = 70;
    let queue = scene.queue().await;
    let names: Vec<String> = (0..SIZE).map(|n| format!("{n:03}")).collect();
    let drafts = super::scene::tasks(&names)
        .into_iter()
        .map(|draft| draft.key("k"));
    queue.create(drafts).await;
    let held = one(&queue, SIZE, 1).await;
    assert_eq!(held.tasks.len(), SIZE);
    let first: Vec<_> = held.tasks[..COMPLETED].iter().map(complete).collect();
    for finished in queue.finish_all(first, at(2)).await {
        assert_eq!(finished, Ok(()));
    }

    let again = one(&queue, SIZE, 100_000).await;

    let rest: Vec<_> = again.tasks.iter().map(|held| held.task.id().as_str()).collect();
    assert_eq!(rest, names[COMPLETED..]);
    assert!(
        again
            .tasks
            .iter()
            .all(|held| held.orphaned && held.task.attempts() == 2)
    );
    for done in queue.get(&names[..COMPLETED]).await {
        assert!(done.is_some_and(|task| task.is_done() && task.attempts() == 1));
    }
}

async fn a_deleted_one_leaves_the_others_alone(scene: Scene) {
    let queue = scene.queue().await;
    create_due(&queue, &[("a", 1), ("b", 2), ("c", 3)]).await;
    let claim = one(&queue, 100, 3).await;
    queue.delete("b").await;
    let finished = queue
        .finish_all(claim.tasks.iter().map(complete).collect(), at(4))
        .await;
    assert_eq!(
        finished.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, true]
    );
    assert!(queue.task("a").await.is_done());
    assert!(queue.task("c").await.is_done());
    assert_eq!(queue.find("b").await, None);
}
