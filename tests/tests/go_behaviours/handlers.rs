use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use oncetask::{Attempt, Clock, Context, Handler, HandlerConfig, HandlerError, Retry, Status};
use serde::{Deserialize, Serialize};
use tokio::sync::{Barrier, Notify};

use super::on_every_store;
use super::world::{Note, World, line, naming, note, start, within};

on_every_store! {
    a_result_is_stored,
    a_handler_without_a_result_works,
    without_keys_as_many_run_at_once_as_there_are_slots,
    a_handler_is_stopped_when_its_lease_ends_and_the_attempt_counts,
    a_task_whose_lease_ended_an_hour_ago_is_recovered,
    crashes_use_up_the_attempts,
    crashed_once_and_then_failed_reads_failed,
    a_panic_is_an_error_with_its_message_and_place_and_is_retried,
    the_id_and_the_key_are_known_inside,
    a_worker_never_touches_another_environment,
    shutdown_waits_for_the_handlers,
    shutdown_gives_back_what_does_not_end,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Receipt {
    number: u32,
    lines: Vec<String>,
}

fn receipt() -> Receipt {
    Receipt {
        number: 7,
        lines: vec!["ünïcödé".into()],
    }
}

async fn a_result_is_stored(world: World) {
    world.create([note("a")]).await;
    let _worker = world
        .work(Handler::new(|_: Note| async { Ok::<_, HandlerError>(receipt()) }))
        .await;
    let task = world.done("note:a").await;
    assert_eq!(task.result().expect("readable"), Some(receipt()));
}

async fn a_handler_without_a_result_works(world: World) {
    world.create([note("a")]).await;
    let _worker = world.work(Handler::new(|_: Note| async {})).await;
    let task = world.done("note:a").await;
    assert_eq!(
        (task.status(Utc::now()), task.state.result),
        (Status::Completed, None)
    );
}

#[test]
fn two_handlers_for_one_kind_are_refused() {
    let (first, second) = (Handler::new(|_: Note| async {}), Handler::new(|_: Note| async {}));
    let line = line!() - 1;
    let builder = oncetask::builder().only(&[]).handler(first).handler(second);
    let error = builder.check().expect_err("it is refused");
    let [problem] = error.problems() else {
        panic!("{error}")
    };
    let place = format!("{}:{line}:", file!());
    assert_eq!(
        problem.matches(&place).count(),
        2,
        "with both locations: {problem}"
    );
    assert!(problem.contains("`Note`"), "{problem}");
}

async fn without_keys_as_many_run_at_once_as_there_are_slots(world: World) {
    let running = Arc::new(AtomicUsize::new(0));
    // Nobody gets on before three are there.
    let three = Arc::new(Barrier::new(3));
    let handler = Handler::new(move |_: Note| {
        let (running, three) = (running.clone(), three.clone());
        async move {
            let others = running.fetch_add(1, Ordering::SeqCst);
            three.wait().await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, HandlerError>(others)
        }
    });
    world.create((0..9).map(|n| note(n.to_string()))).await;
    let config = HandlerConfig::DEFAULT.concurrency(3);
    let _worker = world.work(handler.config(config)).await;
    for n in 0..9 {
        let others: Option<usize> = world.done(format!("note:{n}")).await.result().expect("readable");
        assert!(
            others.is_some_and(|others| others < 3),
            "{others:?} ran beside it"
        );
    }
}

/// In Go the handler's timeout is its lease; here the lease is extended while it runs, up to this limit.
async fn a_handler_is_stopped_when_its_lease_ends_and_the_attempt_counts(world: World) {
    let config = HandlerConfig::DEFAULT
        .lease(Duration::from_secs(1))
        .retry(Retry::never());
    let handler = Handler::new(|_: Note| std::future::pending::<()>()).config(config);
    world.create([note("a")]).await;
    // For the store its lease does not end, or a busy machine might claim it anew before the verdict is stored.
    let now = Utc::now();
    let client = world.client.clone().with_clock(Clock::new(move || now));
    let _worker = start(&client, handler).await;
    let task = world.done("note:a").await;
    assert_eq!(task.status(Utc::now()), Status::Failed);
    assert_eq!((task.attempts(), task.errors().len()), (1, 1));
    let error = &task.errors()[0].error;
    assert!(error.contains("lease of 1s"), "{error}");
}

/// A task that a worker took two hours ago, and never let go of.
async fn crashed(world: &World) {
    let created = world.ago(TimeDelta::hours(3)).create(note("a")).await;
    created.expect("stored");
    let claimed = world.claim(1, Utc::now() - TimeDelta::hours(2)).await;
    assert_eq!(claimed[0].task.attempts(), 1);
}

async fn a_task_whose_lease_ended_an_hour_ago_is_recovered(world: World) {
    crashed(&world).await;
    let (say, _heard) = line();
    let _worker = world.work(naming(say)).await;
    let task = world.done("note:a").await;
    assert_eq!(task.status(Utc::now()), Status::Completed);
    assert_eq!((task.attempts(), task.errors().len()), (2, 1));
}

/// In Go a task that kills its process repeats for ever.
async fn crashes_use_up_the_attempts(world: World) {
    crashed(&world).await;
    let (say, mut heard) = line();
    let config = HandlerConfig::DEFAULT.retry(Retry::never());
    let worker = world.work(naming(say).config(config)).await;
    let task = world.done("note:a").await;
    assert_eq!(task.status(Utc::now()), Status::Failed);
    // So that the Go library, which compares the two, reads failed as well.
    assert_eq!((task.attempts(), task.errors().len()), (1, 1));
    worker.shutdown().await;
    assert_eq!(heard.rest(), [] as [&str; 0]);
}

/// In Go it reads as completed: the crash raised the attempts and left no error.
async fn crashed_once_and_then_failed_reads_failed(world: World) {
    crashed(&world).await;
    let retry = Retry::fixed(Duration::ZERO).max_attempts(2);
    let handler = Handler::new(|_: Note| async { Err::<(), _>("broken") });
    let _worker = world
        .work(handler.config(HandlerConfig::DEFAULT.retry(retry)))
        .await;
    let task = world.done("note:a").await;
    assert_eq!(task.status(Utc::now()), Status::Failed);
    assert_eq!((task.attempts(), task.errors().len()), (2, 2));
}

async fn a_panic_is_an_error_with_its_message_and_place_and_is_retried(world: World) {
    let retry = Retry::fixed(Duration::ZERO).max_attempts(2);
    let handler = Handler::new(|job: Attempt<Note>| async move {
        assert!(job.attempt > 1, "the sky falls");
    });
    let handler = handler.config(HandlerConfig::DEFAULT.retry(retry));
    world.create([note("a")]).await;
    let _worker = world.work(handler).await;
    let task = world.done("note:a").await;
    assert_eq!(task.status(Utc::now()), Status::Completed);
    let [error] = task.errors() else {
        panic!("{:?}", task.errors())
    };
    for part in ["panic", "the sky falls", file!()] {
        assert!(error.error.contains(part), "`{part}` is missing: {}", error.error);
    }
}

async fn the_id_and_the_key_are_known_inside(world: World) {
    let known = |cx: &Context| {
        (
            cx.id().map(ToString::to_string),
            cx.resource_key().map(ToString::to_string),
        )
    };
    let (say, mut heard) = line();
    let handler = Handler::new(move |_: Vec<Note>, cx: Context| {
        let say = say.clone();
        async move { say.send(known(&cx)).expect("heard") }
    });
    let drafts = [
        note("a").key("k"),
        note("b").key("k"),
        note("c").key("alone"),
        note("d"),
    ];
    world.create(drafts).await;
    let _worker = world.work(handler).await;
    let mut all = [heard.next().await, heard.next().await, heard.next().await];
    all.sort_unstable();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        all,
        [
            (None, text("k")),
            (text("note:c"), text("alone")),
            (text("note:d"), None)
        ]
    );
}

