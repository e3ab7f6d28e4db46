//! A call of a handler with its tasks: how it is driven, how it ends, and what is said of that.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument as _;

use super::Engine;
use super::lease::Hold;
use super::panics::{self, Caught, Panic};
use super::verdict::{later, outcomes, verdict};
use crate::handler::{Call, Context, Delivered, Delivery, HandlerFn, Reply, Taken};
use crate::registry::Runnable;
use crate::schedule::Retry;
use crate::task::Task;
use crate::task::transition::{Phase, Verdict, deferral};

/// How a call ended.
enum End {
    Replied(Reply),
    Panicked(Panic),
    /// Its lease came to its end.
    Stopped,
    /// The worker shuts down.
    GivenBack,
}

/// Calls the handler with tasks, and says what becomes of each.
pub(super) async fn call(
    engine: &Engine,
    runnable: &Runnable,
    tasks: &[Task],
    phase: Phase,
    handler: &HandlerFn,
    hold: &Hold,
) -> Vec<Verdict> {
    let retry = retry(runnable, phase);
    let (span, began) = (span(tasks, phase), Instant::now());
    let now = engine.client.clock().now();
    let mut verdicts: Vec<Option<Verdict>> = tasks.iter().map(|_| None).collect();
    // A handler is copied for each call, which is the user's code too.
    let end = match panics::catch(|| handler(delivery(engine, tasks, phase, hold))) {
        Err(panic) => End::Panicked(panic),
        Ok(Taken { unreadable, call }) => {
            for (place, error) in unreadable {
                verdicts[place] = Some(defer(&tasks[place], &error, now));
            }
            let Some(call) = call else {
                return verdicts.into_iter().flatten().collect();
            };
            run(engine, call, hold).instrument(span.clone()).await
        }
    };
    let _in_span = span.enter();
    log_end(&end, began.elapsed());
    let waiting: Vec<_> = (0..tasks.len())
        .filter(|place| verdicts[*place].is_none())
        .collect();
    let now = engine.client.clock().now();
    let replies = match end {
        End::GivenBack => {
            for place in &waiting {
                verdicts[*place] = Some(Verdict::Release);
            }
            Vec::new()
        }
        End::Replied(reply) => outcomes(reply, waiting.len()),
        End::Panicked(panic) => {
            let error = format!("the handler {panic}");
            outcomes(Reply::All(Err(error.into())), waiting.len())
        }
        End::Stopped => outcomes(Reply::All(Err(stopped(runnable, hold).into())), waiting.len()),
    };
    for (place, outcome) in waiting.into_iter().zip(replies) {
        let attempt = attempts(&tasks[place], phase);
        verdicts[place] = Some(log_verdict(&tasks[place], verdict(outcome, attempt, retry, now)));
    }
    verdicts.into_iter().flatten().collect()
}

fn delivery(engine: &Engine, tasks: &[Task], phase: Phase, hold: &Hold) -> Delivery {
    let delivered = |task: &Task| Delivered {
        id: task.id().clone(),
        attempt: attempts(task, phase),
        payload: task.spec.payload.clone(),
    };
    let context = Context(Arc::new(Call {
        ids: tasks.iter().map(|task| task.id().clone()).collect(),
        resource_key: tasks.first().and_then(|task| task.resource_key().cloned()),
        attempt: tasks.iter().map(|task| attempts(task, phase)).max().unwrap_or(1),
        client: engine.client.clone(),
        states: engine.states.clone(),
        stop: hold.0.stop.clone(),
        held: Some(hold.0.clone()),
    }));
    Delivery {
        tasks: tasks.iter().map(delivered).collect(),
        context,
    }
}

/// Drives the handler until it returns, panics, or has to be dropped.
async fn run(engine: &Engine, call: impl Future<Output = Reply> + Unpin, hold: &Hold) -> End {
    let held = &hold.0;
    let mut call = Caught(call);
    let guarded = std::future::poll_fn(|cx| {
        // A process that was frozen comes back here before its timers do.
        if held.may_run() {
            std::pin::Pin::new(&mut call)
                .poll(cx)
                .map(|reply| reply.map_or_else(End::Panicked, End::Replied))
        } else {
            std::task::Poll::Ready(End::Stopped)
        }
    });
    let given_back = async {
        engine.giving_back.cancelled().await;
        held.stop.cancel();
    };
    let end = tokio::select! {
        biased;
        // It looks at the same first; most handlers are done before anybody has to listen.
        end = guarded => end,
        () = held.dropped.cancelled() => End::Stopped,
        () = given_back => End::GivenBack,
    };
    if let Err(panic) = panics::catch(|| drop(call)) {
        tracing::error!(panic = %panic, "what the handler left behind panicked when it was dropped");
    }
    end
}

fn stopped(runnable: &Runnable, hold: &Hold) -> String {
    if hold.0.reached_limit() {
        format!(
            "the attempt took longer than its lease of {:?} and was stopped",
            runnable.config.lease
        )
    } else {
        "the attempt was stopped, for its lease could not be extended before it ended".to_owned()
    }
}

fn defer(task: &Task, error: &str, now: chrono::DateTime<chrono::Utc>) -> Verdict {
    let delay = deferral(task.state.deferrals);
    tracing::warn!(
        id = %task.id(), kind = task.kind(), %error, ?delay,
        "this program cannot read the payload; the task is put off for one that can"
    );
    Verdict::Defer {
        at: later(now, delay),
    }
}

fn span(tasks: &[Task], phase: Phase) -> tracing::Span {
    let first = &tasks[0];
    let key = first.resource_key().map(tracing::field::display);
    let (kind, attempt, cleanup) = (first.kind(), attempts(first, phase), phase == Phase::Cleanup);
    if tasks.len() == 1 {
        tracing::info_span!("attempt", kind, id = %first.id(), resource_key = key, attempt, cleanup)
    } else {
        tracing::info_span!(
            "attempt",
            kind,
            tasks = tasks.len(),
            resource_key = key,
            attempt,
            cleanup
        )
    }
}

fn log_end(end: &End, took: Duration) {
    match end {
        End::Replied(_) => tracing::debug!(?took, "the handler returned"),
        End::GivenBack => tracing::info!(?took, "the worker shuts down: the claim is given back"),
        End::Stopped => tracing::warn!(?took, "the handler was stopped: its lease came to its end"),
        End::Panicked(Panic {
            message,
            location,
            backtrace,
        }) => {
            let backtrace = backtrace.as_ref().map(tracing::field::display);
            tracing::error!(message = "the handler panicked", panic = %message, %location, backtrace);
        }
    }
}

fn log_verdict(task: &Task, verdict: Verdict) -> Verdict {
    let (id, kind) = (task.id(), task.kind());
    match &verdict {
        Verdict::Retry { at, error } => {
            tracing::warn!(%id, kind, %error, %at, "the attempt failed; another follows");
        }
        Verdict::Fail { error } => tracing::error!(%id, kind, %error, "failed"),
        Verdict::Cancel { reason } => tracing::info!(%id, kind, %reason, "cancelled by its handler"),
        _ => {}
    }
    verdict
}

pub(super) fn retry(runnable: &Runnable, phase: Phase) -> &Retry {
    match phase {
        Phase::Run => &runnable.config.retry,
        Phase::Cleanup => &runnable.config.cancel_retry,
    }
}

pub(super) fn attempts(task: &Task, phase: Phase) -> u32 {
    match phase {
        Phase::Run => task.state.attempts,
        Phase::Cleanup => task.state.cleanup_attempts,
    }
}
