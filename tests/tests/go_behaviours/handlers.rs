//! Handlers: results, slots, leases, crashes, panics and shutdown.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use oncetask::{Attempt, Context, Handler, HandlerConfig, HandlerError, Retry, Status};
use serde::{Deserialize, Serialize};
use tests::harness::wait::within;
use tests::harness::{Fixture, Work, builder, name_reporting_handler, reports, start, work};
use tests::on_every_store;
use tokio::sync::{Barrier, Notify};

use super::{ELSEWHERE, minute_claim};

on_every_store! {
    a_result_is_stored,
    a_handler_without_a_result_works,
    tasks_without_keys_fill_every_slot,
    a_handler_is_stopped_at_its_lease_limit_and_the_attempt_counts,
    a_task_whose_lease_expired_is_recovered,
    crashes_use_up_the_attempts,
    a_failure_after_a_crash_has_the_status_failed,
    a_panic_is_stored_with_its_message_and_location_and_retried,
    the_context_has_the_id_and_the_key,
    a_worker_never_claims_from_another_environment,
    a_shutdown_waits_for_the_handlers,
    a_shutdown_releases_a_handler_that_does_not_end,
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

async fn a_result_is_stored(fixture: Fixture) {
    fixture.create(work("a")).await;
    let _worker = fixture
        .work(Handler::new(|_: Work| async { Ok::<_, HandlerError>(receipt()) }))
        .await;
    let task = fixture.done("work:a").await;
    assert_eq!(task.result().expect("readable"), Some(receipt()));
}

async fn a_handler_without_a_result_works(fixture: Fixture) {
    fixture.create(work("a")).await;
    let _worker = fixture.work(Handler::new(|_: Work| async {})).await;
    let task = fixture.done("work:a").await;
    assert_eq!(
        (task.status(Utc::now()), task.state.result),
        (Status::Completed, None)
    );
}

#[test]
fn two_handlers_for_one_kind_are_refused() {
    let (first, second) = (Handler::new(|_: Work| async {}), Handler::new(|_: Work| async {}));
    let line = line!() - 1;
    let builder = oncetask::builder().only(&[]).handler(first).handler(second);
    let error = builder.check().expect_err("the second handler is refused");
    let [problem] = error.problems() else {
        panic!("{error}")
    };
    let location = format!("{}:{line}:", file!());
    assert_eq!(
        problem.matches(&location).count(),
        2,
        "with both locations: {problem}"
    );
    assert!(problem.contains("`Work`"), "{problem}");
}

async fn tasks_without_keys_fill_every_slot(fixture: Fixture) {
    let running = Arc::new(AtomicUsize::new(0));
    // No attempt continues before three have begun.
    let three = Arc::new(Barrier::new(3));
    let handler = Handler::new(move |_: Work| {
        let (running, three) = (running.clone(), three.clone());
        async move {
            let others = running.fetch_add(1, Ordering::SeqCst);
            three.wait().await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, HandlerError>(others)
        }
    });
    fixture.create_many((0..9).map(|n| work(n.to_string()))).await;
    let config = HandlerConfig::DEFAULT.concurrency(3);
    let _worker = fixture.work(handler.config(config)).await;
    for n in 0..9 {
        let others: Option<usize> = fixture
            .done(format!("work:{n}"))
            .await
            .result()
            .expect("readable");
        assert!(
            others.is_some_and(|others| others < 3),
            "{others:?} others ran at the same time"
        );
    }
}

/// In the Go library the lease is the handler's timeout. Here it is renewed while the handler runs, up to the limit.
async fn a_handler_is_stopped_at_its_lease_limit_and_the_attempt_counts(fixture: Fixture) {
    let config = HandlerConfig::DEFAULT
        .lease(Duration::from_secs(1))
        .retry(Retry::never());
    let handler = Handler::new(|_: Work| std::future::pending::<()>()).config(config);
    fixture.create(work("a")).await;
    // On this clock the lease never expires in the store. Otherwise a busy machine might claim the task again before
    // the verdict is stored.
    let client = fixture.client_at(Utc::now());
    let _worker = start(builder(&client).handler(handler)).await;
    let task = fixture.done("work:a").await;
    assert_eq!(task.status(Utc::now()), Status::Failed);
    assert_eq!((task.attempts(), task.errors().len()), (1, 1));
    let error = &task.errors()[0].error;
    assert!(error.contains("lease of 1s"), "{error}");
}

/// Creates a task that a worker claimed two hours ago, and whose lease has expired without a report.
async fn create_crashed(fixture: &Fixture) {
    let created = fixture.client_ahead(-TimeDelta::hours(3)).create(work("a")).await;
    created.expect("the task can be stored");
    let claim = fixture
        .claim_at(minute_claim(), Utc::now() - TimeDelta::hours(2))
        .await;
    assert_eq!(claim.tasks[0].task.attempts(), 1);
}

async fn a_task_whose_lease_expired_is_recovered(fixture: Fixture) {
    create_crashed(&fixture).await;
    let (reporter, _received) = reports();
    let _worker = fixture.work(name_reporting_handler(reporter)).await;
    let task = fixture.done("work:a").await;
    assert_eq!(task.status(Utc::now()), Status::Completed);
    assert_eq!((task.attempts(), task.errors().len()), (2, 1));
}

/// The Go library repeats a task that crashes its process without end.
async fn crashes_use_up_the_attempts(fixture: Fixture) {
    create_crashed(&fixture).await;
    let (reporter, mut received) = reports();
    let config = HandlerConfig::DEFAULT.retry(Retry::never());
    let worker = fixture
        .work(name_reporting_handler(reporter).config(config))
        .await;
    let task = fixture.done("work:a").await;
    assert_eq!(task.status(Utc::now()), Status::Failed);
    // The Go library compares these two numbers. With equal ones it derives the status `failed`, too.
    assert_eq!((task.attempts(), task.errors().len()), (1, 1));
    worker.shutdown().await;
    assert_eq!(received.drain(), [] as [&str; 0]);
}

/// In the Go library the status is `completed`, because a crash counts as an attempt and stores no error.
async fn a_failure_after_a_crash_has_the_status_failed(fixture: Fixture) {
    create_crashed(&fixture).await;
    let retry = Retry::fixed(Duration::ZERO).max_attempts(2);
    let handler = Handler::new(|_: Work| async { Err::<(), _>("broken") });
    let _worker = fixture
        .work(handler.config(HandlerConfig::DEFAULT.retry(retry)))
        .await;
    let task = fixture.done("work:a").await;
    assert_eq!(task.status(Utc::now()), Status::Failed);
    assert_eq!((task.attempts(), task.errors().len()), (2, 2));
}

async fn a_panic_is_stored_with_its_message_and_location_and_retried(fixture: Fixture) {
    let retry = Retry::fixed(Duration::ZERO).max_attempts(2);
    let handler = Handler::new(|attempt: Attempt<Work>| async move {
        assert!(attempt.attempt > 1, "the sky falls");
    });
    let handler = handler.config(HandlerConfig::DEFAULT.retry(retry));
    fixture.create(work("a")).await;
    let _worker = fixture.work(handler).await;
    let task = fixture.done("work:a").await;
    assert_eq!(task.status(Utc::now()), Status::Completed);
    let [error] = task.errors() else {
        panic!("{:?}", task.errors())
    };
    for part in ["panic", "the sky falls", file!()] {
        assert!(error.error.contains(part), "`{part}` is missing: {}", error.error);
    }
}

async fn the_context_has_the_id_and_the_key(fixture: Fixture) {
    let known = |cx: &Context| {
        (
            cx.id().map(ToString::to_string),
            cx.resource_key().map(ToString::to_string),
        )
    };
    let (reporter, mut received) = reports();
    let handler = Handler::new(move |_: Vec<Work>, cx: Context| {
        let reporter = reporter.clone();
        async move { reporter.report(known(&cx)) }
    });
    let drafts = [
        work("a").key("k"),
        work("b").key("k"),
        work("c").key("alone"),
        work("d"),
    ];
    fixture.create_many(drafts).await;
    let _worker = fixture.work(handler).await;
    let mut all = [
        received.next().await,
        received.next().await,
        received.next().await,
    ];
    all.sort_unstable();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        all,
        [
            (None, text("k")),
            (text("work:c"), text("alone")),
            (text("work:d"), None)
        ]
    );
}

