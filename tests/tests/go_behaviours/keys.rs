//! Resource keys and grouped handlers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{TimeDelta, Utc};
use oncetask::{Attempt, Handler, HandlerConfig, HandlerError, Status};
use tests::harness::{Fixture, Reporter, Work, reports, work};
use tests::on_every_store;
use tokio::sync::Notify;

on_every_store! {
    a_group_has_every_pending_task_of_a_key_in_due_order,
    a_group_is_not_larger_than_its_limit,
    tasks_without_a_key_are_not_grouped,
    tasks_of_one_key_never_overlap,
    a_busy_key_delays_no_other_task,
}

/// Returns a grouped handler that reports the names of its tasks.
fn group_reporting_handler(reporter: Reporter<Vec<String>>) -> Handler {
    Handler::new(move |group: Vec<Attempt<Work>>| {
        let names = group.iter().map(|attempt| attempt.name.clone()).collect();
        reporter.report(names);
        async {}
    })
}

async fn a_group_has_every_pending_task_of_a_key_in_due_order(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let ago = |minutes| Utc::now() - TimeDelta::minutes(minutes);
    fixture
        .create_many([
            work("c").key("k").at(ago(10)),
            work("a").key("k").at(ago(30)),
            work("b").key("k").at(ago(20)),
            work("later").key("k").at(ago(-60)),
            work("other").key("other").at(ago(5)),
        ])
        .await;
    let _worker = fixture.work(group_reporting_handler(reporter)).await;
    assert_eq!(received.next().await, ["a", "b", "c"]);
    assert_eq!(received.next().await, ["other"]);
    for name in ["a", "b", "c"] {
        let task = fixture.done(format!("work:{name}")).await;
        assert_eq!(task.status(Utc::now()), Status::Completed);
    }
    assert_eq!(fixture.task("work:later").await.attempts(), 0);
}

async fn a_group_is_not_larger_than_its_limit(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let at = |n: i64| Utc::now() - TimeDelta::minutes(60 - n);
    fixture
        .create_many((0..5).map(|n| work(n.to_string()).key("k").at(at(n))))
        .await;
    let config = HandlerConfig::DEFAULT.max_group(2);
    let _worker = fixture
        .work(group_reporting_handler(reporter).config(config))
        .await;
    assert_eq!(received.next().await, ["0", "1"]);
    assert_eq!(received.next().await, ["2", "3"]);
    assert_eq!(received.next().await, ["4"]);
}

async fn tasks_without_a_key_are_not_grouped(fixture: Fixture) {
    let (reporter, mut received) = reports();
    fixture.create_many(["a", "b", "c"].map(work)).await;
    let _worker = fixture.work(group_reporting_handler(reporter)).await;
    for _ in 0..3 {
        assert_eq!(received.next().await.len(), 1);
    }
}

async fn tasks_of_one_key_never_overlap(fixture: Fixture) {
    let busy = Arc::new(AtomicBool::new(false));
    let handler = Handler::new(move |_: Work| {
        let busy = busy.clone();
        async move {
            let alone = !busy.swap(true, Ordering::SeqCst);
            // A second task of the key would begin within these yields.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            busy.store(false, Ordering::SeqCst);
            Ok::<_, HandlerError>(alone)
        }
    });
    fixture
        .create_many((0..6).map(|n| work(n.to_string()).key("k")))
        .await;
    let config = HandlerConfig::DEFAULT.concurrency(4);
    let _worker = fixture.work(handler.config(config)).await;
    for n in 0..6 {
        let alone: Option<bool> = fixture
            .done(format!("work:{n}"))
            .await
            .result()
            .expect("readable");
        assert_eq!(alone, Some(true));
    }
}

/// In the Go library one busy key at the head of the queue stops the whole kind.
async fn a_busy_key_delays_no_other_task(fixture: Fixture) {
    let release = Arc::new(Notify::new());
    let waiting = release.clone();
    let handler = Handler::new(move |task: Work| {
        let waiting = waiting.clone();
        async move {
            if task.key.as_deref() == Some("busy") {
                waiting.notified().await;
            }
        }
    });
    fixture
        .create_many((0..50).map(|n| work(format!("busy {n}")).key("busy")))
        .await;
    fixture
        .create_many([work("free").key("free"), work("plain")])
        .await;
    let config = HandlerConfig::DEFAULT.concurrency(2);
    let _worker = fixture.work(handler.config(config)).await;
    fixture.done("work:free").await;
    fixture.done("work:plain").await;
    let done = oncetask::Filter::new()
        .resource_key("busy")
        .status(Status::Completed);
    assert_eq!(fixture.client.count(done).await.expect("the store answers"), 0);
}
