use std::collections::HashSet;
use std::time::Duration;

use oncetask::store::Demand;
use oncetask::task::transition::Phase;

use super::rules;
use super::scene::{KIND, LEASE, Queue, Scene, at, demand, ids, millis, room, task, tasks, token};

rules!("claim":
    what_is_due_is_taken,
    what_is_not_due_is_left,
    the_earliest_due_goes_first,
    of_those_due_at_one_instant_the_oldest_goes_first,
    what_is_claimed_is_what_is_stored,
    no_more_than_there_is_room_for,
    without_room_nothing_is_taken,
    each_want_gets_its_own,
    a_want_of_several_kinds_takes_them_in_one_order,
    other_kinds_are_left,
    a_claimed_task_is_not_claimed_again,
    a_done_task_is_not_claimed,
    a_generator_is_claimed_without_an_attempt,
    a_want_of_generators_gets_them_and_leaves_the_rest,
    a_want_of_generators_is_told_when_the_next_is_due,
    each_claim_has_a_token_of_its_own,
    the_lease_lasts_as_long_as_wanted,
    of_competing_claimers_one_gets_it,
    the_next_instant_is_that_of_the_next_task,
    the_next_instant_is_told_for_each_want,
    there_is_no_next_instant_of_nothing,
    when_more_is_due_the_next_instant_is_not_in_the_future,
    when_everything_is_taken_the_next_instant_is_in_the_future,
);

async fn what_is_due_is_taken(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a").due(millis(1500))]).await;
    assert_eq!(ids(&queue.claim(room(1), millis(1500)).await), ["a"]);
}

async fn what_is_not_due_is_left(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a").due(millis(1500))]).await;
    queue.assert_idle(millis(1499)).await;
    assert_eq!(queue.task("a").await.attempts(), 0);
}

async fn the_earliest_due_goes_first(scene: Scene) {
    let queue = scene.queue().await;
    let drafts = [
        ("c", millis(3000)),
        ("a", millis(1000)),
        ("d", millis(3001)),
        ("b", millis(1250)),
    ];
    queue.create(drafts.map(|(id, due)| task(id).due(due))).await;
    assert_eq!(ids(&queue.claim(room(3), at(9)).await), ["a", "b", "c"]);
    assert_eq!(ids(&queue.claim(room(3), at(9)).await), ["d"]);
}

async fn of_those_due_at_one_instant_the_oldest_goes_first(scene: Scene) {
    let queue = scene.queue().await;
    for (id, created) in [("b", 1), ("c", 2), ("a", 3)] {
        queue.create([task(id).created(at(created)).due(at(5))]).await;
    }
    assert_eq!(ids(&queue.claim(room(9), at(9)).await), ["b", "c", "a"]);
}

async fn what_is_claimed_is_what_is_stored(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a").key("k").payload(r#"{"n":1}"#)]).await;
    let claimed = queue.take(at(5)).await;
    assert!(!claimed.orphaned);
    assert_eq!(claimed.task, queue.task("a").await);
    assert_eq!(claimed.task.attempts(), 1);
    let lease = claimed.task.state.lease.expect("it is leased");
    assert_eq!(lease.until, at(5) + LEASE);
    assert_eq!(&*lease.owner, "worker");
    assert_eq!(lease.phase, Phase::Run);
}

async fn no_more_than_there_is_room_for(scene: Scene) {
    let queue = scene.queue().await;
    queue.create(tasks(["a", "b", "c", "d", "e"])).await;
    assert_eq!(ids(&queue.claim(room(2), at(9)).await), ["a", "b"]);
    assert_eq!(ids(&queue.claim(room(2), at(9)).await), ["c", "d"]);
    assert_eq!(ids(&queue.claim(room(2), at(9)).await), ["e"]);
}

async fn without_room_nothing_is_taken(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a")]).await;
    assert!(queue.claim(room(0), at(9)).await.is_empty());
    assert!(queue.claim_all(Vec::new(), at(9)).await.claims.is_empty());
    assert_eq!(queue.task("a").await, task("a").into());
}

