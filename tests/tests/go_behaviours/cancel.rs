use std::time::Duration;

use chrono::{TimeDelta, Utc};
use oncetask::{Change, Handler, HandlerConfig, HandlerError, Retry, Status};

use super::on_every_store;
use super::world::{Note, World, line, naming, note, within};

on_every_store! {
    by_id_the_task_becomes_due_at_once,
    by_ids_each_is_told,
    by_key_other_keys_are_untouched,
    what_is_cancelled_or_done_is_told_so,
    before_it_ran_the_cleanup_handler_runs_once_and_the_normal_one_never,
    while_it_runs_the_handler_is_told_and_the_cleanup_follows,
    while_a_dead_worker_holds_it_the_cleanup_runs_after_the_lease,
    a_cleanup_that_fails_is_retried_by_its_own_policy,
    a_cleanup_that_gives_up_leaves_the_task_failed,
    without_a_cleanup_handler_it_ends_as_cancelled,
    another_environments_task_is_not_cancelled,
}

async fn by_id_the_task_becomes_due_at_once(world: World) {
    let later = Utc::now() + TimeDelta::hours(1);
    world.create([note("a").at(later)]).await;
    let id = "note:a".into();
    assert_eq!(world.client.cancel(&id).await.expect("answered"), Change::Applied);
    let task = world.task(id).await;
    assert_eq!(task.status(Utc::now()), Status::CancellationPending);
    assert!(task.state.due().is_some_and(|due| due <= Utc::now()));
}

/// In Go the same id twice is a panic.
async fn by_ids_each_is_told(world: World) {
    world.create(["a", "b", "c"].map(note)).await;
    let ids = ["note:a", "note:missing", "note:b", "note:a"].map(Into::into);
    let changes = world.client.cancel_many(ids).await.expect("answered");
    assert_eq!(
        changes,
        [
            Change::Applied,
            Change::NotFound,
            Change::Applied,
            Change::AlreadyCancelled
        ]
    );
    assert_eq!(world.task("note:c").await.state.cancelled_at, None);
    assert_eq!(world.client.cancel_many([]).await.expect("answered"), []);
}

