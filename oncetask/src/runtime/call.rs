//! A call of a handler with its tasks: how it is driven, how it ends, and what is said of that.

use tokio::time::Instant;
use tracing::Instrument as _;

use super::Engine;
use super::execute::finishes;
use super::lease::{Held, Hold};
use super::panics::{self, Caught, Panic};
use super::verdict::{later, outcomes, verdict};
use crate::handler::{Context, Delivery, HandlerFn, HandlerOutcome, Taken};
use crate::registry::Runnable;
use crate::schedule::Retry;
use crate::store::Finish;
use crate::task::Task;
use crate::task::transition::{Phase, Verdict, deferral};

/// How a call ended.
enum End {
    Replied(HandlerOutcome),
    Panicked(Panic),
    /// Its lease came to its end.
    Stopped,
    /// The worker shuts down.
    GivenBack,
}

/// Calls the handler with the tasks of a claim, and says what becomes of each.
pub(super) async fn call(
    engine: &Engine,
    runnable: &Runnable,
    handler: &HandlerFn,
    hold: &Hold,
) -> Vec<Finish> {
    let held = &hold.0;
    let (span, began) = (span(held), Instant::now());
    // What nothing else is said of is given back.
    let mut ends = finishes(runnable, held.tasks(), &Verdict::Release);
    let context = Context {
        held: held.clone(),
        states: engine.states.clone(),
    };
    // A handler is copied for each call, which is the user's code too.
    let end = match panics::catch(|| handler(Delivery(context))) {
        Err(panic) => End::Panicked(panic),
        Ok(Taken { unreadable, call }) => {
            for (place, error) in unreadable {
                let task = &held.tasks()[place].task;
                ends[place].verdict = defer(task, &error, engine.client.clock().now());
            }
            let Some(call) = call else { return ends };
            run(engine, call, hold).instrument(span.clone()).await
        }
    };
    let _in_span = span.enter();
    log_end(&end, began);
    let reply = match end {
        End::GivenBack => None,
        End::Replied(reply) => Some(reply),
        End::Panicked(panic) => Some(failed(format!("the handler {panic}"))),
        End::Stopped => Some(failed(stopped(runnable, hold))),
    };
    let said = held.last_words();
    // What could not be read was not in the call.
    let called = |end: &&mut Finish| matches!(end.verdict, Verdict::Release);
    for end in ends.iter_mut().filter(called) {
        end.progress.clone_from(&said);
    }
    if let Some(reply) = reply {
        let tasks = ends.iter_mut().filter(called).count();
        let retry = retry(runnable, held.phase);
        let now = engine.client.clock().now();
        let called = ends.iter_mut().zip(held.tasks()).filter(|(end, _)| called(end));
        for ((end, claimed), outcome) in called.zip(outcomes(reply, tasks)) {
            let attempt = held.attempt_of(&claimed.task);
            end.verdict = log_verdict(&claimed.task, verdict(outcome, attempt, retry, now));
        }
    }
    ends
}

fn failed(error: String) -> HandlerOutcome {
    HandlerOutcome::All(Err(error.into()))
}

/// Drives the handler until it returns, panics, or has to be dropped.
async fn run(engine: &Engine, call: impl Future<Output = HandlerOutcome> + Unpin, hold: &Hold) -> End {
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
        engine.giving_back.wait().await;
        held.stop();
    };
    let end = tokio::select! {
        biased;
        // It looks at the same first; most handlers are done before anybody has to listen.
        end = guarded => end,
        () = held.dropped() => End::Stopped,
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

fn span(held: &Held) -> tracing::Span {
    let tasks = held.tasks();
    let first = &tasks[0].task;
    let key = first.resource_key().map(tracing::field::display);
    let (kind, cleanup) = (first.kind(), held.phase == Phase::Cleanup);
    let attempt = held.attempt_of(first);
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

fn log_end(end: &End, began: Instant) {
    match end {
        End::Replied(_) => tracing::debug!(took = ?began.elapsed(), "the handler returned"),
        End::GivenBack => {
            tracing::info!(took = ?began.elapsed(), "the worker shuts down: the claim is given back");
        }
        End::Stopped => {
            tracing::warn!(took = ?began.elapsed(), "the handler was stopped: its lease came to its end");
        }
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
        Phase::Cleanup => &runnable.config.on_cancel_retry,
    }
}
