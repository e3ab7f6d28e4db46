//! Cleanup handlers: they run after the handler, never at the same time, and have attempts of their own.

use std::time::Duration;

use oncetask::{Attempt, Change, Context, Handler, HandlerConfig, HandlerError, OnceTask as _, Status, Task};
use tests::harness::wait::until;
use tests::harness::{
    DropReporter, Fixture, Gate, Reporter, Reports, Work, builder, reports, retry_at_once, start,
    with_short_leases, work,
};
use tests::on_every_store;

use crate::flaky_store::flaky;

on_every_store!(
    a_waiting_task_runs_only_its_cleanup,
    the_cleanup_never_overlaps_the_handler,
    the_cleanup_follows_a_handler_that_failed_permanently,
    a_cancellation_in_backoff_runs_the_cleanup_at_once,
    the_cleanup_follows_a_crash_even_without_retries,
    the_cleanup_policy_is_not_asked_about_attempt_0,
    a_cleanup_is_retried_by_its_own_policy,
    a_cleanup_out_of_attempts_fails_the_task,
    a_crash_during_the_cleanup_counts_as_a_cleanup_attempt,
    renewals_do_not_signal_the_cleanup,
    a_late_wakeup_does_not_signal_the_cleanup,
    the_cleanup_follows_a_handler_that_cancels_its_task,
    a_panicking_cleanup_is_retried,
    a_shutdown_releases_the_cleanup,
    a_reset_runs_the_handler_again,
);

/// Returns a handler and a cleanup handler that report their start and their end, and wait for the gate in between.
fn gated_pair(reporter: &Reporter<&'static str>, gate: &Gate) -> Handler {
    let (run, cancel) = ((reporter.clone(), gate.clone()), (reporter.clone(), gate.clone()));
    let run = move |_: Work| {
        let (reporter, gate) = run.clone();
        async move {
            reporter.report("run begins");
            gate.opened().await;
            reporter.report("run ends");
            Ok::<_, HandlerError>("the work")
        }
    };
    let cancel = move |_: Work| {
        let (reporter, gate) = cancel.clone();
        async move {
            reporter.report("cleanup begins");
            gate.opened().await;
            reporter.report("cleanup ends");
            Ok::<_, HandlerError>("the cleanup")
        }
    };
    Handler::new(run).on_cancel(cancel)
}

fn status(fixture: &Fixture, task: &Task) -> Status {
    task.status(fixture.client.clock().now())
}

fn open_gate() -> Gate {
    let gate = Gate::closed();
    gate.open();
    gate
}

async fn a_waiting_task_runs_only_its_cleanup(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let at = fixture.client.clock().now() + chrono::TimeDelta::days(1);
    let id = fixture.create(work("a").at(at)).await;
    fixture.cancel(&id).await;
    let _worker = fixture.work(gated_pair(&reporter, &open_gate())).await;
    let task = fixture.done(&id).await;
    assert_eq!(status(&fixture, &task), Status::Cancelled);
    assert_eq!((task.attempts(), task.state.cleanup_attempts), (0, 1));
    assert_eq!(received.drain(), ["cleanup begins", "cleanup ends"]);
}

async fn the_cleanup_never_overlaps_the_handler(fixture: Fixture) {
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let handler = gated_pair(&reporter, &gate).config(HandlerConfig::DEFAULT.concurrency(4));
    let _worker = fixture.work(handler).await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "run begins");
    fixture.cancel(&id).await;
    // A second task shows that there are free slots in which an early cleanup could have begun.
    let other = fixture.create(work("b")).await;
    assert_eq!(received.next().await, "run begins");
    fixture.cancel(&other).await;
    gate.open();
    let task = fixture.done(&id).await;
    fixture.done(&other).await;
    assert_eq!(status(&fixture, &task), Status::Cancelled);
    assert_eq!(
        task.result::<String>().expect("text").as_deref(),
        Some("the work")
    );
    let events = received.drain();
    assert_eq!(events.iter().filter(|event| **event == "cleanup ends").count(), 2);
    assert!(events[0] == "run ends", "no cleanup began before: {events:?}");
}

