use oncetask::Status;
use oncetask::store::{ClaimedTask, Filter, Finish};
use oncetask::task::transition::{LeaseLost, Verdict};
use oncetask::task::{Ending, LeaseToken};

use super::rules;
use super::scene::{Draft, Queue, Scene, at, finish, ids, room, task};

rules!("spawn":
    a_generator_advances_and_its_occurrence_is_created,
    the_occurrence_is_claimed_and_the_generator_when_it_is_due,
    several_occurrences_come_of_one_advance,
    a_generator_without_a_next_ends,
    an_occurrence_that_exists_is_left_alone,
    a_refused_advance_spawns_nothing,
    a_cancelled_generator_spawns_nothing_more,
    a_deleted_generator_spawns_nothing_more,
);

async fn generator(queue: &Queue, seconds: i64) -> ClaimedTask {
    let draft = task("daily").recurring("FREQ=DAILY").due(at(seconds));
    queue.start(draft, at(seconds)).await
}

fn occurrence(seconds: i64) -> Draft {
    task(format!("daily_{seconds}"))
        .occurrence_of("daily", at(seconds))
        .created(at(seconds))
        .due(at(seconds))
}

fn advance(held: &ClaimedTask, spawned: &[i64], next: Option<i64>) -> Finish {
    let next = next.map(at);
    let spawn = spawned.iter().map(|at| occurrence(*at).into()).collect();
    finish(held, Verdict::Advance { next }).spawn(spawn)
}

async fn a_generator_advances_and_its_occurrence_is_created(scene: Scene) {
    let queue = scene.queue().await;
    let held = generator(&queue, 10).await;
    let advanced = queue.finish_one(advance(&held, &[10], Some(20)), at(11)).await;
    assert_eq!(advanced, Ok(()));

    let generator = queue.task("daily").await;
    assert_eq!(generator.spec, held.task.spec);
    assert_eq!(generator.state.wait_until, at(20));
    assert_eq!(
        (generator.attempts(), generator.status(at(11))),
        (0, Status::Waiting)
    );
    assert_eq!(queue.task("daily_10").await, occurrence(10).into());
}

async fn the_occurrence_is_claimed_and_the_generator_when_it_is_due(scene: Scene) {
    let queue = scene.queue().await;
    let held = generator(&queue, 10).await;
    queue
        .finish_one(advance(&held, &[10], Some(20)), at(11))
        .await
        .expect("held");
    assert_eq!(ids(&queue.claim(room(9), at(11)).await), ["daily_10"]);
    queue.assert_idle(at(19)).await;
    assert_eq!(ids(&queue.claim(room(9), at(20)).await), ["daily"]);
}

async fn several_occurrences_come_of_one_advance(scene: Scene) {
    let queue = scene.queue().await;
    let held = generator(&queue, 10).await;
    queue
        .finish_one(advance(&held, &[10, 20, 30], Some(40)), at(35))
        .await
        .expect("held");
    let listed = queue.list(Filter::new().generator("daily"), at(35)).await;
    assert_eq!(listed, ["daily_10", "daily_20", "daily_30"]);
}

async fn a_generator_without_a_next_ends(scene: Scene) {
    let queue = scene.queue().await;
    let held = generator(&queue, 10).await;
    queue
        .finish_one(advance(&held, &[10], None), at(11))
        .await
        .expect("held");
    let ended = queue.task("daily").await;
    assert_eq!(ended.state.done.map(|done| done.how), Some(Ending::Completed));
    assert_eq!(ids(&queue.claim(room(9), at(99)).await), ["daily_10"]);
}

async fn an_occurrence_that_exists_is_left_alone(scene: Scene) {
    let queue = scene.queue().await;
    queue.complete(occurrence(10).payload(r#"{"n":1}"#), at(10)).await;
    let before = queue.task("daily_10").await;
    let held = generator(&queue, 10).await;
    queue
        .finish_one(advance(&held, &[10, 20], Some(30)), at(21))
        .await
        .expect("held");
    assert_eq!(queue.task("daily_10").await, before);
    assert_eq!(queue.task("daily_20").await, occurrence(20).into());
    assert_eq!(queue.task("daily").await.state.wait_until, at(30));
}

async fn a_refused_advance_spawns_nothing(scene: Scene) {
    let queue = scene.queue().await;
    let held = generator(&queue, 10).await;
    let mut foreign = advance(&held, &[10], Some(20));
    foreign.token = LeaseToken::random();
    assert_eq!(queue.finish_one(foreign, at(11)).await, Err(LeaseLost));
    assert_eq!(queue.find("daily_10").await, None);
    assert_eq!(queue.task("daily").await, held.task);

    let advanced = queue.finish_one(advance(&held, &[10], Some(20)), at(11)).await;
    assert_eq!(advanced, Ok(()));
    let again = queue.finish_one(advance(&held, &[20], Some(30)), at(12)).await;
    assert_eq!(again, Err(LeaseLost));
    assert_eq!(queue.find("daily_20").await, None);
}

async fn a_cancelled_generator_spawns_nothing_more(scene: Scene) {
    let queue = scene.queue().await;
    let held = generator(&queue, 10).await;
    queue.cancel("daily", at(11)).await;
    let refused = queue.finish_one(advance(&held, &[10], Some(20)), at(12)).await;
    assert_eq!(refused, Err(LeaseLost));
    assert_eq!(queue.find("daily_10").await, None);
    queue.assert_idle(at(99)).await;
}

async fn a_deleted_generator_spawns_nothing_more(scene: Scene) {
    let queue = scene.queue().await;
    let held = generator(&queue, 10).await;
    queue.delete("daily").await;
    let refused = queue.finish_one(advance(&held, &[10], Some(20)), at(12)).await;
    assert_eq!(refused, Err(LeaseLost));
    assert_eq!(queue.find("daily_10").await, None);
}
