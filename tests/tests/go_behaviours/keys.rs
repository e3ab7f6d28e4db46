use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{TimeDelta, Utc};
use oncetask::{Attempt, Handler, HandlerConfig, HandlerError, Status};
use tokio::sync::Notify;

use super::on_every_store;
use super::world::{Note, World, line, note};

on_every_store! {
    a_batch_handler_gets_every_pending_task_of_a_key_in_due_order,
    a_batch_is_no_larger_than_its_limit,
    without_a_key_a_batch_handler_gets_one_task_per_call,
    never_two_of_one_key_at_once,
    a_busy_key_delays_no_other,
}

/// A handler of groups that says the names of each.
fn grouping(say: tokio::sync::mpsc::UnboundedSender<Vec<String>>) -> Handler {
    Handler::new(move |group: Vec<Attempt<Note>>| {
        let names = group.iter().map(|job| job.name.clone()).collect();
        let sent = say.send(names);
        async move { sent.expect("heard") }
    })
}

async fn a_batch_handler_gets_every_pending_task_of_a_key_in_due_order(world: World) {
    let (say, mut heard) = line();
    let ago = |minutes| Utc::now() - TimeDelta::minutes(minutes);
    world
        .create([
            note("c").key("k").at(ago(10)),
            note("a").key("k").at(ago(30)),
            note("b").key("k").at(ago(20)),
            note("later").key("k").at(ago(-60)),
            note("other").key("other").at(ago(5)),
        ])
        .await;
    let _worker = world.work(grouping(say)).await;
    assert_eq!(heard.next().await, ["a", "b", "c"]);
    assert_eq!(heard.next().await, ["other"]);
    for name in ["a", "b", "c"] {
        let task = world.done(format!("note:{name}")).await;
        assert_eq!(task.status(Utc::now()), Status::Completed);
    }
    assert_eq!(world.task("note:later").await.attempts(), 0);
}

async fn a_batch_is_no_larger_than_its_limit(world: World) {
    let (say, mut heard) = line();
    let at = |n: i64| Utc::now() - TimeDelta::minutes(60 - n);
    world
        .create((0..5).map(|n| note(n.to_string()).key("k").at(at(n))))
        .await;
    let config = HandlerConfig::DEFAULT.max_group(2);
    let _worker = world.work(grouping(say).config(config)).await;
    assert_eq!(heard.next().await, ["0", "1"]);
    assert_eq!(heard.next().await, ["2", "3"]);
    assert_eq!(heard.next().await, ["4"]);
}

async fn without_a_key_a_batch_handler_gets_one_task_per_call(world: World) {
    let (say, mut heard) = line();
    world.create(["a", "b", "c"].map(note)).await;
    let _worker = world.work(grouping(say)).await;
    for _ in 0..3 {
        assert_eq!(heard.next().await.len(), 1);
    }
}

async fn never_two_of_one_key_at_once(world: World) {
    let busy = Arc::new(AtomicBool::new(false));
    let handler = Handler::new(move |_: Note| {
        let busy = busy.clone();
        async move {
            let alone = !busy.swap(true, Ordering::SeqCst);
            // Long enough for a second one to show up, if the key let it.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            busy.store(false, Ordering::SeqCst);
            Ok::<_, HandlerError>(alone)
        }
    });
    world.create((0..6).map(|n| note(n.to_string()).key("k"))).await;
    let config = HandlerConfig::DEFAULT.concurrency(4);
    let _worker = world.work(handler.config(config)).await;
    for n in 0..6 {
        let alone: Option<bool> = world.done(format!("note:{n}")).await.result().expect("readable");
        assert_eq!(alone, Some(true));
    }
}

/// In Go one busy key at the head idles the kind.
async fn a_busy_key_delays_no_other(world: World) {
    let go_on = Arc::new(Notify::new());
    let waiting = go_on.clone();
    let handler = Handler::new(move |task: Note| {
        let waiting = waiting.clone();
        async move {
            if task.key.as_deref() == Some("busy") {
                waiting.notified().await;
            }
        }
    });
    world
        .create((0..50).map(|n| note(format!("busy {n}")).key("busy")))
        .await;
    world.create([note("free").key("free"), note("plain")]).await;
    let config = HandlerConfig::DEFAULT.concurrency(2);
    let _worker = world.work(handler.config(config)).await;
    world.done("note:free").await;
    world.done("note:plain").await;
    let done = oncetask::Filter::new()
        .resource_key("busy")
        .status(Status::Completed);
    assert_eq!(world.client.count(done).await.expect("answered"), 0);
}