async fn by_key_other_keys_are_untouched(world: World) {
    world
        .create([
            note("a").key("k"),
            note("b").key("k"),
            note("c").key("other"),
            note("d"),
        ])
        .await;
    let cancel = async |kind: &str| {
        let ids = world
            .client
            .cancel_by_resource_key(kind, "k")
            .await
            .expect("answered");
        let mut ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(cancel("Chime").await, [] as [&str; 0]);
    assert_eq!(cancel("Note").await, ["note:a", "note:b"]);
    assert_eq!(cancel("Note").await, [] as [&str; 0]);
    for untouched in ["note:c", "note:d"] {
        assert_eq!(world.task(untouched).await.state.cancelled_at, None);
    }
}

async fn what_is_cancelled_or_done_is_told_so(world: World) {
    let (say, _heard) = line();
    world.create([note("done")]).await;
    let worker = world.work(naming(say)).await;
    let done = world.done("note:done").await;
    worker.shutdown().await;
    world.create([note("cancelled")]).await;
    let cancel = async |id: &str| world.client.cancel(&id.into()).await.expect("answered");
    assert_eq!(cancel("note:cancelled").await, Change::Applied);
    assert_eq!(cancel("note:cancelled").await, Change::AlreadyCancelled);
    assert_eq!(cancel("note:done").await, Change::AlreadyDone);
    assert_eq!(world.task("note:done").await, done);
}

async fn before_it_ran_the_cleanup_handler_runs_once_and_the_normal_one_never(world: World) {
    let (say, mut heard) = line();
    world.create([note("a")]).await;
    world.client.cancel(&"note:a".into()).await.expect("answered");
    let (run, clean) = (say.clone(), say);
    let handler = Handler::new(move |_: Note| {
        let run = run.clone();
        async move { run.send("run").expect("heard") }
    })
    .cancel(move |_: Note| {
        let clean = clean.clone();
        async move { clean.send("clean").expect("heard") }
    });
    let worker = world.work(handler).await;
    let task = world.done("note:a").await;
    assert_eq!(task.status(Utc::now()), Status::Cancelled);
    worker.shutdown().await;
    assert_eq!(heard.rest(), ["clean"]);
}

async fn while_it_runs_the_handler_is_told_and_the_cleanup_follows(world: World) {
    let (say, mut heard) = line();
    let (run, clean) = (say.clone(), say);
    let handler = Handler::new(move |_: Note, cx: oncetask::Context| {
        let run = run.clone();
        async move {
            run.send("begin").expect("heard");
            cx.cancelled().await;
            run.send("told").expect("heard");
        }
    })
    .cancel(move |_: Note| {
        let clean = clean.clone();
        async move { clean.send("clean").expect("heard") }
    });
    let _worker = world.work(handler).await;
    world.create([note("a")]).await;
    assert_eq!(heard.next().await, "begin");
    world.client.cancel(&"note:a".into()).await.expect("answered");
    assert_eq!(heard.next().await, "told");
    assert_eq!(heard.next().await, "clean");
    assert_eq!(world.done("note:a").await.status(Utc::now()), Status::Cancelled);
}

async fn while_a_dead_worker_holds_it_the_cleanup_runs_after_the_lease(world: World) {
    fn counted_from_one(attempt: u32, _: &HandlerError) -> Option<Duration> {
        (1..3).contains(&attempt).then_some(Duration::ZERO)
    }
    let (say, mut heard) = line();
    let created = world.ago(TimeDelta::hours(3)).create(note("a")).await;
    created.expect("stored");
    world.claim(1, Utc::now() - TimeDelta::hours(2)).await;
    world.client.cancel(&"note:a".into()).await.expect("answered");
    let handler = Handler::new(|_: Note| async {}).on_cancel(move |_: Note| {
        let sent = say.send("clean");
        async move { sent.expect("heard") }
    });
    let config = HandlerConfig::DEFAULT.on_cancel_retry(Retry::custom(counted_from_one));
    let _worker = world.work(handler.config(config)).await;
    let task = world.done("note:a").await;
    assert_eq!(task.status(Utc::now()), Status::Cancelled);
    assert_eq!(heard.next().await, "clean");
    assert_eq!((task.attempts(), task.state.cleanup_attempts), (1, 1));
}

/// A handler whose cleanup fails so often, with a policy for it of so many attempts.
fn failing_cleanup(failures: u32, attempts: u32) -> Handler {
    let config = HandlerConfig::DEFAULT
        .retry(Retry::never())
        .on_cancel_retry(Retry::fixed(Duration::ZERO).max_attempts(attempts));
    Handler::new(|_: Note| async {})
        .on_cancel(move |job: oncetask::Attempt<Note>| async move {
            if job.attempt <= failures {
                return Err(format!("still locked ({})", job.attempt));
            }
            Ok(())
        })
        .config(config)
}

async fn a_cleanup_that_fails_is_retried_by_its_own_policy(world: World) {
    world.create([note("a")]).await;
    world.client.cancel(&"note:a".into()).await.expect("answered");
    let _worker = world.work(failing_cleanup(2, 5)).await;
    let task = world.done("note:a").await;
    assert_eq!(task.status(Utc::now()), Status::Cancelled);
    assert_eq!((task.attempts(), task.state.cleanup_attempts), (0, 3));
    let errors: Vec<_> = task.errors().iter().map(|error| &error.error[..]).collect();
    assert_eq!(errors, ["still locked (1)", "still locked (2)"]);
}

async fn a_cleanup_that_gives_up_leaves_the_task_failed(world: World) {
    world.create([note("a")]).await;
    world.client.cancel(&"note:a".into()).await.expect("answered");
    let _worker = world.work(failing_cleanup(u32::MAX, 2)).await;
    let task = world.done("note:a").await;
    assert_eq!(task.status(Utc::now()), Status::Failed);
    assert_eq!(task.errors().len(), 2);
    assert!(task.errors().iter().all(|error| error.cleanup));
}

async fn without_a_cleanup_handler_it_ends_as_cancelled(world: World) {
    let (say, mut heard) = line();
    world.create([note("a")]).await;
    world.client.cancel(&"note:a".into()).await.expect("answered");
    let worker = world.work(naming(say)).await;
    assert_eq!(world.done("note:a").await.status(Utc::now()), Status::Cancelled);
    worker.shutdown().await;
    assert_eq!(heard.rest(), [] as [&str; 0]);
}

async fn another_environments_task_is_not_cancelled(world: World) {
    world.create([note("a").key("k")]).await;
    let before = world.task("note:a").await;
    let elsewhere = &world.elsewhere;
    let change = within(elsewhere.cancel(&"note:a".into()))
        .await
        .expect("answered");
    assert_eq!(change, Change::OtherEnvironment);
    let by_key = elsewhere.cancel_by_resource_key("Note", "k").await;
    assert_eq!(by_key.expect("answered"), []);
    assert_eq!(world.task("note:a").await, before);
}