async fn each_want_gets_its_own(scene: Scene) {
    let queue = scene.queue().await;
    queue
        .create([
            task("a1"),
            task("b1").kind("Other"),
            task("a2").created(at(1)),
            task("b2").kind("Other").created(at(1)),
        ])
        .await;
    let other = demand("Other").max_claims(5);
    let claims = queue
        .claim_all(vec![other, demand("None"), demand(KIND)], at(9))
        .await
        .claims;
    let of_want = |place: usize| {
        let claims: Vec<_> = claims.iter().filter(|claim| claim.demand == place).collect();
        claims
            .iter()
            .map(|claim| claim.tasks[0].task.id().as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(of_want(0), ["b1", "b2"]);
    assert_eq!(of_want(1), [] as [&str; 0]);
    assert_eq!(of_want(2), ["a1"]);
}

async fn a_want_of_several_kinds_takes_them_in_one_order(scene: Scene) {
    let queue = scene.queue().await;
    let kinds = ["New", "Old", "Oldest", "New", "Old"];
    let drafts = kinds
        .into_iter()
        .zip(1..)
        .map(|(kind, n)| task(n.to_string()).kind(kind).due(at(n)));
    queue.create(drafts).await;
    let aliases = Demand::new(["New", "Old", "Oldest"], LEASE).max_claims(4);
    assert_eq!(ids(&queue.claim(aliases, at(9)).await), ["1", "2", "3", "4"]);
}

async fn other_kinds_are_left(scene: Scene) {
    let queue = scene.queue().await;
    queue
        .create([task("a").kind("Other"), task("b").kind("work")])
        .await;
    queue.assert_idle(at(9)).await;
    let nothing = Demand::new([] as [&str; 0], LEASE).max_claims(5);
    assert!(queue.claim(nothing, at(9)).await.is_empty());
}

async fn a_claimed_task_is_not_claimed_again(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    queue.start(task("a"), at(0)).await;
    queue.assert_idle(at(0)).await;
    other.assert_idle(at(0)).await;
    other.assert_idle(millis(59_999)).await;
}

async fn a_done_task_is_not_claimed(scene: Scene) {
    let queue = scene.queue().await;
    queue.complete(task("a"), at(1)).await;
    queue.assert_idle(at(1_000_000)).await;
}

async fn a_generator_is_claimed_without_an_attempt(scene: Scene) {
    let queue = scene.queue().await;
    let claimed = queue
        .start(task("daily").recurring("FREQ=DAILY").due(at(3)), at(3))
        .await;
    assert_eq!(claimed.task.attempts(), 0);
    let again = queue.take(at(63)).await;
    assert!(!again.orphaned, "the claims of a generator are no attempts");
    assert_eq!(again.task.errors(), []);
}

/// Room for generators only.
fn generators(claims: usize) -> Demand {
    room(claims).generators_only()
}

async fn a_want_of_generators_gets_them_and_leaves_the_rest(scene: Scene) {
    let queue = scene.queue().await;
    let backlog = (0..300).map(|n| task(n.to_string()));
    queue.create(backlog).await;
    queue.create([task("keyed").key("k")]).await;
    let daily = |id: &str| task(id).recurring("FREQ=DAILY");
    queue
        .create([
            daily("second").key("k").due(at(3)),
            daily("first").due(at(2)),
            daily("later").due(at(7)),
            daily("other").kind("Other"),
        ])
        .await;
    assert!(queue.claim(generators(0), at(5)).await.is_empty());
    assert_eq!(ids(&queue.claim(generators(1), at(5)).await), ["first"]);
    let rest = queue.claim_all(vec![generators(5)], at(5)).await;
    assert_eq!(ids(&rest.claims), ["second"]);
    assert_eq!(rest.next_due, [Some(at(7))]);
    let all = queue.claim(room(400), at(5)).await;
    assert_eq!(all.len(), 301, "all but the generators are still there");
}

async fn a_want_of_generators_is_told_when_the_next_is_due(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a"), task("b").due(at(3))]).await;
    queue
        .create([task("daily").recurring("FREQ=DAILY").due(at(9))])
        .await;
    let told = queue.claim_all(vec![generators(1)], at(1)).await;
    assert!(told.claims.is_empty());
    assert_eq!(told.next_due, [Some(at(9))]);
    let both = queue.claim_all(vec![generators(1), room(5)], at(9)).await;
    assert_eq!(both.claims.iter().filter(|claim| claim.demand == 0).count(), 1);
    assert_eq!(both.claims.iter().filter(|claim| claim.demand == 1).count(), 2);
}

async fn each_claim_has_a_token_of_its_own(scene: Scene) {
    let queue = scene.queue().await;
    queue
        .create(tasks((0..20).map(|n| n.to_string()).collect::<Vec<_>>()))
        .await;
    let claims = queue.claim(room(20), at(1)).await;
    let tokens: HashSet<_> = claims.iter().flat_map(|claim| &claim.tasks).map(token).collect();
    assert_eq!(tokens.len(), 20);
}

async fn the_lease_lasts_as_long_as_wanted(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a")]).await;
    let short = Demand::new([KIND], chrono::TimeDelta::seconds(2));
    queue.claim(short, at(0)).await;
    queue.assert_idle(at(1)).await;
    queue.take(at(2)).await;
}

async fn of_competing_claimers_one_gets_it(scene: Scene) {
    const TASKS: usize = 60;
    let queue = scene.queue().await;
    queue
        .create(tasks((0..TASKS).map(|n| n.to_string()).collect::<Vec<_>>()))
        .await;
    let mut claimers = Vec::new();
    for _ in 0..4 {
        claimers.push(tokio::spawn(take_everything(scene.queue().await)));
    }
    let mut taken = Vec::new();
    for claimer in claimers {
        taken.extend(claimer.await.expect("a claimer ends"));
    }
    assert_eq!(taken.iter().collect::<HashSet<_>>().len(), TASKS, "{taken:?}");
    assert_eq!(taken.len(), TASKS, "each is taken once");
}

/// Claims until all is held.
async fn take_everything(queue: Queue) -> Vec<String> {
    let mut taken = Vec::new();
    loop {
        let claimed = queue.claim_all(vec![room(3)], at(1)).await;
        let got_none = claimed.claims.is_empty();
        taken.extend(ids(&claimed.claims).into_iter().map(str::to_owned));
        // A store that leaves what is due to others for a while says when to look again.
        if got_none && claimed.next_due[0].is_none_or(|due| due >= at(1) + LEASE) {
            return taken;
        }
        let pause = if got_none { 5 } else { 0 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

async fn the_next_instant_is_that_of_the_next_task(scene: Scene) {
    let queue = scene.queue().await;
    let drafts = [
        ("now", millis(0)),
        ("soon", millis(2500)),
        ("later", millis(9000)),
    ];
    queue.create(drafts.map(|(id, due)| task(id).due(due))).await;
    let claimed = queue.claim_all(vec![room(5)], at(1)).await;
    assert_eq!(ids(&claimed.claims), ["now"]);
    assert_eq!(claimed.next_due, [Some(millis(2500))]);
}

async fn the_next_instant_is_told_for_each_want(scene: Scene) {
    let queue = scene.queue().await;
    queue
        .create([task("a").due(at(7)), task("b").kind("Other").due(at(5))])
        .await;
    let claimed = queue
        .claim_all(vec![demand(KIND), demand("None"), demand("Other")], at(1))
        .await;
    assert_eq!(claimed.next_due, [Some(at(7)), None, Some(at(5))]);
}

async fn there_is_no_next_instant_of_nothing(scene: Scene) {
    let queue = scene.queue().await;
    queue.complete(task("a"), at(1)).await;
    let claimed = queue.claim_all(vec![room(5)], at(1)).await;
    assert_eq!(claimed.next_due, [None]);
}

async fn when_more_is_due_the_next_instant_is_not_in_the_future(scene: Scene) {
    let queue = scene.queue().await;
    queue.create(tasks(["a", "b", "c"])).await;
    for room in [room(2), room(0)] {
        let claimed = queue.claim_all(vec![room], at(1)).await;
        let next = claimed.next_due[0].expect("more is due");
        assert!(next <= at(1), "{next}");
    }
}

async fn when_everything_is_taken_the_next_instant_is_in_the_future(scene: Scene) {
    let queue = scene.queue().await;
    queue.create(tasks(["a", "b"])).await;
    for _ in 0..2 {
        let claimed = queue.claim_all(vec![room(2)], at(1)).await;
        // A store may name the end of the leases: a worker that looks then, looks in vain at worst.
        assert!(claimed.next_due[0].is_none_or(|due| due >= at(1) + LEASE));
    }
}
