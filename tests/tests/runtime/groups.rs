//! Grouped handlers, which take all pending tasks of one resource key in one call.

use std::time::Duration;

use chrono::TimeDelta;
use oncetask::store::Demand;
use oncetask::{
    Attempt, Context, Handler, HandlerConfig, HandlerError, OnceTask, Outcome, Status, Task, TaskId,
};
use tests::harness::wait::until;
use tests::harness::{Fixture, Gate, Reporter, Work, attempts, builder, reports, start, work};
use tests::on_every_store;

use crate::flaky_store::flaky;

on_every_store!(
    a_group_is_ordered_by_due_time,
    a_group_has_at_most_max_group_tasks,
    one_result_is_stored_for_every_task,
    an_error_counts_against_each_tasks_own_attempts,
    each_task_can_have_its_own_outcome,
    a_wrong_number_of_outcomes_fails_every_task,
    tasks_created_during_a_call_join_the_next_group,
    tasks_without_a_key_are_not_grouped,
    cancelled_tasks_are_cleaned_up_one_at_a_time,
    a_group_is_signalled_when_every_task_is_cancelled,
    a_deleted_task_does_not_affect_its_group,
    an_unreadable_payload_is_deferred_without_its_group,
    a_panic_fails_the_attempt_of_every_task,
    a_shutdown_releases_the_whole_group,
    a_crashed_group_runs_again,
);

async fn create(fixture: &Fixture, tasks: impl IntoIterator<Item = Work>) -> Vec<TaskId> {
    let mut ids = Vec::new();
    for task in tasks {
        ids.push(fixture.create(task).await);
    }
    ids
}

fn names(group: &[Attempt<Work>]) -> Vec<String> {
    group.iter().map(|attempt| attempt.name.clone()).collect()
}

/// Returns a grouped handler that reports the names of its tasks.
fn group_reporting_handler(reporter: Reporter<Vec<String>>) -> Handler {
    Handler::new(move |group: Vec<Attempt<Work>>| {
        let reporter = reporter.clone();
        async move { reporter.report(names(&group)) }
    })
}

fn status(fixture: &Fixture, task: &Task) -> Status {
    task.status(fixture.client.clock().now())
}

async fn a_group_is_ordered_by_due_time(fixture: Fixture) {
    let now = fixture.client.clock().now();
    let ago = |minutes| now - TimeDelta::minutes(minutes);
    let tasks = [
        work("third").key("k").at(ago(1)),
        work("first").key("k").at(ago(3)),
        work("second").key("k").at(ago(2)),
        work("another").key("l").at(ago(0)),
        work("later").key("k").at(now + TimeDelta::days(1)),
    ];
    let ids = create(&fixture, tasks).await;
    let (reporter, mut received) = reports();
    let handler = Handler::new(move |tasks: Vec<Work>| {
        let reporter = reporter.clone();
        async move { reporter.report(tasks.into_iter().map(|task| task.name).collect::<Vec<_>>()) }
    });
    let _worker = fixture.work(handler).await;
    for id in &ids[..4] {
        fixture.done(id).await;
    }
    assert_eq!(
        received.drain(),
        [vec!["first", "second", "third"], vec!["another"]]
    );
    assert_eq!(status(&fixture, &fixture.task(&ids[4]).await), Status::Waiting);
}

async fn a_group_has_at_most_max_group_tasks(fixture: Fixture) {
    let ids = create(&fixture, (0..7).map(|number| work(format!("{number}")).key("k"))).await;
    let (reporter, mut received) = reports();
    let _worker = fixture
        .work(group_reporting_handler(reporter).config(HandlerConfig::DEFAULT.max_group(3).concurrency(4)))
        .await;
    for id in &ids {
        fixture.done(id).await;
    }
    assert_eq!(
        received.drain(),
        [vec!["0", "1", "2"], vec!["3", "4", "5"], vec!["6"]]
    );
}

