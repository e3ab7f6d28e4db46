//! The instants and the order in which tasks run, and the tasks that run at the same time.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::{Attempt, Handler, HandlerConfig, Retry};
use tests::harness::wait::until;
use tests::harness::{
    Fixture, Gate, Other, Reporter, Work, attempts, builder, name_reporting_handler, other, reports, start,
    work,
};
use tests::on_every_store;

on_every_store!(
    a_retry_does_not_run_before_its_backoff_ends,
    a_scheduled_task_does_not_run_early,
    a_task_scheduled_in_the_past_runs_at_once,
    tasks_run_in_queue_order,
    a_busy_key_delays_no_other_task,
    a_busy_kind_delays_no_other_kind,
    concurrency_limits_the_running_attempts,
    tasks_of_one_key_never_overlap,
    each_kind_runs_at_its_own_due_time,
    tasks_stored_under_an_alias_are_claimed,
    many_tasks_due_at_one_instant_run_once_each,
);

/// Returns a handler that reports its task's name and the time.
fn time_reporting_handler(reporter: Reporter<(String, DateTime<Utc>)>) -> Handler {
    Handler::new(move |task: Work| {
        let reporter = reporter.clone();
        async move { reporter.report((task.name, oncetask::Clock::system().now())) }
    })
}

async fn a_retry_does_not_run_before_its_backoff_ends(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let handler = Handler::new(move |attempt: Attempt<Work>, client: oncetask::Client| {
        let reporter = reporter.clone();
        async move {
            let now = oncetask::Clock::system().now();
            let stored = client
                .get(&attempt.id)
                .await
                .expect("the store answers")
                .expect("the task is stored");
            reporter.report((now, stored.state.wait_until));
            if attempt.attempt < 4 { Err("again") } else { Ok(()) }
        }
    });
    let backoff = Retry::exponential()
        .base(Duration::from_millis(20))
        .max_attempts(4);
    let _worker = fixture
        .work(handler.config(HandlerConfig::DEFAULT.retry(backoff)))
        .await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    let runs = received.drain();
    assert_eq!(runs.len(), 4);
    for (error, (ran, wait_until)) in task.errors().iter().zip(&runs[1..]) {
        let backoff = TimeDelta::milliseconds(20 << (error.attempt - 1));
        // The verdict is made shortly before it is stored.
        assert!(*wait_until <= error.at + backoff, "{wait_until} {error:?}");
        assert!(ran >= wait_until, "{ran} before {wait_until}");
    }
}

async fn a_scheduled_task_does_not_run_early(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let _worker = fixture.work(time_reporting_handler(reporter)).await;
    let now = fixture.client.clock().now();
    let at = |millis| now + TimeDelta::milliseconds(millis);
    // They are created in one call, so that the first exists before the second is due.
    let tasks = [
        work("second").at(at(300)),
        work("first").at(at(150)),
        work("never").at(now + TimeDelta::days(365)),
    ];
    fixture
        .client
        .create_many(tasks)
        .await
        .expect("the store answers");
    let (first, second) = (received.next().await, received.next().await);
    assert_eq!((first.0.as_str(), second.0.as_str()), ("first", "second"));
    assert!(first.1 >= at(150) && second.1 >= at(300));
}

async fn a_task_scheduled_in_the_past_runs_at_once(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let _worker = fixture.work(name_reporting_handler(reporter)).await;
    fixture.create(work("a").at(DateTime::UNIX_EPOCH)).await;
    assert_eq!(received.next().await, "a");
}

async fn tasks_run_in_queue_order(fixture: Fixture) {
    let now = fixture.client.clock().now();
    let ago = |minutes| now - TimeDelta::minutes(minutes);
    for task in [
        work("4").at(ago(1)),
        work("2").at(ago(5)),
        work("3").at(ago(5)).key("k"),
        work("1").at(ago(9)).key("another"),
        work("5"),
    ] {
        fixture.create(task).await;
    }
    let (reporter, mut received) = reports();
    let _worker = fixture.work(name_reporting_handler(reporter)).await;
    for expected in ["1", "2", "3", "4", "5"] {
        assert_eq!(received.next().await, expected);
    }
}

/// Returns a handler that reports its task's name, and for tasks of the key `busy` waits for the gate.
fn busy_key_handler(reporter: Reporter<String>, gate: Gate) -> Handler {
    Handler::new(move |task: Work| {
        let (reporter, gate) = (reporter.clone(), gate.clone());
        async move {
            reporter.report(task.name);
            if task.key.as_deref() == Some("busy") {
                gate.opened().await;
            }
        }
    })
}

async fn a_busy_key_delays_no_other_task(fixture: Fixture) {
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    for number in 0..20 {
        fixture.create(work(format!("busy {number}")).key("busy")).await;
    }
    fixture.create(work("other").key("idle")).await;
    fixture.create(work("none")).await;
    let handler = busy_key_handler(reporter, gate.clone()).config(HandlerConfig::DEFAULT.concurrency(2));
    let _worker = fixture.work(handler).await;
    let mut first = [
        received.next().await,
        received.next().await,
        received.next().await,
    ];
    first.sort();
    assert_eq!(first, ["busy 0", "none", "other"]);
    assert_eq!(received.drain(), [""; 0]);
    gate.open();
    for number in 1..20 {
        assert_eq!(received.next().await, format!("busy {number}"));
    }
}

