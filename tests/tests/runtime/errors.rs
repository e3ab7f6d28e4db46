//! Errors and panics of handlers: the stored errors, the errors that retry policies see, and their isolation.

use std::fmt;
use std::time::Duration;

use oncetask::{Attempt, Context, Handler, HandlerConfig, HandlerError, Retry, State, Status};
use tests::harness::{
    DropReporter, Fixture, Gate, Work, attempts, builder, reports, retry_at_once, start, work,
};
use tests::on_every_store;

on_every_store!(
    the_chain_of_causes_is_stored,
    a_custom_policy_sees_the_original_error,
    a_custom_policy_sees_the_error_of_a_group,
    an_unlimited_policy_retries_until_success,
    full_jitter_never_exceeds_the_backoff,
    a_panic_is_stored_with_its_message_and_location,
    a_panic_before_the_first_await_is_stored,
    a_panic_does_not_affect_other_attempts,
    a_panic_in_the_policy_fails_the_task,
    a_panic_in_the_errors_display_is_stored,
    a_panic_in_the_errors_drop_is_ignored,
    a_panic_in_a_dropped_handler_does_not_prevent_the_release,
    a_panic_in_an_extractor_is_stored,
    long_errors_are_truncated_and_the_first_and_the_last_99_are_kept,
    a_custom_extractor_declares_the_state_that_it_needs,
);

#[derive(Debug)]
struct Outer(Inner);

#[derive(Debug)]
struct Inner(u32);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the charge failed")
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bank answered {}", self.0)
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl std::error::Error for Inner {}

fn status(fixture: &Fixture, task: &oncetask::Task) -> Status {
    task.status(fixture.client.clock().now())
}

async fn the_chain_of_causes_is_stored(fixture: Fixture) {
    let handler = Handler::new(|_: Work| async { Err::<(), _>(Outer(Inner(7))) });
    let _worker = fixture.work(handler.config(attempts(1))).await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    assert_eq!(task.errors()[0].error, "the charge failed: the bank answered 7");
}

/// Retries while the number in the error is below 3.
fn below_three(_: u32, error: &HandlerError) -> Option<Duration> {
    error
        .downcast_ref::<Outer>()
        .filter(|outer| outer.0.0 < 3)
        .map(|_| Duration::ZERO)
}

async fn a_custom_policy_sees_the_original_error(fixture: Fixture) {
    let handler =
        Handler::new(|attempt: Attempt<Work>| async move { Err::<(), _>(Outer(Inner(attempt.attempt))) });
    let _worker = fixture
        .work(handler.config(HandlerConfig::DEFAULT.retry(Retry::custom(below_three))))
        .await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    assert_eq!((status(&fixture, &task), task.attempts()), (Status::Failed, 3));
}

async fn a_custom_policy_sees_the_error_of_a_group(fixture: Fixture) {
    let handler =
        Handler::new(|group: Vec<Attempt<Work>>| async move { Err::<(), _>(Outer(Inner(group[0].attempt))) });
    let ids = [
        fixture.create(work("a").key("k")).await,
        fixture.create(work("b").key("k")).await,
    ];
    let _worker = fixture
        .work(handler.config(HandlerConfig::DEFAULT.retry(Retry::custom(below_three))))
        .await;
    for id in &ids {
        assert_eq!(fixture.done(id).await.attempts(), 3);
    }
}

async fn an_unlimited_policy_retries_until_success(fixture: Fixture) {
    let handler = Handler::new(|attempt: Attempt<Work>| async move {
        if attempt.attempt < 12 {
            Err("again")
        } else {
            Ok(attempt.attempt)
        }
    });
    let _worker = fixture
        .work(handler.config(HandlerConfig::DEFAULT.retry(retry_at_once(1).unlimited())))
        .await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    assert_eq!(task.result::<u32>().expect("a number"), Some(12));
    assert_eq!(task.errors().len(), 11);
}