async fn one_result_is_stored_for_every_task(fixture: Fixture) {
    let ids = create(&fixture, ["a", "b", "c"].map(|name| work(name).key("k"))).await;
    let handler = Handler::new(|tasks: Vec<Work>| async move { Ok::<_, HandlerError>(tasks.len()) });
    let _worker = fixture.work(handler).await;
    for id in &ids {
        let task = fixture.done(id).await;
        assert_eq!(
            (task.result::<usize>().expect("a number"), task.attempts()),
            (Some(3), 1)
        );
    }
}

async fn an_error_counts_against_each_tasks_own_attempts(fixture: Fixture) {
    let (reporter, mut received) = reports();
    // The older task has used an attempt when the younger one is created.
    let first = fixture.create(work("old").key("k")).await;
    fixture
        .claim_and_crash(Work::KIND, Duration::from_millis(100))
        .await;
    let second = fixture.create(work("young").key("k")).await;
    let due = fixture
        .task(&first)
        .await
        .state
        .due()
        .expect("the task is not done");
    until(|| fixture.client.clock().now() >= due).await;
    let handler = Handler::new(move |group: Vec<Attempt<Work>>, cx: Context| {
        let reporter = reporter.clone();
        async move {
            let attempts: Vec<_> = group.iter().map(|attempt| attempt.attempt).collect();
            reporter.report((attempts, cx.attempt(), cx.id().cloned()));
            Err::<(), _>("no")
        }
    });
    let _worker = fixture.work(handler.config(attempts(2))).await;
    let (old, young) = (fixture.done(&first).await, fixture.done(&second).await);
    assert_eq!((status(&fixture, &old), old.attempts()), (Status::Failed, 2));
    assert_eq!((status(&fixture, &young), young.attempts()), (Status::Failed, 2));
    assert_eq!(
        received.drain(),
        [(vec![2, 1], 2, None), (vec![2], 2, Some(second))]
    );
}

async fn each_task_can_have_its_own_outcome(fixture: Fixture) {
    let ids = create(
        &fixture,
        ["done", "failed", "cancelled", "snoozed"].map(|name| work(name).key("k")),
    )
    .await;
    let handler = Handler::new(|group: Vec<Attempt<Work>>| async move {
        let outcome = |attempt: &Attempt<Work>| match attempt.name.as_str() {
            "done" => Outcome::done("yes"),
            "failed" => Outcome::error(HandlerError::permanent("permanent")),
            "cancelled" => Outcome::error(HandlerError::cancel("no more")),
            _ => Outcome::error(HandlerError::snooze(Duration::from_hours(1))),
        };
        Ok::<_, HandlerError>(group.iter().map(outcome).collect::<Vec<_>>())
    });
    let _worker = fixture.work(handler).await;
    for (id, expected) in ids
        .iter()
        .zip([Status::Completed, Status::Failed, Status::Cancelled])
    {
        assert_eq!(status(&fixture, &fixture.done(id).await), expected);
    }
    let snoozed = fixture.until(&ids[3], |task| task.state.lease.is_none()).await;
    assert_eq!(
        (status(&fixture, &snoozed), snoozed.attempts()),
        (Status::Waiting, 0)
    );
}

async fn a_wrong_number_of_outcomes_fails_every_task(fixture: Fixture) {
    let ids = create(&fixture, ["a", "b"].map(|name| work(name).key("k"))).await;
    let handler = Handler::new(|_: Vec<Work>| async move {
        Ok::<_, HandlerError>(vec![Outcome::done(&1), Outcome::done(&2), Outcome::done(&3)])
    });
    let _worker = fixture.work(handler.config(attempts(1))).await;
    for id in &ids {
        let task = fixture.done(id).await;
        assert_eq!(status(&fixture, &task), Status::Failed);
        let error = &task.errors()[0].error;
        assert!(error.contains("took 2 tasks and returned 3 outcomes"), "{error}");
    }
}