async fn the_cleanup_follows_a_handler_that_failed_permanently(fixture: Fixture) {
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let (run, cancel) = ((reporter.clone(), gate.clone()), reporter.clone());
    let handler = Handler::new(move |_: Work| {
        let (reporter, gate) = run.clone();
        async move {
            reporter.report("run");
            gate.opened().await;
            Err::<(), _>(HandlerError::permanent("permanent"))
        }
    });
    let handler = handler.on_cancel(move |_: Work| {
        let reporter = cancel.clone();
        async move { reporter.report("cleanup") }
    });
    let _worker = fixture.work(handler).await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "run");
    fixture.cancel(&id).await;
    gate.open();
    assert_eq!(received.next().await, "cleanup");
    let task = fixture.done(&id).await;
    assert_eq!(status(&fixture, &task), Status::Cancelled);
    assert_eq!(task.errors()[0].error, "permanent");
}

async fn a_cancellation_in_backoff_runs_the_cleanup_at_once(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let (run, cancel) = (reporter.clone(), reporter);
    let handler = Handler::new(move |_: Work| {
        let reporter = run.clone();
        async move {
            reporter.report("run");
            Err::<(), _>("not yet")
        }
    });
    let handler = handler.on_cancel(move |_: Work| {
        let reporter = cancel.clone();
        async move { reporter.report("cleanup") }
    });
    let hourly = oncetask::Retry::fixed(Duration::from_hours(1));
    let _worker = fixture
        .work(handler.config(HandlerConfig::DEFAULT.retry(hourly)))
        .await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "run");
    fixture.until(&id, |task| task.state.lease.is_none()).await;
    fixture.cancel(&id).await;
    assert_eq!(received.next().await, "cleanup");
    assert_eq!(status(&fixture, &fixture.done(&id).await), Status::Cancelled);
}

async fn the_cleanup_follows_a_crash_even_without_retries(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let id = fixture.create(work("a")).await;
    fixture
        .claim_and_crash(Work::KIND, Duration::from_millis(200))
        .await;
    fixture.cancel(&id).await;
    let never = HandlerConfig::DEFAULT
        .retry(oncetask::Retry::never())
        .on_cancel_retry(oncetask::Retry::never());
    let _worker = fixture
        .work(gated_pair(&reporter, &open_gate()).config(never))
        .await;
    let task = fixture.done(&id).await;
    assert_eq!(status(&fixture, &task), Status::Cancelled);
    assert_eq!(received.drain(), ["cleanup begins", "cleanup ends"]);
    let [orphaned] = task.errors() else {
        panic!("one error: {:?}", task.errors())
    };
    assert!(
        orphaned.error.contains("lease expired") && !orphaned.cleanup,
        "{orphaned:?}"
    );
}

async fn the_cleanup_policy_is_not_asked_about_attempt_0(fixture: Fixture) {
    fn attempts_1_and_2(attempt: u32, _: &HandlerError) -> Option<Duration> {
        matches!(attempt, 1 | 2).then_some(Duration::ZERO)
    }
    let (reporter, mut received) = reports();
    let id = fixture.create(work("a")).await;
    fixture
        .claim_and_crash(Work::KIND, Duration::from_millis(200))
        .await;
    fixture.cancel(&id).await;
    let config = HandlerConfig::DEFAULT.on_cancel_retry(oncetask::Retry::custom(attempts_1_and_2));
    let _worker = fixture
        .work(gated_pair(&reporter, &open_gate()).config(config))
        .await;
    assert_eq!(status(&fixture, &fixture.done(&id).await), Status::Cancelled);
    assert_eq!(received.drain(), ["cleanup begins", "cleanup ends"]);
}

