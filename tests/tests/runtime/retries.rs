//! Errors with which a handler controls the next attempt: permanent, retry after a delay, snooze.

use std::time::Duration;

use oncetask::{Attempt, Handler, HandlerConfig, HandlerError, ResultExt as _, Retry, Status};
use tests::harness::{Fixture, Work, attempts, reports, retry_at_once, work};
use tests::on_every_store;

on_every_store!(
    a_permanent_error_is_not_retried,
    retry_after_sets_the_delay_but_not_the_number_of_attempts,
    a_snooze_does_not_count_as_an_attempt,
    a_snooze_may_be_arbitrarily_long,
    the_question_mark_operator_accepts_any_error,
);

fn status(fixture: &Fixture, task: &oncetask::Task) -> Status {
    task.status(fixture.client.clock().now())
}

async fn a_permanent_error_is_not_retried(fixture: Fixture) {
    let handler = Handler::new(|_: Work| async {
        let number: u32 = "seven".parse().permanent()?;
        Ok::<_, HandlerError>(number)
    });
    let _worker = fixture.work(handler.config(attempts(5))).await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    assert_eq!((status(&fixture, &task), task.attempts()), (Status::Failed, 1));
    assert_eq!(task.errors()[0].error, "invalid digit found in string");
}

async fn retry_after_sets_the_delay_but_not_the_number_of_attempts(fixture: Fixture) {
    let handler =
        Handler::new(|_: Work| async { Err::<(), _>("busy").retry_after(Duration::from_millis(2)) });
    // Without `retry_after` the policy would wait an hour.
    let policy = Retry::fixed(Duration::from_hours(1)).max_attempts(3);
    let _worker = fixture
        .work(handler.config(HandlerConfig::DEFAULT.retry(policy)))
        .await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    assert_eq!((status(&fixture, &task), task.attempts()), (Status::Failed, 3));
}

async fn a_snooze_does_not_count_as_an_attempt(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let handler = Handler::new(move |attempt: Attempt<Work>| {
        let (reporter, calls) = (reporter.clone(), calls.clone());
        async move {
            reporter.report(attempt.attempt);
            if calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 4 {
                return Err(HandlerError::snooze(Duration::from_millis(1)));
            }
            Ok(())
        }
    });
    let _worker = fixture
        .work(handler.config(HandlerConfig::DEFAULT.retry(Retry::never())))
        .await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    assert_eq!((status(&fixture, &task), task.attempts()), (Status::Completed, 1));
    assert_eq!(task.errors(), []);
    assert_eq!(received.drain(), [1; 5]);
}

async fn a_snooze_may_be_arbitrarily_long(fixture: Fixture) {
    let handler = Handler::new(|_: Work| async { Err::<(), _>(HandlerError::snooze(Duration::MAX)) });
    let _worker = fixture.work(handler).await;
    let id = fixture.create(work("a")).await;
    let now = fixture.client.clock().now();
    let task = fixture
        .until(&id, |task| {
            task.state.wait_until > now + chrono::TimeDelta::days(1)
        })
        .await;
    assert_eq!(status(&fixture, &task), Status::Waiting);
}

async fn the_question_mark_operator_accepts_any_error(fixture: Fixture) {
    let handler = Handler::new(|attempt: Attempt<Work>| async move {
        match attempt.attempt {
            1 => Err("text")?,
            2 => Err(String::from("more text"))?,
            3 => Err(std::io::Error::other("a type"))?,
            4 => Err(HandlerError::permanent("a signal"))?,
            _ => {}
        }
        Ok::<_, HandlerError>(())
    });
    let _worker = fixture
        .work(handler.config(HandlerConfig::DEFAULT.retry(retry_at_once(9))))
        .await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    let errors: Vec<_> = task.errors().iter().map(|error| error.error.as_str()).collect();
    assert_eq!(errors, ["text", "more text", "a type", "a signal"]);
}