async fn tasks_created_during_a_call_join_the_next_group(fixture: Fixture) {
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let opened = gate.clone();
    let handler = Handler::new(move |group: Vec<Attempt<Work>>| {
        let (reporter, gate) = (reporter.clone(), opened.clone());
        async move {
            reporter.report(names(&group));
            gate.opened().await;
        }
    });
    let _worker = fixture
        .work(handler.config(HandlerConfig::DEFAULT.concurrency(4)))
        .await;
    let early = fixture.create(work("early").key("k")).await;
    assert_eq!(received.next().await, ["early"]);
    let late = create(&fixture, ["late", "later"].map(|name| work(name).key("k"))).await;
    // A task of another key runs at once, which shows that a slot is free.
    fixture.create(work("other").key("l")).await;
    assert_eq!(received.next().await, ["other"]);
    gate.open();
    fixture.done(&early).await;
    for id in &late {
        fixture.done(id).await;
    }
    assert_eq!(received.drain(), [["late", "later"]]);
}

async fn tasks_without_a_key_are_not_grouped(fixture: Fixture) {
    let ids = create(&fixture, ["a", "b", "c"].map(work)).await;
    let (reporter, mut received) = reports();
    let _worker = fixture.work(group_reporting_handler(reporter)).await;
    for id in &ids {
        fixture.done(id).await;
    }
    assert_eq!(received.drain(), [["a"], ["b"], ["c"]]);
}

async fn cancelled_tasks_are_cleaned_up_one_at_a_time(fixture: Fixture) {
    let ids = create(&fixture, ["a", "b", "c", "d"].map(|name| work(name).key("k"))).await;
    fixture.cancel(&ids[1]).await;
    fixture.cancel(&ids[3]).await;
    let (reporter, mut received) = reports();
    let cleanup = reporter.clone();
    let handler = group_reporting_handler(reporter).on_cancel(move |task: Work| {
        let reporter = cleanup.clone();
        async move { reporter.report(vec!["cleanup".to_owned(), task.name]) }
    });
    let _worker = fixture.work(handler).await;
    for id in &ids {
        fixture.done(id).await;
    }
    let mut calls = received.drain();
    calls.sort();
    assert_eq!(calls, [["a", "c"], ["cleanup", "b"], ["cleanup", "d"]]);
}

async fn a_group_is_signalled_when_every_task_is_cancelled(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let handler = Handler::new(move |group: Vec<Attempt<Work>>, cx: Context| {
        let reporter = reporter.clone();
        async move {
            reporter.report("began");
            cx.cancelled().await;
            reporter.report("stopping");
            drop(group);
        }
    });
    let ids = create(&fixture, ["a", "b"].map(|name| work(name).key("k"))).await;
    let (client, control) = flaky(&fixture.client);
    let _worker = start(builder(&client).handler(handler)).await;
    assert_eq!(received.next().await, "began");
    fixture.cancel(&ids[0]).await;
    until(|| !control.renewals().is_empty()).await;
    assert_eq!(received.drain(), [""; 0], "one task is not cancelled");
    fixture.cancel(&ids[1]).await;
    assert_eq!(received.next().await, "stopping");
    for id in &ids {
        assert_eq!(status(&fixture, &fixture.done(id).await), Status::Cancelled);
    }
}

async fn a_deleted_task_does_not_affect_its_group(fixture: Fixture) {
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let opened = gate.clone();
    let handler = Handler::new(move |group: Vec<Attempt<Work>>| {
        let (reporter, gate) = (reporter.clone(), opened.clone());
        async move {
            reporter.report(group.len());
            gate.opened().await;
            Ok::<_, HandlerError>(group.len())
        }
    });
    let ids = create(&fixture, ["a", "b", "c"].map(|name| work(name).key("k"))).await;
    let _worker = fixture.work(handler).await;
    assert_eq!(received.next().await, 3);
    fixture.client.delete(&ids[1]).await.expect("the store answers");
    gate.open();
    for id in [&ids[0], &ids[2]] {
        let task = fixture.done(id).await;
        assert_eq!((status(&fixture, &task), task.attempts()), (Status::Completed, 1));
    }
    assert_eq!(
        fixture.client.get(&ids[1]).await.expect("the store answers"),
        None
    );
}