async fn full_jitter_never_exceeds_the_backoff(fixture: Fixture) {
    let handler = Handler::new(|_: Work| async { Err::<(), _>("again") });
    let hour = Retry::fixed(Duration::from_hours(1)).full_jitter();
    let _worker = fixture
        .work(handler.config(HandlerConfig::DEFAULT.retry(hour).concurrency(8)))
        .await;
    let mut waits = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let id = fixture.create(work(name)).await;
        let task = fixture.until(&id, |task| !task.errors().is_empty()).await;
        waits.push(task.state.wait_until - task.errors()[0].at);
    }
    assert!(waits.iter().all(|wait| wait.num_minutes() <= 60), "{waits:?}");
    assert!(
        waits.iter().any(|wait| *wait != waits[0]),
        "all the same: {waits:?}"
    );
}

async fn a_panic_is_stored_with_its_message_and_location(fixture: Fixture) {
    let handler = Handler::new(|attempt: Attempt<Work>| async move {
        tokio::task::yield_now().await;
        assert!(attempt.attempt != 1, "the disk is on fire");
    });
    let _worker = fixture.work(handler.config(attempts(2))).await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    assert_eq!(status(&fixture, &task), Status::Completed);
    let error = &task.errors()[0].error;
    assert!(
        error.contains("the disk is on fire") && error.contains("runtime/errors.rs:"),
        "{error}"
    );
}

async fn a_panic_before_the_first_await_is_stored(fixture: Fixture) {
    let handler = Handler::new(|task: Work| {
        assert!(task.name.is_empty(), "no future was returned");
        std::future::ready(Ok::<_, HandlerError>(()))
    });
    let _worker = fixture.work(handler.config(attempts(1))).await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    assert_eq!(status(&fixture, &task), Status::Failed);
    assert!(
        task.errors()[0].error.contains("no future was returned"),
        "{:?}",
        task.errors()
    );
}

async fn a_panic_does_not_affect_other_attempts(fixture: Fixture) {
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let opened = gate.clone();
    let handler = Handler::new(move |task: Work| {
        let (reporter, gate) = (reporter.clone(), opened.clone());
        async move {
            reporter.report(task.name.clone());
            assert!(task.name != "bad", "a bad task");
            gate.opened().await;
        }
    });
    let _worker = fixture.work(handler.config(attempts(1).concurrency(2))).await;
    let good = fixture.create(work("good")).await;
    assert_eq!(received.next().await, "good");
    for _ in 0..3 {
        let bad = fixture.create(work("bad")).await;
        assert_eq!(status(&fixture, &fixture.done(&bad).await), Status::Failed);
        fixture.client.delete(&bad).await.expect("the store answers");
    }
    gate.open();
    assert_eq!(status(&fixture, &fixture.done(&good).await), Status::Completed);
}

async fn a_panic_in_the_policy_fails_the_task(fixture: Fixture) {
    fn panics(_: u32, _: &HandlerError) -> Option<Duration> {
        panic!("division by zero")
    }
    let handler = Handler::new(|_: Work| async { Err::<(), _>("the first reason") });
    let _worker = fixture
        .work(handler.config(HandlerConfig::DEFAULT.retry(Retry::custom(panics))))
        .await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    assert_eq!((status(&fixture, &task), task.attempts()), (Status::Failed, 1));
    let error = &task.errors()[0].error;
    assert!(
        error.contains("the first reason") && error.contains("division by zero"),
        "{error}"
    );
}

async fn a_panic_in_the_errors_display_is_stored(fixture: Fixture) {
    #[derive(Debug)]
    struct Unprintable;

    impl fmt::Display for Unprintable {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("cannot be printed")
        }
    }

    impl std::error::Error for Unprintable {}

    let handler = Handler::new(|_: Work| async { Err::<(), _>(Unprintable) });
    let _worker = fixture.work(handler.config(attempts(2))).await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    assert_eq!(
        (status(&fixture, &task), task.errors().len()),
        (Status::Failed, 2)
    );
    assert!(
        task.errors()[0].error.contains("cannot be printed"),
        "{:?}",
        task.errors()
    );
}

