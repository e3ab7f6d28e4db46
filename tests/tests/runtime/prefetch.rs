//! Prefetching: claims beyond the free slots. Only quick handlers prefetch, with leases of seconds, and prefetched
//! tasks do not wait for a slow attempt.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use oncetask::store::Demand;
use oncetask::{Attempt, Client, Handler, HandlerConfig, Retry, Status, TaskId, Worker};
use tests::harness::wait::within;
use tests::harness::{
    Fixture, Gate, Reporter, Reports, Work, builder, name_reporting_handler, reports, start, work,
};
use tests::on_every_store;

use crate::flaky_store::{StoreControl, flaky};

on_every_store!(
    quick_handlers_prefetch_with_short_leases,
    slow_handlers_do_not_prefetch,
    a_single_attempt_policy_disables_prefetching,
    tasks_prefetched_behind_a_slow_attempt_run_on_another_worker,
    a_shutdown_releases_prefetched_tasks,
);

/// The number of tasks, which is larger than the number of attempts after which a worker prefetches.
const TASKS: usize = 400;
/// The maximum lease of a prefetched task, and thus its maximum delay after a crash.
const MAX_LEASE: TimeDelta = TimeDelta::seconds(5);
const MINUTE: Duration = Duration::from_mins(1);

/// Creates tasks named `quick-…`, except that the task in the middle of the queue has the name `middle`.
async fn create_many(fixture: &Fixture, middle: &str) -> Vec<TaskId> {
    let name = |number| {
        if number == TASKS / 2 {
            middle.to_owned()
        } else {
            format!("quick-{number}")
        }
    };
    let tasks: Vec<_> = (0..TASKS).map(|number| work(name(number))).collect();
    let created = fixture
        .client
        .create_many(tasks)
        .await
        .expect("the store answers");
    created
        .into_iter()
        .map(|enqueued| enqueued.expect("the task is valid").task.spec.id)
        .collect()
}

/// Starts a worker with one slot and leases of a minute, and returns the control of its store.
async fn one_slot(client: &Client, handler: Handler) -> (Worker, Arc<StoreControl>) {
    let (client, control) = flaky(client);
    let worker = start(builder(&client).handler(handler).heartbeat(MINUTE)).await;
    (worker, control)
}

fn one_at_a_time() -> HandlerConfig {
    HandlerConfig::DEFAULT.concurrency(1)
}

/// Returns the demands for more tasks than the worker has slots (one).
fn prefetch_demands(control: &StoreControl) -> Vec<Demand> {
    let demands = control.demands();
    demands
        .into_iter()
        .filter(|demand| demand.max_claims > 1 && !demand.generators_only)
        .collect()
}

async fn all_complete(fixture: &Fixture, ids: &[TaskId]) {
    for id in ids {
        let task = fixture.done(id).await;
        assert_eq!(task.status(fixture.client.clock().now()), Status::Completed);
        assert_eq!((task.attempts(), task.errors()), (1, &[][..]), "{id}");
    }
}

async fn quick_handlers_prefetch_with_short_leases(fixture: Fixture) {
    let ids = create_many(&fixture, "quick").await;
    let (reporter, mut received) = reports();
    let (_worker, control) = one_slot(
        &fixture.client,
        name_reporting_handler(reporter).config(one_at_a_time()),
    )
    .await;
    all_complete(&fixture, &ids).await;
    assert_eq!(received.drain().len(), TASKS);
    let demands = prefetch_demands(&control);
    assert!(!demands.is_empty());
    assert!(
        demands.iter().all(|demand| demand.lease <= MAX_LEASE),
        "{demands:?}"
    );
}

async fn slow_handlers_do_not_prefetch(fixture: Fixture) {
    let ids = create_many(&fixture, "quick").await;
    let slow = Handler::new(|_: Work| tokio::time::sleep(Duration::from_millis(8)));
    let (_worker, control) = one_slot(&fixture.client, slow.config(one_at_a_time())).await;
    all_complete(&fixture, &ids[..60]).await;
    assert!(prefetch_demands(&control).is_empty());
}

async fn a_single_attempt_policy_disables_prefetching(fixture: Fixture) {
    let ids = create_many(&fixture, "quick").await;
    let (reporter, _received) = reports();
    let config = one_at_a_time().retry(Retry::never());
    let (_worker, control) = one_slot(&fixture.client, name_reporting_handler(reporter).config(config)).await;
    all_complete(&fixture, &ids).await;
    assert!(prefetch_demands(&control).is_empty());
}

/// Returns a handler that reports its task's name, and for the task with this name waits until the gate opens.
fn slow_handler(name: &'static str, reporter: Reporter<String>, gate: Gate) -> Handler {
    Handler::new(move |attempt: Attempt<Work>| {
        let (reporter, gate) = (reporter.clone(), gate.clone());
        async move {
            reporter.report(attempt.name.clone());
            if attempt.name == name {
                gate.opened().await;
            }
        }
    })
}

/// Reads reports up to this name.
async fn reported(received: &mut Reports<String>, name: &str) {
    while received.next().await != name {}
}

async fn tasks_prefetched_behind_a_slow_attempt_run_on_another_worker(fixture: Fixture) {
    let ids = create_many(&fixture, "slow").await;
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let (_worker, control) = one_slot(
        &fixture.client,
        slow_handler("slow", reporter, gate.clone()).config(one_at_a_time()),
    )
    .await;
    reported(&mut received, "slow").await;
    assert!(
        !prefetch_demands(&control).is_empty(),
        "the attempts before were quick"
    );
    let (reporter, mut second_received) = reports();
    let _second = start(
        builder(&fixture.second_client().await)
            .handler(name_reporting_handler(reporter).config(one_at_a_time())),
    )
    .await;
    let other_ids: Vec<_> = ids
        .iter()
        .filter(|id| id.as_str() != "work:slow")
        .cloned()
        .collect();
    all_complete(&fixture, &other_ids).await;
    assert!(!second_received.drain().contains(&"slow".to_owned()));
    gate.open();
    all_complete(&fixture, &ids).await;
}

async fn a_shutdown_releases_prefetched_tasks(fixture: Fixture) {
    let ids = create_many(&fixture, "slow").await;
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let (worker, control) = one_slot(
        &fixture.client,
        slow_handler("slow", reporter, gate.clone()).config(one_at_a_time()),
    )
    .await;
    reported(&mut received, "slow").await;
    assert!(
        !prefetch_demands(&control).is_empty(),
        "the attempts before were quick"
    );
    // The shutdown begins before the slow attempt ends.
    within(async { tokio::join!(worker.shutdown(), async { gate.open() }) }).await;
    for id in &ids {
        let task = fixture.task(id).await;
        assert_eq!(
            (task.is_done(), &task.state.lease),
            (task.attempts() == 1, &None),
            "{id}"
        );
    }
}
