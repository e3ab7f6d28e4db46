//! The advance of a generator and its occurrences.

use oncetask::Status;
use oncetask::store::{ClaimedTask, Filter, Finish};
use oncetask::task::transition::{LeaseLost, Verdict};
use oncetask::task::{Ending, LeaseToken};

use super::list_cases;
use super::support::{Backend, Draft, StoreHandle, at, finish, ids, task, up_to};

list_cases!("spawn":
    a_generator_advances_and_its_occurrence_is_created,
    the_occurrence_is_due_at_once_and_the_generator_later,
    one_advance_creates_several_occurrences,
    a_generator_without_a_next_occurrence_ends,
    an_existing_occurrence_is_not_changed,
    a_refused_advance_creates_no_occurrence,
    a_cancelled_generator_creates_no_more_occurrences,
    a_deleted_generator_creates_no_more_occurrences,
);

async fn claimed_generator(store: &StoreHandle, seconds: i64) -> ClaimedTask {
    let draft = task("daily").recurring("FREQ=DAILY").due(at(seconds));
    store.create_and_claim(draft, at(seconds)).await
}

fn occurrence(seconds: i64) -> Draft {
    task(format!("daily_{seconds}"))
        .occurrence_of("daily", at(seconds))
        .created(at(seconds))
        .due(at(seconds))
}

fn advance(claimed: &ClaimedTask, spawned: &[i64], next: Option<i64>) -> Finish {
    let next = next.map(at);
    let spawn = spawned.iter().map(|at| occurrence(*at).into()).collect();
    finish(claimed, Verdict::Advance { next }).spawn(spawn)
}

async fn a_generator_advances_and_its_occurrence_is_created(backend: Backend) {
    let store = backend.open().await;
    let claimed = claimed_generator(&store, 10).await;
    let advanced = store.finish_one(advance(&claimed, &[10], Some(20)), at(11)).await;
    assert_eq!(advanced, Ok(()));

    let generator = store.task("daily").await;
    assert_eq!(generator.spec, claimed.task.spec);
    assert_eq!(generator.state.wait_until, at(20));
    assert_eq!(
        (generator.attempts(), generator.status(at(11))),
        (0, Status::Waiting)
    );
    assert_eq!(store.task("daily_10").await, occurrence(10).into());
}

async fn the_occurrence_is_due_at_once_and_the_generator_later(backend: Backend) {
    let store = backend.open().await;
    let claimed = claimed_generator(&store, 10).await;
    store
        .finish_one(advance(&claimed, &[10], Some(20)), at(11))
        .await
        .expect("the claim is active");
    assert_eq!(ids(&store.claim(up_to(9), at(11)).await), ["daily_10"]);
    store.assert_nothing_due(at(19)).await;
    assert_eq!(ids(&store.claim(up_to(9), at(20)).await), ["daily"]);
}

async fn one_advance_creates_several_occurrences(backend: Backend) {
    let store = backend.open().await;
    let claimed = claimed_generator(&store, 10).await;
    store
        .finish_one(advance(&claimed, &[10, 20, 30], Some(40)), at(35))
        .await
        .expect("the claim is active");
    let listed = store.list(Filter::new().generator("daily"), at(35)).await;
    assert_eq!(listed, ["daily_10", "daily_20", "daily_30"]);
}

async fn a_generator_without_a_next_occurrence_ends(backend: Backend) {
    let store = backend.open().await;
    let claimed = claimed_generator(&store, 10).await;
    store
        .finish_one(advance(&claimed, &[10], None), at(11))
        .await
        .expect("the claim is active");
    let ended = store.task("daily").await;
    assert_eq!(ended.state.done.map(|done| done.how), Some(Ending::Completed));
    assert_eq!(ids(&store.claim(up_to(9), at(99)).await), ["daily_10"]);
}

async fn an_existing_occurrence_is_not_changed(backend: Backend) {
    let store = backend.open().await;
    store
        .create_and_complete(occurrence(10).payload(r#"{"n":1}"#), at(10))
        .await;
    let before = store.task("daily_10").await;
    let claimed = claimed_generator(&store, 10).await;
    store
        .finish_one(advance(&claimed, &[10, 20], Some(30)), at(21))
        .await
        .expect("the claim is active");
    assert_eq!(store.task("daily_10").await, before);
    assert_eq!(store.task("daily_20").await, occurrence(20).into());
    assert_eq!(store.task("daily").await.state.wait_until, at(30));
}

async fn a_refused_advance_creates_no_occurrence(backend: Backend) {
    let store = backend.open().await;
    let claimed = claimed_generator(&store, 10).await;
    let mut foreign = advance(&claimed, &[10], Some(20));
    foreign.token = LeaseToken::random();
    assert_eq!(store.finish_one(foreign, at(11)).await, Err(LeaseLost));
    assert_eq!(store.find("daily_10").await, None);
    assert_eq!(store.task("daily").await, claimed.task);

    let advanced = store.finish_one(advance(&claimed, &[10], Some(20)), at(11)).await;
    assert_eq!(advanced, Ok(()));
    let again = store.finish_one(advance(&claimed, &[20], Some(30)), at(12)).await;
    assert_eq!(again, Err(LeaseLost));
    assert_eq!(store.find("daily_20").await, None);
}

async fn a_cancelled_generator_creates_no_more_occurrences(backend: Backend) {
    let store = backend.open().await;
    let claimed = claimed_generator(&store, 10).await;
    store.cancel("daily", at(11)).await;
    let refused = store.finish_one(advance(&claimed, &[10], Some(20)), at(12)).await;
    assert_eq!(refused, Err(LeaseLost));
    assert_eq!(store.find("daily_10").await, None);
    store.assert_nothing_due(at(99)).await;
}

async fn a_deleted_generator_creates_no_more_occurrences(backend: Backend) {
    let store = backend.open().await;
    let claimed = claimed_generator(&store, 10).await;
    store.delete("daily").await;
    let refused = store.finish_one(advance(&claimed, &[10], Some(20)), at(12)).await;
    assert_eq!(refused, Err(LeaseLost));
    assert_eq!(store.find("daily_10").await, None);
}