/// Returns a handler that always fails, with a cleanup handler that fails this number of times.
fn failing_cleanup(times: u32, reporter: Reporter<(&'static str, u32)>) -> Handler {
    let run = reporter.clone();
    let handler = Handler::new(move |attempt: Attempt<Work>| {
        let reporter = run.clone();
        async move {
            reporter.report(("run", attempt.attempt));
            Err::<(), _>("the run failed")
        }
    });
    handler.on_cancel(move |attempt: Attempt<Work>| {
        let reporter = reporter.clone();
        async move {
            reporter.report(("cleanup", attempt.attempt));
            if attempt.attempt <= times {
                Err(format!("the cleanup failed {}", attempt.attempt))
            } else {
                Ok(())
            }
        }
    })
}

async fn a_cleanup_is_retried_by_its_own_policy(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let id = fixture.create(work("a")).await;
    fixture.cancel(&id).await;
    let config = HandlerConfig::DEFAULT
        .retry(oncetask::Retry::never())
        .on_cancel_retry(retry_at_once(4));
    let _worker = fixture.work(failing_cleanup(3, reporter).config(config)).await;
    let task = fixture.done(&id).await;
    assert_eq!(status(&fixture, &task), Status::Cancelled);
    assert_eq!(received.drain(), [1, 2, 3, 4].map(|attempt| ("cleanup", attempt)));
    assert_eq!(task.errors().len(), 3);
}

async fn a_cleanup_out_of_attempts_fails_the_task(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let hourly = oncetask::Retry::fixed(Duration::from_hours(1));
    let config = HandlerConfig::DEFAULT
        .retry(hourly)
        .on_cancel_retry(retry_at_once(2));
    let _worker = fixture.work(failing_cleanup(9, reporter).config(config)).await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, ("run", 1));
    fixture.until(&id, |task| task.state.lease.is_none()).await;
    fixture.cancel(&id).await;
    let task = fixture.done(&id).await;
    assert_eq!(status(&fixture, &task), Status::Failed);
    let errors = task
        .errors()
        .iter()
        .map(|error| (error.cleanup, error.attempt, error.error.as_str()));
    let expected = [
        (false, 1, "the run failed"),
        (true, 1, "the cleanup failed 1"),
        (true, 2, "the cleanup failed 2"),
    ];
    assert_eq!(errors.collect::<Vec<_>>(), expected);
    assert_eq!(fixture.cancel(&id).await, Change::AlreadyDone);
}

async fn a_crash_during_the_cleanup_counts_as_a_cleanup_attempt(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let id = fixture.create(work("a")).await;
    fixture.cancel(&id).await;
    fixture
        .claim_and_crash(Work::KIND, Duration::from_millis(100))
        .await;
    let config = HandlerConfig::DEFAULT.on_cancel_retry(retry_at_once(2));
    let _worker = fixture.work(failing_cleanup(9, reporter).config(config)).await;
    let task = fixture.done(&id).await;
    assert_eq!(status(&fixture, &task), Status::Failed);
    assert_eq!(received.drain(), [("cleanup", 2)]);
    assert!(
        task.errors().iter().all(|error| error.cleanup),
        "{:?}",
        task.errors()
    );
    assert!(task.errors()[0].error.contains("lease expired"));
}

/// Checks that the renewals of a cleanup, which return that the task is cancelled, do not stop it.
async fn renewals_do_not_signal_the_cleanup(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    let (reporter, mut received) = reports();
    let _worker = start(with_short_leases(&client).handler(obedient_cleanup(&reporter, {
        let control = control.clone();
        move || control.renewals().len() >= 2
    })))
    .await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "run");
    fixture.cancel(&id).await;
    let task = fixture.done(&id).await;
    assert_eq!(received.drain(), ["cleanup"]);
    assert_eq!(
        (status(&fixture, &task), task.state.cleanup_attempts),
        (Status::Cancelled, 1)
    );
}

/// Checks a wake-up for a cancellation that arrives when the cleanup is already running.
async fn a_late_wakeup_does_not_signal_the_cleanup(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let id = fixture.create(work("a")).await;
    fixture.cancel(&id).await;
    let gate = Gate::closed();
    let handler = Handler::new(|_: Work| async {}).on_cancel({
        let gate = gate.clone();
        move |_: Work, cx: Context| {
            let (reporter, gate) = (reporter.clone(), gate.clone());
            async move {
                reporter.report("cleanup");
                tokio::select! {
                    () = cx.cancelled() => Err("signalled to stop"),
                    () = gate.opened() => Ok(()),
                }
            }
        }
    });
    let (client, control) = flaky(&fixture.client);
    control.use_own_notifier();
    // The heartbeat is so long that the only renewal is the one after the wake-up.
    let _worker = start(builder(&client).handler(handler)).await;
    assert_eq!(received.next().await, "cleanup");
    control.notifier.notify_stopped(std::slice::from_ref(&id));
    // After the wake-up the worker asks the store for the state of its claim.
    until(|| !control.renewals().is_empty()).await;
    gate.open();
    let task = fixture.done(&id).await;
    assert_eq!(task.errors(), []);
    assert_eq!(status(&fixture, &task), Status::Cancelled);
}

