//! The progress that a handler reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use oncetask::{Context, Handler, HandlerConfig, HandlerError, OnceTask as _};
use tests::harness::wait::{until, within};
use tests::harness::{Fixture, Gate, Work, builder, reports, start, work};
use tests::on_every_store;

use crate::flaky_store::flaky;
use crate::logs;

on_every_store!(
    progress_is_stored_while_the_handler_runs,
    progress_is_stored_at_most_once_a_second,
    nan_is_stored_as_zero,
    progress_is_stored_after_an_outage,
    progress_under_a_lost_lease_is_not_stored,
    the_last_progress_is_stored_with_the_completion,
    the_last_progress_of_a_failed_attempt_is_stored,
    a_long_message_is_truncated,
);

/// Returns a handler that reports this progress and then waits for the gate.
fn progress_handler(fraction: f64, message: &'static str, gate: &Gate) -> Handler {
    let gate = gate.clone();
    Handler::new(move |_: Work, cx: Context| {
        let gate = gate.clone();
        async move {
            cx.progress(fraction, message);
            gate.opened().await;
        }
    })
}

async fn progress_is_stored_while_the_handler_runs(fixture: Fixture) {
    let gate = Gate::closed();
    let _worker = fixture.work(progress_handler(0.4, "two of five", &gate)).await;
    let id = fixture.create(work("a")).await;
    let task = fixture.until(&id, |task| task.state.progress.is_some()).await;
    let progress = task.state.progress.expect("the task has progress");
    assert_eq!(
        (progress.fraction, progress.message.as_str()),
        (0.4, "two of five")
    );
    assert!(task.state.lease.is_some(), "the attempt still runs");
    gate.open();
    let done = fixture.done(&id).await;
    assert_eq!(done.state.progress.map(|progress| progress.fraction), Some(0.4));
}

async fn progress_is_stored_at_most_once_a_second(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    let seen = control.clone();
    let handler = Handler::new(move |_: Work, cx: Context| {
        let control = seen.clone();
        async move {
            let began = Instant::now();
            let mut step = 0;
            while control.progress_renewals() < 3 {
                step += 1;
                cx.progress(0.5, format!("step {step}"));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok::<_, HandlerError>(began.elapsed().as_millis())
        }
    });
    let _worker = start(builder(&client).handler(handler)).await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    let took: u64 = task.result().expect("a number").expect("a result");
    let stored = control.progress_renewals();
    assert!(stored as u64 <= 1 + took.div_ceil(1000), "{stored} in {took} ms");
}

async fn nan_is_stored_as_zero(fixture: Fixture) {
    let gate = Gate::closed();
    let _worker = fixture
        .work(progress_handler(f64::NAN, "none of none", &gate))
        .await;
    let id = fixture.create(work("a")).await;
    let task = fixture.until(&id, |task| task.state.progress.is_some()).await;
    assert_eq!(
        task.state.progress.map(|progress| progress.fraction.to_bits()),
        Some(0)
    );
    gate.open();
    assert!(fixture.done(&id).await.errors().is_empty());
}

async fn progress_is_stored_after_an_outage(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    control.fail_renewals(2);
    let gate = Gate::closed();
    // With the long heartbeat of this worker the only renewals are those with progress.
    let _worker = start(builder(&client).handler(progress_handler(0.5, "half", &gate))).await;
    let id = fixture.create(work("a")).await;
    fixture.until(&id, |task| task.state.progress.is_some()).await;
    gate.open();
    fixture.done(&id).await;
}

async fn progress_under_a_lost_lease_is_not_stored(fixture: Fixture) {
    let (client, control) = flaky(&fixture.client);
    let (reporter, mut received) = reports();
    let (end, progress) = (Gate::closed(), Gate::closed());
    let (may_end, may_progress) = (end.clone(), progress.clone());
    let calls = Arc::new(AtomicU32::new(0));
    let handler = Handler::new(move |_: Work, cx: Context| {
        let (reporter, progress, end) = (reporter.clone(), may_progress.clone(), may_end.clone());
        let first = calls.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            reporter.report("began");
            if first {
                progress.opened().await;
                cx.progress(0.9, "of a deleted task");
            }
            end.opened().await;
        }
    });
    // The worker is not notified of the deletion and considers its claim valid.
    control.use_own_notifier();
    let id = fixture.create(work("a")).await;
    let worker = start(builder(&client).handler(handler.config(HandlerConfig::DEFAULT.concurrency(2)))).await;
    assert_eq!(received.next().await, "began");
    fixture.client.delete(&id).await.expect("the store answers");
    fixture.create(work("a")).await;
    control.notifier.notify_due(Work::KIND);
    assert_eq!(received.next().await, "began");
    progress.open();
    until(|| control.progress_renewals() > 0).await;
    assert_eq!(fixture.task(&id).await.state.progress, None);
    end.open();
    assert_eq!(fixture.done(&id).await.state.progress, None);
    within(worker.shutdown()).await;
}

async fn the_last_progress_is_stored_with_the_completion(fixture: Fixture) {
    logs::record();
    let handler = Handler::new(|_: Work, cx: Context| async move {
        // The second report comes before one second has passed, so no separate write stores it.
        cx.progress(0.5, "half");
        cx.progress(1.0, "done");
    });
    let _worker = fixture.work(handler).await;
    for number in 0..50 {
        let id = fixture.create(work(format!("final progress {number}"))).await;
        let task = fixture.done(&id).await;
        assert!(task.errors().is_empty());
        let progress = task.state.progress.expect("the task has progress");
        assert_eq!((progress.fraction, progress.message.as_str()), (1.0, "done"));
    }
    assert_eq!(logs::lines(&["final progress", "lease lost"]), [""; 0]);
    assert_eq!(logs::lines(&["WARN", "final progress"]), [""; 0]);
}

async fn the_last_progress_of_a_failed_attempt_is_stored(fixture: Fixture) {
    let handler = Handler::new(|_: Work, cx: Context| async move {
        cx.progress(0.1, "begun");
        cx.progress(0.9, "almost");
        Err::<(), _>(HandlerError::permanent("not quite"))
    });
    let _worker = fixture.work(handler).await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    assert_eq!(task.errors().len(), 1);
    assert_eq!(task.state.progress.map(|progress| progress.fraction), Some(0.9));
}

async fn a_long_message_is_truncated(fixture: Fixture) {
    let handler = Handler::new(|_: Work, cx: Context| async move { cx.progress(1.0, "ü".repeat(1 << 20)) });
    let _worker = fixture.work(handler).await;
    let task = fixture.done(&fixture.create(work("a")).await).await;
    let message = task.state.progress.expect("the task has progress").message;
    assert!(
        message.starts_with("üü") && message.len() <= 4096,
        "{} bytes",
        message.len()
    );
}
