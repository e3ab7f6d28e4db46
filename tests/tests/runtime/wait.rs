//! Waiting for a task's end.

use std::time::Duration;

use oncetask::{Change, Client, Ending, Error, Handler, HandlerError};

use crate::on_every_store;
use crate::world::{Gate, Work, World, attempts, gated, line, within, work};

on_every_store!(
    it_ends_with_the_task,
    another_process_waits_too,
    what_is_done_is_not_waited_for,
    dropped_and_begun_again,
    a_failure_tells_its_errors,
    there_is_nothing_to_wait_for,
    deleted_while_somebody_waits,
    cancelled_while_somebody_waits,
    many_wait_for_one,
);

/// Somebody who waits, in a task of their own.
fn waiting(client: &Client, id: &oncetask::TaskId) -> tokio::task::JoinHandle<Result<oncetask::Task, Error>> {
    let (client, id) = (client.clone(), id.clone());
    tokio::spawn(async move { client.wait(&id).await })
}

async fn end(
    waiting: tokio::task::JoinHandle<Result<oncetask::Task, Error>>,
) -> Result<oncetask::Task, Error> {
    within(waiting).await.expect("it does not panic")
}

async fn it_ends_with_the_task(world: World) {
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let _worker = world.work(gated(say, gate.clone())).await;
    let id = world.create(work("a")).await;
    let waiting = waiting(&world.client, &id);
    heard.next().await;
    assert!(!waiting.is_finished());
    gate.open();
    let task = end(waiting).await.expect("it completes");
    assert_eq!(task.result::<String>().expect("text").as_deref(), Some("a"));
}

async fn another_process_waits_too(world: World) {
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let _worker = world.work(gated(say, gate.clone())).await;
    let id = world.create(work("a")).await;
    let waiting = waiting(&world.another().await, &id);
    heard.next().await;
    gate.open();
    end(waiting).await.expect("it completes");
}

async fn what_is_done_is_not_waited_for(world: World) {
    let ((say, _heard), gate) = (line(), Gate::closed());
    gate.open();
    let _worker = world.work(gated(say, gate)).await;
    let id = world.create(work("a")).await;
    world.done(&id).await;
    end(waiting(&world.another().await, &id))
        .await
        .expect("it has completed");
}

async fn dropped_and_begun_again(world: World) {
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let _worker = world.work(gated(say, gate.clone())).await;
    let id = world.create(work("a")).await;
    heard.next().await;
    for _ in 0..3 {
        let given_up = tokio::time::timeout(Duration::from_millis(5), world.client.wait(&id)).await;
        assert!(given_up.is_err(), "it has not ended");
    }
    gate.open();
    within(world.client.wait(&id)).await.expect("it completes");
}

async fn a_failure_tells_its_errors(world: World) {
    let handler = Handler::new(|_: Work| async { Err::<(), _>("the bank is closed") });
    let _worker = world.work(handler.config(attempts(2))).await;
    let id = world.create(work("a")).await;
    let error = end(waiting(&world.client, &id)).await.expect_err("it fails");
    let text = error.to_string();
    assert!(
        text.contains("work:a") && text.contains("the bank is closed"),
        "{text}"
    );
    let Error::Unsuccessful { how, errors, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((how, errors.len()), (Ending::Failed, 2));
}

async fn there_is_nothing_to_wait_for(world: World) {
    let error = end(waiting(&world.client, &"work:none".into()))
        .await
        .expect_err("there is none");
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

async fn deleted_while_somebody_waits(world: World) {
    let id = world.create(work("a")).await;
    let waits = [waiting(&world.client, &id), waiting(&world.another().await, &id)];
    assert_eq!(
        world.client.delete(&id).await.expect("the store answers"),
        Change::Applied
    );
    for waiting in waits {
        let error = end(waiting).await.expect_err("it is gone");
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
}

async fn cancelled_while_somebody_waits(world: World) {
    let handler = Handler::new(|_: Work| async { Err::<(), _>(HandlerError::cancel("no more")) });
    let _worker = world.work(handler).await;
    let id = world.create(work("a")).await;
    let error = end(waiting(&world.client, &id))
        .await
        .expect_err("it is cancelled");
    let Error::Unsuccessful { how, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(how, Ending::Cancelled);
}

async fn many_wait_for_one(world: World) {
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let _worker = world.work(gated(say, gate.clone())).await;
    let id = world.create(work("a")).await;
    let waits: Vec<_> = (0..50).map(|_| waiting(&world.client, &id)).collect();
    heard.next().await;
    gate.open();
    for waiting in waits {
        end(waiting).await.expect("it completes");
    }
}
