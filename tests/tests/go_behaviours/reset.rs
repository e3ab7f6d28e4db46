use chrono::Utc;
use oncetask::store::Finish;
use oncetask::task::transition::Verdict;
use oncetask::{Change, Handler, HandlerConfig, Retry, Status, TaskId};

use super::on_every_store;
use super::world::{Note, World, line, naming, note};

on_every_store! {
    what_is_done_begins_again_and_runs_again,
    a_failed_task_begins_again_without_its_errors,
    what_is_not_done_is_not_reset,
    another_environments_task_is_not_reset,
    existing_ones_are_deleted_and_missing_ones_are_no_error,
    another_environments_task_is_not_deleted,
    deleting_one_of_a_group_leaves_the_others_completion_alone,
}

async fn what_is_done_begins_again_and_runs_again(world: World) {
    let (say, mut heard) = line();
    world.create([note("a")]).await;
    let _worker = world.work(naming(say)).await;
    world.done("note:a").await;
    assert_eq!(heard.next().await, "a");

    let change = world.client.reset(&"note:a".into()).await.expect("answered");
    assert_eq!(change, Change::Applied);
    assert_eq!(heard.next().await, "a");
    let task = world.done("note:a").await;
    assert_eq!((task.attempts(), task.errors().len()), (1, 0));
}

async fn a_failed_task_begins_again_without_its_errors(world: World) {
    let config = HandlerConfig::DEFAULT.retry(Retry::never());
    let broken = Handler::new(|_: Note| async { Err::<(), _>("broken") }).config(config);
    world.create([note("a")]).await;
    let worker = world.work(broken).await;
    assert_eq!(world.done("note:a").await.errors().len(), 1);
    worker.shutdown().await;

    world.client.reset(&"note:a".into()).await.expect("answered");
    let task = world.task("note:a").await;
    assert_eq!((task.attempts(), task.errors().len()), (0, 0));
    assert_eq!((task.state.done, task.state.result), (None, None));
    let (say, _heard) = line();
    let _worker = world.work(naming(say)).await;
    assert_eq!(world.done("note:a").await.status(Utc::now()), Status::Completed);
}

async fn what_is_not_done_is_not_reset(world: World) {
    world.create([note("a")]).await;
    let ids = ["note:a", "note:missing"].map(Into::into);
    let changes = world.client.reset_many(ids).await.expect("answered");
    assert_eq!(changes, [Change::NotDone, Change::NotFound]);
}

async fn another_environments_task_is_not_reset(world: World) {
    let (say, _heard) = line();
    world.create([note("a")]).await;
    let worker = world.work(naming(say)).await;
    let done = world.done("note:a").await;
    worker.shutdown().await;
    let change = world.elsewhere.reset(&"note:a".into()).await.expect("answered");
    assert_eq!(change, Change::OtherEnvironment);
    assert_eq!(world.task("note:a").await, done);
}

async fn existing_ones_are_deleted_and_missing_ones_are_no_error(world: World) {
    world.create(["a", "b", "c"].map(note)).await;
    let ids: [TaskId; 3] = ["note:a", "note:missing", "note:b"].map(Into::into);
    let changes = world.client.delete_many(ids.clone()).await.expect("answered");
    assert_eq!(changes, [Change::Applied, Change::NotFound, Change::Applied]);
    let found = world.client.get_many(&ids).await.expect("answered");
    assert_eq!(found, [None, None, None]);
    world.task("note:c").await;
}

async fn another_environments_task_is_not_deleted(world: World) {
    world.create([note("a")]).await;
    let change = world.elsewhere.delete(&"note:a".into()).await.expect("answered");
    assert_eq!(change, Change::OtherEnvironment);
    world.task("note:a").await;
}

/// In Go it fails the whole group, which then repeats.
async fn deleting_one_of_a_group_leaves_the_others_completion_alone(world: World) {
    world
        .create(["a", "b", "c"].map(|name| note(name).key("k")))
        .await;
    let group = world.claim(100, Utc::now()).await;
    assert_eq!(group.len(), 3);
    world.client.delete(&"note:b".into()).await.expect("answered");
    let finish = |claimed: &oncetask::store::ClaimedTask| Finish {
        id: claimed.task.id().clone(),
        token: claimed.task.state.lease.as_ref().expect("it is claimed").token,
        verdict: Verdict::Complete(None),
        cleanup: false,
        spawn: Vec::new(),
        progress: None,
    };
    let finishes = group.iter().map(finish).collect();
    let finished = world
        .client
        .store()
        .finish(finishes, Utc::now())
        .await
        .expect("answered");
    for (claimed, finished) in group.iter().zip(finished) {
        assert_eq!(finished.is_ok(), claimed.task.id().as_str() != "note:b");
    }
    assert!(world.task("note:a").await.is_done());
    assert!(world.task("note:c").await.is_done());
}