/// A task of the kind `Work` that a handler of [`Work`] cannot read.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct NewWork {
    id: u32,
    key: String,
}

impl OnceTask for NewWork {
    const KIND: &'static str = Work::KIND;

    fn id(&self) -> TaskId {
        TaskId::new(format!("new:{}", self.id))
    }

    fn resource_key(&self) -> Option<oncetask::ResourceKey> {
        oncetask::ResourceKey::new(&self.key)
    }
}

async fn an_unreadable_payload_is_deferred_without_its_group(fixture: Fixture) {
    let ids = create(&fixture, ["a", "b"].map(|name| work(name).key("k"))).await;
    let unreadable = fixture
        .create(NewWork {
            id: 7,
            key: "k".into(),
        })
        .await;
    let last = fixture.create(work("c").key("k")).await;
    let (reporter, mut received) = reports();
    let _worker = fixture.work(group_reporting_handler(reporter)).await;
    for id in ids.iter().chain([&last]) {
        assert_eq!(status(&fixture, &fixture.done(id).await), Status::Completed);
    }
    assert_eq!(received.drain(), [["a", "b", "c"]]);
    let task = fixture
        .until(&unreadable, |task| task.state.lease.is_none())
        .await;
    assert_eq!(
        (task.attempts(), task.state.deferrals, task.errors().len()),
        (0, 1, 0)
    );
}

async fn a_panic_fails_the_attempt_of_every_task(fixture: Fixture) {
    let ids = create(&fixture, ["a", "b"].map(|name| work(name).key("k"))).await;
    let handler = Handler::new(|group: Vec<Attempt<Work>>| async move {
        assert!(
            group.iter().all(|attempt| attempt.attempt > 1),
            "the first call panics"
        );
    });
    let _worker = fixture.work(handler.config(attempts(2))).await;
    for id in &ids {
        let task = fixture.done(id).await;
        assert_eq!(status(&fixture, &task), Status::Completed);
        assert!(
            task.errors()[0].error.contains("the first call panics"),
            "{:?}",
            task.errors()
        );
    }
}

async fn a_shutdown_releases_the_whole_group(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let handler = Handler::new(move |group: Vec<Attempt<Work>>| {
        let reporter = reporter.clone();
        async move {
            reporter.report(group.len());
            std::future::pending::<()>().await;
        }
    });
    let ids = create(&fixture, ["a", "b"].map(|name| work(name).key("k"))).await;
    let worker = start(builder(&fixture.client).grace(Duration::ZERO).handler(handler)).await;
    assert_eq!(received.next().await, 2);
    worker.shutdown().await;
    for id in &ids {
        let task = fixture.task(id).await;
        assert_eq!((status(&fixture, &task), task.attempts()), (Status::Pending, 0));
    }
}

async fn a_crashed_group_runs_again(fixture: Fixture) {
    let ids = create(&fixture, ["a", "b"].map(|name| work(name).key("k"))).await;
    let demand = Demand::new([Work::KIND], TimeDelta::milliseconds(100)).max_group(10);
    let claim = fixture.claim_at(demand, fixture.client.clock().now()).await;
    assert_eq!(claim.tasks.len(), 2);
    let (reporter, mut received) = reports();
    let _worker = fixture.work(group_reporting_handler(reporter)).await;
    for id in &ids {
        let task = fixture.done(id).await;
        assert_eq!(
            (status(&fixture, &task), task.attempts(), task.errors().len()),
            (Status::Completed, 2, 1)
        );
    }
    assert_eq!(received.drain(), [["a", "b"]]);
}
