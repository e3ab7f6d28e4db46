//! One call of a handler with the tasks of a claim, and the verdicts that follow from its end.

use tokio::time::Instant;
use tracing::Instrument as _;

use super::engine::Engine;
use super::verdict::{Outcomes, finish, verdict};
use crate::handler::{Context, Delivery, Handler, HandlerCall, HandlerFn, HandlerOutcome};
use crate::lease::{ActiveClaim, ClaimGuard};
use crate::panics::{self, CatchPanic, Panic};
use crate::store::Finish;
use crate::task::transition::{Phase, Verdict};
use crate::task::{Task, decide};

/// The end of a call.
enum End {
    Returned(HandlerOutcome),
    Panicked(Panic),
    /// The handler was dropped, because its lease was about to expire or was lost.
    Stopped,
    /// The handler was dropped, because the worker shuts down.
    Released,
}

/// Calls a handler with the tasks of a claim. Returns the verdict on each task.
pub(super) async fn call(
    engine: &Engine,
    handler: &Handler,
    function: &HandlerFn,
    guard: &ClaimGuard,
) -> Vec<Finish> {
    let claim = guard.claim();
    let (span, began) = (span(claim), Instant::now());
    let context = Context {
        claim: claim.clone(),
        states: engine.states.clone(),
    };
    // The call clones the handler, and its `Clone` is user code.
    let (deferred, end) = match panics::catch(|| function(Delivery(context))) {
        Err(panic) => (Vec::new(), Some(End::Panicked(panic))),
        Ok(HandlerCall { unreadable, future }) => {
            let deferred = defer(engine, claim, unreadable);
            let end = match future {
                Some(future) => Some(run(engine, future, guard).instrument(span.clone()).await),
                None => None,
            };
            (deferred, end)
        }
    };
    let _in_span = span.enter();
    let called = claim.tasks().len() - deferred.len();
    let outcomes = end.and_then(|end| {
        log_end(&end, began);
        let outcome = outcome(end, handler, claim)?;
        Some(Outcomes::new(outcome, called))
    });
    finishes(engine, handler, claim, deferred, outcomes)
}

/// Drives the handler until it returns, panics or has to be dropped.
async fn run(
    engine: &Engine,
    future: impl Future<Output = HandlerOutcome> + Unpin,
    guard: &ClaimGuard,
) -> End {
    let claim = guard.claim();
    let mut future = CatchPanic(future);
    let guarded = std::future::poll_fn(|cx| {
        // After a freeze of the process the handler may be polled before the keeper has noticed that the
        // lease expired.
        if claim.may_run() {
            std::pin::Pin::new(&mut future)
                .poll(cx)
                .map(|output| output.map_or_else(End::Panicked, End::Returned))
        } else {
            std::task::Poll::Ready(End::Stopped)
        }
    });
    let released = async {
        engine.releasing.wait().await;
        claim.stop();
    };
    let end = tokio::select! {
        biased;
        // Polled first: most handlers return at once, and `guarded` checks for a drop itself.
        end = guarded => end,
        () = claim.dropped() => End::Stopped,
        () = released => End::Released,
    };
    if let Err(panic) = panics::catch(|| drop(future)) {
        tracing::error!(panic = %panic, "the handler's future panicked when it was dropped");
    }
    end
}

/// Returns the outcome that the end of a call stands for, or `None` if its tasks are released.
fn outcome(end: End, handler: &Handler, claim: &ActiveClaim) -> Option<HandlerOutcome> {
    let error = match end {
        End::Released => return None,
        End::Returned(outcome) => return Some(outcome),
        End::Panicked(panic) => format!("the handler {panic}"),
        End::Stopped if claim.reached_limit() => format!(
            "the attempt took longer than its lease of {:?} and was stopped",
            handler.config.lease
        ),
        End::Stopped => {
            "the attempt was stopped, because its lease could not be extended before it expired".to_owned()
        }
    };
    Some(HandlerOutcome::All(Err(error.into())))
}

/// Returns the end of the claim of each task: deferred tasks were not in the call, and without outcomes the
/// other tasks are released.
fn finishes(
    engine: &Engine,
    handler: &Handler,
    claim: &ActiveClaim,
    deferred: Vec<(usize, Verdict)>,
    mut outcomes: Option<Outcomes>,
) -> Vec<Finish> {
    let (retry, now) = (handler.retry(claim.phase()), engine.client.clock().now());
    let progress = claim.take_progress();
    let mut deferred = deferred.into_iter().peekable();
    let tasks = claim.tasks().iter().enumerate();
    tasks
        .map(|(index, claimed)| {
            let task = &claimed.task;
            if let Some((_, verdict)) = deferred.next_if(|(deferred, _)| *deferred == index) {
                return finish(handler, task, verdict);
            }
            let verdict = match outcomes.as_mut().and_then(Iterator::next) {
                Some(outcome) => verdict(outcome, claim.attempt_of(task), retry, now),
                None => Verdict::Release,
            };
            log_verdict(task, &verdict);
            finish(handler, task, verdict).progress(progress.clone())
        })
        .collect()
}

/// Returns the verdicts on the tasks whose payloads this program cannot decode, with their indexes.
fn defer(engine: &Engine, claim: &ActiveClaim, unreadable: Vec<(usize, String)>) -> Vec<(usize, Verdict)> {
    let defer = |(index, error): (usize, String)| {
        let task = &claim.tasks()[index].task;
        let verdict = decide::deferred(task, engine.client.clock().now());
        if let Verdict::Defer { at } = &verdict {
            tracing::warn!(
                id = %task.id(), kind = task.kind(), %error, %at,
                "this program cannot read the payload; task deferred for a newer program"
            );
        }
        (index, verdict)
    };
    unreadable.into_iter().map(defer).collect()
}

/// Returns the span of an attempt.
fn span(claim: &ActiveClaim) -> tracing::Span {
    let tasks = claim.tasks();
    let first = &tasks[0].task;
    let key = first.resource_key().map(tracing::field::display);
    let (kind, cleanup) = (first.kind(), claim.phase() == Phase::Cleanup);
    let attempt = claim.attempt_of(first);
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
        End::Returned(_) => tracing::debug!(took = ?began.elapsed(), "the handler returned"),
        End::Released => {
            tracing::info!(took = ?began.elapsed(), "the worker shuts down: the claim is released");
        }
        End::Stopped => {
            tracing::warn!(took = ?began.elapsed(), "the handler was stopped before its lease expired");
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

fn log_verdict(task: &Task, verdict: &Verdict) {
    let (id, kind) = (task.id(), task.kind());
    match verdict {
        Verdict::Retry { at, error } => {
            tracing::warn!(%id, kind, %error, %at, "attempt failed; the task will be retried");
        }
        Verdict::Fail { error } => tracing::error!(%id, kind, %error, "task failed"),
        Verdict::Cancel { reason } => tracing::info!(%id, kind, %reason, "task cancelled by its handler"),
        _ => {}
    }
}