async fn a_worker_never_claims_from_another_environment(fixture: Fixture) {
    let (reporter, mut received) = reports();
    fixture.create_many([work("a"), work("b")]).await;
    let elsewhere = fixture.client_in(ELSEWHERE).await;
    elsewhere.create(work("a")).await.expect("the task can be stored");
    let worker = start(builder(&elsewhere).handler(name_reporting_handler(reporter))).await;
    within(elsewhere.wait("work:a"))
        .await
        .expect("the task completes");
    worker.shutdown().await;
    assert_eq!(received.drain(), ["a"]);
    assert_eq!(fixture.task("work:a").await.status(Utc::now()), Status::Pending);
}

async fn a_shutdown_waits_for_the_handlers(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let release = Arc::new(Notify::new());
    let waiting = release.clone();
    let handler = Handler::new(move |_: Work| {
        let (reporter, waiting) = (reporter.clone(), waiting.clone());
        async move {
            reporter.report(());
            waiting.notified().await;
        }
    });
    fixture.create_many([work("a"), work("b")]).await;
    let worker = fixture.work(handler).await;
    received.next().await;
    let mut shutdown = std::pin::pin!(worker.shutdown());
    tokio::select! {
        biased;
        () = &mut shutdown => panic!("a handler still runs"),
        () = tokio::task::yield_now() => {}
    }
    release.notify_one();
    within(shutdown).await;
    assert_eq!(fixture.task("work:a").await.status(Utc::now()), Status::Completed);
    assert_eq!(
        fixture.task("work:b").await.status(Utc::now()),
        Status::Pending,
        "the worker claimed during the shutdown"
    );
}

/// In the Go library the task stays leased, and its result is lost.
async fn a_shutdown_releases_a_handler_that_does_not_end(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let handler = Handler::new(move |_: Work| {
        let reporter = reporter.clone();
        async move {
            reporter.report(());
            std::future::pending::<()>().await;
        }
    });
    fixture.create(work("a")).await;
    let builder = oncetask::builder().only(&[]).client(fixture.client.clone());
    let worker = builder.handler(handler).grace(Duration::ZERO).start().await;
    received.next().await;
    within(worker.expect("the worker starts").shutdown()).await;
    let task = fixture.task("work:a").await;
    assert_eq!(task.status(Utc::now()), Status::Pending);
    assert_eq!((task.attempts(), task.errors().len()), (0, 0));
}
