use oncetask::store::Filter;
use oncetask::{Created, Error, HandlerError, Status};
use serde::{Deserialize, Serialize};

use super::on_every_store;
use super::world::{Note, World, line, naming, note};

on_every_store! {
    a_created_task_runs_once_and_ends_done_without_errors,
    the_first_create_says_created_and_the_second_exists,
    another_kind_under_the_id_is_an_error,
    of_many_only_new_ids_count,
    of_many_the_same_id_twice_is_created_once,
    of_many_a_bad_one_does_not_fail_the_others,
    of_none_there_are_no_outcomes,
    a_payload_that_is_too_large_is_refused_with_sizes,
    a_result_that_is_too_large_fails_the_attempt_with_sizes,
}

async fn a_created_task_runs_once_and_ends_done_without_errors(world: World) {
    let (say, mut heard) = line();
    world.create([note("a")]).await;
    let worker = world.work(naming(say)).await;
    let task = world.done("note:a").await;
    assert_eq!(task.status(chrono::Utc::now()), Status::Completed);
    assert_eq!((task.attempts(), task.errors().len()), (1, 0));
    worker.shutdown().await;
    assert_eq!(heard.rest(), ["a"]);
}

async fn the_first_create_says_created_and_the_second_exists(world: World) {
    let first = world
        .client
        .create(note("a").text("first"))
        .await
        .expect("stored");
    assert_eq!(first.outcome, Created::New);
    let second = world
        .client
        .create(note("a").text("second"))
        .await
        .expect("answered");
    assert_eq!(second.outcome, Created::Existing);
    assert_eq!(second.task, first.task, "the existing task is returned");
    let payload: Note = world.task("note:a").await.payload().expect("readable");
    assert_eq!(payload.text, "first");
    assert_eq!(world.client.store().env(), "TEST");
    assert_eq!(
        world.elsewhere.get(&"note:a".into()).await.expect("answered"),
        None
    );
}

#[derive(Debug, Serialize, Deserialize, oncetask::OnceTask)]
#[id("note:{number}")]
struct Thief {
    number: u32,
}

async fn another_kind_under_the_id_is_an_error(world: World) {
    world.create([note("7")]).await;
    let refused = world.client.create(Thief { number: 7 }).await;
    let Err(Error::KindMismatch { id, kind, stored }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((id.as_str(), &kind[..], &stored[..]), ("note:7", "Thief", "Note"));
}

async fn of_many_only_new_ids_count(world: World) {
    world.create([note("b").text("first")]).await;
    assert_eq!(
        outcomes(&world, ["a", "b", "c"]).await,
        [Created::New, Created::Existing, Created::New]
    );
    let payload: Note = world.task("note:b").await.payload().expect("readable");
    assert_eq!(payload.text, "first");
}

/// In Go an error.
async fn of_many_the_same_id_twice_is_created_once(world: World) {
    assert_eq!(
        outcomes(&world, ["a", "b", "a"]).await,
        [Created::New, Created::New, Created::Existing]
    );
}

async fn outcomes(world: &World, names: [&str; 3]) -> Vec<Created> {
    let created = world.client.create_many(names.map(note)).await.expect("answered");
    created
        .into_iter()
        .map(|creation| creation.expect("a task that can be stored").outcome)
        .collect()
}

/// In Go it fails its batch of twenty.
async fn of_many_a_bad_one_does_not_fail_the_others(world: World) {
    let names = ["a".to_owned(), "x".repeat(2000), "b".to_owned()];
    let created = world.client.create_many(names.map(note)).await.expect("answered");
    let [Ok(_), Err(Error::InvalidId { reason, .. }), Ok(_)] = &created[..] else {
        panic!("{created:?}")
    };
    assert!(
        reason.contains("2005 bytes") && reason.contains("1500"),
        "{reason}"
    );
    assert_eq!(world.client.count(Filter::new()).await.expect("answered"), 2);
}

async fn of_none_there_are_no_outcomes(world: World) {
    let created = world
        .client
        .create_many(Vec::<Note>::new())
        .await
        .expect("answered");
    assert!(created.is_empty());
}

const MIB: usize = 1024 * 1024;

async fn a_payload_that_is_too_large_is_refused_with_sizes(world: World) {
    let refused = world.client.create(note("a").text("x".repeat(MIB))).await;
    let Err(Error::InvalidTask { id, reason }) = refused else {
        panic!("it is refused")
    };
    assert_eq!(id.as_str(), "note:a");
    assert!(reason.contains(&MIB.to_string()), "it names the limit: {reason}");
    assert_eq!(world.client.get(&"note:a".into()).await.expect("answered"), None);
}

/// In Go the task repeats for ever.
async fn a_result_that_is_too_large_fails_the_attempt_with_sizes(world: World) {
    let handler = oncetask::Handler::new(|_: Note| async { Ok::<_, HandlerError>("x".repeat(MIB)) })
        .config(oncetask::HandlerConfig::DEFAULT.retry(oncetask::Retry::never()));
    world.create([note("a")]).await;
    let _worker = world.work(handler).await;
    let task = world.done("note:a").await;
    assert_eq!(task.status(chrono::Utc::now()), Status::Failed);
    let error = &task.errors()[0].error;
    assert!(error.contains(&MIB.to_string()), "it names the limit: {error}");
}
