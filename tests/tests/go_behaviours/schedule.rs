//! Scheduled tasks and the order of the queue.

use chrono::{TimeDelta, Utc};
use oncetask::{Handler, Status};
use tests::harness::{Fixture, Work, name_reporting_handler, reports, work};
use tests::on_every_store;

on_every_store! {
    a_task_due_in_30_seconds_waits_while_a_due_one_runs,
    a_scheduled_task_does_not_run_early,
    tasks_run_in_the_order_of_due_time_and_creation,
}

async fn a_task_due_in_30_seconds_waits_while_a_due_one_runs(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let soon = Utc::now() + TimeDelta::seconds(30);
    fixture.create_many([work("soon").at(soon), work("now")]).await;
    let worker = fixture.work(name_reporting_handler(reporter)).await;
    fixture.done("work:now").await;
    worker.shutdown().await;
    assert_eq!(received.drain(), ["now"]);
    let task = fixture.task("work:soon").await;
    assert_eq!((task.status(Utc::now()), task.attempts()), (Status::Waiting, 0));
}

/// In the Go library a task may be a minute late, because its workers poll once a minute.
async fn a_scheduled_task_does_not_run_early(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let handler = Handler::new(move |_: Work| {
        reporter.report(Utc::now());
        async {}
    });
    let _worker = fixture.work(handler).await;
    let at = Utc::now() + TimeDelta::milliseconds(700);
    fixture.create(work("a").at(at)).await;
    assert!(received.next().await >= at);
}

/// In the Go library overdue retries and scheduled tasks starve behind immediate ones.
async fn tasks_run_in_the_order_of_due_time_and_creation(fixture: Fixture) {
    let (reporter, mut received) = reports();
    fixture
        .client_ahead(-TimeDelta::minutes(3))
        .create(work("third"))
        .await
        .expect("the task can be stored");
    fixture
        .client_ahead(-TimeDelta::minutes(1))
        .create(work("fifth"))
        .await
        .expect("the task can be stored");
    let at = |minutes| Utc::now() - TimeDelta::minutes(minutes);
    for draft in [
        work("second").at(at(4)),
        work("first").at(at(5)),
        work("fourth").at(at(2)),
    ] {
        fixture.create(draft).await;
    }
    let _worker = fixture.work(name_reporting_handler(reporter)).await;
    for name in ["first", "second", "third", "fourth", "fifth"] {
        assert_eq!(received.next().await, name);
    }
}