async fn a_panic_in_the_errors_drop_is_ignored(fixture: Fixture) {
    #[derive(Debug)]
    struct PanicOnDrop;

    impl fmt::Display for PanicOnDrop {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the charge failed")
        }
    }

    impl std::error::Error for PanicOnDrop {}

    impl Drop for PanicOnDrop {
        fn drop(&mut self) {
            panic!("drop panics");
        }
    }

    let handler = Handler::new(|_: Work| async { Err::<(), _>(PanicOnDrop) });
    let _worker = fixture.work(handler.config(attempts(2))).await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    let errors: Vec<_> = task.errors().iter().map(|error| error.error.as_str()).collect();
    assert_eq!(errors, ["the charge failed"; 2]);
}

/// Checks that the claim is released even if a value of the handler panics when a shutdown drops its future.
async fn a_panic_in_a_dropped_handler_does_not_prevent_the_release(fixture: Fixture) {
    struct PanicOnDrop(DropReporter);

    impl Drop for PanicOnDrop {
        fn drop(&mut self) {
            let DropReporter(reporter) = &self.0;
            reporter.report("drop begins");
            panic!("drop panics");
        }
    }

    let (reporter, mut received) = reports();
    let handler = Handler::new(move |_: Work| {
        let reporter = reporter.clone();
        async move {
            let guard = PanicOnDrop(DropReporter(reporter.clone()));
            reporter.report("began");
            std::future::pending::<()>().await;
            drop(guard);
        }
    });
    let worker = start(builder(&fixture.client).grace(Duration::ZERO).handler(handler)).await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "began");
    worker.shutdown().await;
    assert_eq!(received.next().await, "drop begins");
    let task = fixture.task(&id).await;
    assert_eq!((task.attempts(), &task.state.lease), (0, &None));
}

struct Panicking;

impl oncetask::handler::FromContext for Panicking {
    fn from_context(_: &Context) -> Self {
        panic!("the extractor panics")
    }
}

async fn a_panic_in_an_extractor_is_stored(fixture: Fixture) {
    let handler = Handler::new(|_: Work, _: Panicking| async {});
    let _worker = fixture.work(handler.config(attempts(1))).await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    assert!(
        task.errors()[0].error.contains("the extractor panics"),
        "{:?}",
        task.errors()
    );
}

async fn long_errors_are_truncated_and_the_first_and_the_last_99_are_kept(fixture: Fixture) {
    let handler = Handler::new(|attempt: Attempt<Work>| async move {
        Err::<(), _>(format!("{} {}", attempt.attempt, "x".repeat(9000)))
    });
    let _worker = fixture.work(handler.config(attempts(103))).await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    let numbers: Vec<_> = task.errors().iter().map(|error| error.attempt).collect();
    let expected: Vec<_> = std::iter::once(1).chain(5..=103).collect();
    assert_eq!(numbers, expected, "the first and the last 99");
    assert!(task.errors().iter().all(|error| error.error.len() <= 4096));
}

#[derive(Clone)]
struct Pool(&'static str);

struct Connection(&'static str, u32);

impl oncetask::handler::FromContext for Connection {
    fn from_context(cx: &Context) -> Self {
        Self(State::<Pool>::from_context(cx).0.0, cx.attempt())
    }

    fn needs(needs: &mut oncetask::handler::Needs) {
        needs.state::<Pool>();
    }
}

async fn a_custom_extractor_declares_the_state_that_it_needs(fixture: Fixture) {
    let handler = || {
        Handler::new(
            |_: Work, connection: Connection, State(pool): State<Pool>| async move {
                Ok::<_, HandlerError>(format!("{} {} {}", connection.0, connection.1, pool.0))
            },
        )
    };
    let missing = builder(&fixture.client).handler(handler()).start().await;
    let missing = missing.expect_err("the pool is missing").to_string();
    assert!(
        missing.contains("Pool") && missing.contains("runtime/errors.rs:"),
        "{missing}"
    );
    let _worker = start(
        builder(&fixture.client)
            .state(Pool("the pool"))
            .handler(handler()),
    )
    .await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    assert_eq!(
        task.result::<String>().expect("text").as_deref(),
        Some("the pool 1 the pool")
    );
}