async fn a_busy_kind_delays_no_other_kind(fixture: Fixture) {
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let (slow_reporter, quick_reporter) = (reporter.clone(), reporter);
    let (blocked, opened) = (gate.clone(), gate);
    let slow = Handler::new(move |task: Work| {
        let (reporter, gate) = (slow_reporter.clone(), blocked.clone());
        async move {
            reporter.report(task.name);
            gate.opened().await;
        }
    });
    let quick = Handler::new(move |task: Other| {
        let reporter = quick_reporter.clone();
        async move { reporter.report(task.name) }
    });
    let _worker = start(builder(&fixture.client).handler(slow).handler(quick)).await;
    for number in 0..5 {
        fixture.create(work(format!("slow {number}"))).await;
    }
    assert_eq!(received.next().await, "slow 0");
    for number in 0..5 {
        fixture.create(other(format!("quick {number}"))).await;
        assert_eq!(received.next().await, format!("quick {number}"));
    }
    opened.open();
}

async fn concurrency_limits_the_running_attempts(fixture: Fixture) {
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let opened = gate.clone();
    let running = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let handler = Handler::new(move |_: Work| {
        let (reporter, gate, running) = (reporter.clone(), opened.clone(), running.clone());
        async move {
            reporter.report(running.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1);
            gate.opened().await;
            tokio::task::yield_now().await;
            running.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        }
    });
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(fixture.create(work(format!("{number}"))).await);
    }
    let _worker = fixture
        .work(handler.config(HandlerConfig::DEFAULT.concurrency(3)))
        .await;
    let mut first = [
        received.next().await,
        received.next().await,
        received.next().await,
    ];
    first.sort_unstable();
    assert_eq!(first, [1, 2, 3]);
    gate.open();
    for id in &ids {
        fixture.done(id).await;
    }
    let most = received.drain().into_iter().max();
    assert!(most <= Some(3), "{most:?} at once");
}

async fn tasks_of_one_key_never_overlap(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let running = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let handler = || {
        let (reporter, running) = (reporter.clone(), running.clone());
        let handler = Handler::new(move |_: Work| {
            let (reporter, running) = (reporter.clone(), running.clone());
            async move {
                reporter.report(running.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                running.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
            }
        });
        handler.config(attempts(1).concurrency(8))
    };
    let _one = fixture.work(handler()).await;
    let _two = start(builder(&fixture.second_client().await).handler(handler())).await;
    let mut ids = Vec::new();
    for number in 0..60 {
        ids.push(fixture.create(work(format!("{number}")).key("k")).await);
    }
    for id in &ids {
        assert_eq!(fixture.done(id).await.attempts(), 1);
    }
    assert_eq!(received.drain(), [0; 60], "two tasks of the key overlap");
}

async fn each_kind_runs_at_its_own_due_time(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let other_reporter = reporter.clone();
    let quick = Handler::new(move |task: Other| {
        let reporter = other_reporter.clone();
        async move { reporter.report(task.name) }
    });
    let _worker = start(
        builder(&fixture.client)
            .handler(name_reporting_handler(reporter))
            .handler(quick),
    )
    .await;
    let now = fixture.client.clock().now();
    fixture.create(work("later").at(now + TimeDelta::hours(1))).await;
    fixture
        .create(work("soon").at(now + TimeDelta::milliseconds(120)))
        .await;
    fixture.create(other("now")).await;
    let mut names = [received.next().await, received.next().await];
    names.sort();
    assert_eq!(names, ["now", "soon"], "in either order on a busy machine");
}

#[derive(Debug, serde::Serialize, serde::Deserialize, oncetask::OnceTask)]
#[task(kind = "Renamed", alias = "Other")]
#[id("other:{name}")]
struct Renamed {
    name: String,
}

async fn tasks_stored_under_an_alias_are_claimed(fixture: Fixture) {
    let (reporter, mut received) = reports();
    fixture.create(other("stored under the old name")).await;
    let handler = Handler::new(move |task: Renamed| {
        let reporter = reporter.clone();
        async move { reporter.report(task.name) }
    });
    let _worker = start(builder(&fixture.client).handler(handler)).await;
    assert_eq!(received.next().await, "stored under the old name");
    fixture.create(Renamed { name: "new".into() }).await;
    assert_eq!(received.next().await, "new");
    fixture.create(other("by an older process")).await;
    assert_eq!(received.next().await, "by an older process");
}

async fn many_tasks_due_at_one_instant_run_once_each(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let _worker = fixture
        .work(name_reporting_handler(reporter).config(HandlerConfig::DEFAULT.concurrency(7)))
        .await;
    let at = fixture.client.clock().now() + TimeDelta::milliseconds(100);
    let tasks = (0..300).map(|number| work(format!("{number}")).at(at));
    fixture
        .client
        .create_many(tasks)
        .await
        .expect("the store answers");
    let mut names = std::collections::HashSet::new();
    for _ in 0..300 {
        assert!(names.insert(received.next().await), "a task ran twice");
    }
    until(|| fixture.client.clock().now() >= at).await;
}