async fn a_worker_never_touches_another_environment(world: World) {
    let (say, mut heard) = line();
    world.create([note("a"), note("b")]).await;
    world.elsewhere.create(note("a")).await.expect("stored");
    let worker = start(&world.elsewhere, naming(say)).await;
    within(world.elsewhere.wait(&"note:a".into()))
        .await
        .expect("it completes");
    worker.shutdown().await;
    assert_eq!(heard.rest(), ["a"]);
    assert_eq!(world.task("note:a").await.status(Utc::now()), Status::Pending);
}

async fn shutdown_waits_for_the_handlers(world: World) {
    let (say, mut heard) = line();
    let go_on = Arc::new(Notify::new());
    let waiting = go_on.clone();
    let handler = Handler::new(move |_: Note| {
        let (say, waiting) = (say.clone(), waiting.clone());
        async move {
            say.send(()).expect("heard");
            waiting.notified().await;
        }
    });
    world.create([note("a"), note("b")]).await;
    let worker = world.work(handler).await;
    heard.next().await;
    let mut shutdown = std::pin::pin!(worker.shutdown());
    tokio::select! {
        biased;
        () = &mut shutdown => panic!("a handler still runs"),
        () = tokio::task::yield_now() => {}
    }
    go_on.notify_one();
    within(shutdown).await;
    assert_eq!(world.task("note:a").await.status(Utc::now()), Status::Completed);
    assert_eq!(
        world.task("note:b").await.status(Utc::now()),
        Status::Pending,
        "it claims nothing more"
    );
}

/// In Go the task stays leased, and its result is lost.
async fn shutdown_gives_back_what_does_not_end(world: World) {
    let (say, mut heard) = line();
    let handler = Handler::new(move |_: Note| {
        let say = say.clone();
        async move {
            say.send(()).expect("heard");
            std::future::pending::<()>().await;
        }
    });
    world.create([note("a")]).await;
    let builder = oncetask::builder().only(&[]).client(world.client.clone());
    let worker = builder.handler(handler).grace(Duration::ZERO).start().await;
    heard.next().await;
    within(worker.expect("it starts").shutdown()).await;
    let task = world.task("note:a").await;
    assert_eq!(task.status(Utc::now()), Status::Pending);
    assert_eq!((task.attempts(), task.errors().len()), (0, 0));
}
