//! What a handler can say with an error.

use std::time::Duration;

use oncetask::{Attempt, Handler, HandlerConfig, HandlerError, ResultExt as _, Retry, Status};

use crate::on_every_store;
use crate::world::{Work, World, attempts, line, quick, work};

on_every_store!(
    permanent_is_the_end,
    retry_after_chooses_the_delay_within_the_attempts,
    snooze_spends_no_attempt,
    snooze_may_be_for_ever,
    a_question_mark_takes_any_error,
);

fn status(world: &World, task: &oncetask::Task) -> Status {
    task.status(world.client.clock().now())
}

async fn permanent_is_the_end(world: World) {
    let handler = Handler::new(|_: Work| async {
        let number: u32 = "seven".parse().permanent()?;
        Ok::<_, HandlerError>(number)
    });
    let _worker = world.work(handler.config(attempts(5))).await;
    let task = world.done(&world.create(work("a")).await).await;
    assert_eq!((status(&world, &task), task.attempts()), (Status::Failed, 1));
    assert_eq!(task.errors()[0].error, "invalid digit found in string");
}

async fn retry_after_chooses_the_delay_within_the_attempts(world: World) {
    let handler =
        Handler::new(|_: Work| async { Err::<(), _>("busy").retry_after(Duration::from_millis(2)) });
    // The policy would wait an hour.
    let policy = Retry::fixed(Duration::from_hours(1)).max_attempts(3);
    let _worker = world
        .work(handler.config(HandlerConfig::DEFAULT.retry(policy)))
        .await;
    let task = world.done(&world.create(work("a")).await).await;
    assert_eq!((status(&world, &task), task.attempts()), (Status::Failed, 3));
}

async fn snooze_spends_no_attempt(world: World) {
    let (say, mut heard) = line();
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let handler = Handler::new(move |job: Attempt<Work>| {
        let (say, calls) = (say.clone(), calls.clone());
        async move {
            say.say(job.attempt);
            if calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 4 {
                return Err(HandlerError::snooze(Duration::from_millis(1)));
            }
            Ok(())
        }
    });
    let _worker = world
        .work(handler.config(HandlerConfig::DEFAULT.retry(Retry::never())))
        .await;
    let task = world.done(&world.create(work("a")).await).await;
    assert_eq!((status(&world, &task), task.attempts()), (Status::Completed, 1));
    assert_eq!(task.errors(), []);
    assert_eq!(heard.rest(), [1; 5]);
}

async fn snooze_may_be_for_ever(world: World) {
    let handler = Handler::new(|_: Work| async { Err::<(), _>(HandlerError::snooze(Duration::MAX)) });
    let _worker = world.work(handler).await;
    let id = world.create(work("a")).await;
    let now = world.client.clock().now();
    let task = world
        .until(&id, |task| {
            task.state.wait_until > now + chrono::TimeDelta::days(1)
        })
        .await;
    assert_eq!(status(&world, &task), Status::Waiting);
}

async fn a_question_mark_takes_any_error(world: World) {
    let handler = Handler::new(|job: Attempt<Work>| async move {
        match job.attempt {
            1 => Err("text")?,
            2 => Err(String::from("more text"))?,
            3 => Err(std::io::Error::other("a type"))?,
            4 => Err(HandlerError::permanent("a signal"))?,
            _ => {}
        }
        Ok::<_, HandlerError>(())
    });
    let _worker = world
        .work(handler.config(HandlerConfig::DEFAULT.retry(quick(9))))
        .await;
    let task = world.done(&world.create(work("a")).await).await;
    let errors: Vec<_> = task.errors().iter().map(|error| error.error.as_str()).collect();
    assert_eq!(errors, ["text", "more text", "a type", "a signal"]);
}