/// Returns a handler that ends when it is signalled, and a cleanup handler that succeeds when `enough` holds and
/// fails if it is signalled before.
fn obedient_cleanup(
    reporter: &Reporter<&'static str>,
    enough: impl Fn() -> bool + Clone + Send + Sync + 'static,
) -> Handler {
    let (run, cancel) = (reporter.clone(), reporter.clone());
    let handler = Handler::new(move |_: Work, cx: Context| {
        let reporter = run.clone();
        async move {
            reporter.report("run");
            cx.cancelled().await;
        }
    });
    handler.on_cancel(move |_: Work, cx: Context| {
        let (reporter, enough) = (cancel.clone(), enough.clone());
        async move {
            reporter.report("cleanup");
            tokio::select! {
                () = cx.cancelled() => Err("signalled to stop"),
                () = until(enough) => Ok(()),
            }
        }
    })
}

async fn the_cleanup_follows_a_handler_that_cancels_its_task(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let handler = Handler::new(|_: Work| async { Err::<(), _>(HandlerError::cancel("the user left")) });
    let handler = handler.on_cancel(move |_: Work| {
        let reporter = reporter.clone();
        async move { reporter.report("cleanup") }
    });
    let _worker = fixture.work(handler).await;
    let id = fixture.create(work("a")).await;
    assert_eq!(received.next().await, "cleanup");
    let task = fixture.done(&id).await;
    assert_eq!(status(&fixture, &task), Status::Cancelled);
    assert_eq!(task.errors()[0].error, "the user left");
}

async fn a_panicking_cleanup_is_retried(fixture: Fixture) {
    let handler = Handler::new(|_: Work| async {});
    let handler = handler.on_cancel(|attempt: Attempt<Work>| async move {
        assert!(attempt.attempt > 1, "the first cleanup panics");
    });
    let id = fixture.create(work("a")).await;
    fixture.cancel(&id).await;
    let _worker = fixture
        .work(handler.config(HandlerConfig::DEFAULT.on_cancel_retry(retry_at_once(2))))
        .await;
    let task = fixture.done(&id).await;
    assert_eq!(status(&fixture, &task), Status::Cancelled);
    let [error] = task.errors() else {
        panic!("one error: {:?}", task.errors())
    };
    assert!(
        error.cleanup && error.error.contains("the first cleanup panics"),
        "{error:?}"
    );
}

async fn a_shutdown_releases_the_cleanup(fixture: Fixture) {
    let (reporter, mut received): (_, Reports<&'static str>) = reports();
    let handler = |reporter: Reporter<&'static str>| {
        Handler::new(|_: Work| async {}).on_cancel(move |_: Work| {
            let reporter = reporter.clone();
            async move {
                let _dropped = DropReporter(reporter.clone());
                reporter.report("cleanup");
                std::future::pending::<()>().await;
            }
        })
    };
    let id = fixture.create(work("a")).await;
    fixture.cancel(&id).await;
    let worker = start(
        builder(&fixture.client)
            .grace(Duration::ZERO)
            .handler(handler(reporter)),
    )
    .await;
    assert_eq!(received.next().await, "cleanup");
    worker.shutdown().await;
    assert_eq!(received.next().await, "dropped");
    let task = fixture.task(&id).await;
    assert_eq!((task.state.cleanup_attempts, &task.state.lease), (0, &None));
    let (reporter, mut received) = reports();
    let _worker = fixture.work(gated_pair(&reporter, &open_gate())).await;
    fixture.done(&id).await;
    assert_eq!(received.drain(), ["cleanup begins", "cleanup ends"]);
}

async fn a_reset_runs_the_handler_again(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let id = fixture.create(work("a")).await;
    fixture.cancel(&id).await;
    let _worker = fixture.work(gated_pair(&reporter, &open_gate())).await;
    fixture.done(&id).await;
    assert_eq!(
        fixture.client.reset(&id).await.expect("the store answers"),
        Change::Applied
    );
    let task = fixture
        .until(&id, |task| task.attempts() > 0 && task.is_done())
        .await;
    assert_eq!(status(&fixture, &task), Status::Completed);
    assert_eq!((task.state.cleanup_attempts, task.errors().len()), (0, 0));
    assert_eq!(
        received.drain(),
        ["cleanup begins", "cleanup ends", "run begins", "run ends"]
    );
}
