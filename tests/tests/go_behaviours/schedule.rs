use chrono::{TimeDelta, Utc};
use oncetask::{Handler, Status};

use super::on_every_store;
use super::world::{Note, World, line, naming, note};

on_every_store! {
    a_task_due_in_30_seconds_has_not_run_while_a_due_one_has,
    a_scheduled_task_runs_at_its_time_and_not_before,
    the_due_time_comes_first_and_then_the_creation,
}

async fn a_task_due_in_30_seconds_has_not_run_while_a_due_one_has(world: World) {
    let (say, mut heard) = line();
    let soon = Utc::now() + TimeDelta::seconds(30);
    world.create([note("soon").at(soon), note("now")]).await;
    let worker = world.work(naming(say)).await;
    world.done("note:now").await;
    worker.shutdown().await;
    assert_eq!(heard.rest(), ["now"]);
    let task = world.task("note:soon").await;
    assert_eq!((task.status(Utc::now()), task.attempts()), (Status::Waiting, 0));
}

/// In Go up to a minute late, for its workers look once a minute.
async fn a_scheduled_task_runs_at_its_time_and_not_before(world: World) {
    let (say, mut heard) = line();
    let handler = Handler::new(move |_: Note| {
        let sent = say.send(Utc::now());
        async move { sent.expect("heard") }
    });
    let _worker = world.work(handler).await;
    let at = Utc::now() + TimeDelta::milliseconds(700);
    world.create([note("a").at(at)]).await;
    assert!(heard.next().await >= at);
}

/// In Go overdue retries and scheduled tasks starve behind immediate ones.
async fn the_due_time_comes_first_and_then_the_creation(world: World) {
    let (say, mut heard) = line();
    world
        .ago(TimeDelta::minutes(3))
        .create(note("third"))
        .await
        .expect("stored");
    world
        .ago(TimeDelta::minutes(1))
        .create(note("fifth"))
        .await
        .expect("stored");
    let at = |minutes| Utc::now() - TimeDelta::minutes(minutes);
    for draft in [
        note("second").at(at(4)),
        note("first").at(at(5)),
        note("fourth").at(at(2)),
    ] {
        world.create([draft]).await;
    }
    let _worker = world.work(naming(say)).await;
    for name in ["first", "second", "third", "fourth", "fifth"] {
        assert_eq!(heard.next().await, name);
    }
}
