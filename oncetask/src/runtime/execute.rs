//! One call of a handler: from a claim to the verdicts on its tasks.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument as _;

use super::lease::Hold;
use super::panics::{self, Caught, Panic};
use super::verdict::{later, outcomes, verdict};
use super::{Engine, recur};
use crate::handler::{Call, Context, Delivered, Delivery, HandlerError, HandlerFn, Reply, Taken};
use crate::registry::Runnable;
use crate::schedule::Retry;
use crate::store::{ClaimedTask, Finish};
use crate::task::transition::{Phase, Verdict, deferral};
use crate::task::{LeaseToken, Task};

/// A claim, and the handler that it is for.
#[derive(Debug)]
pub(super) struct Assignment {
    /// The place of the handler.
    pub(super) runnable: usize,
    pub(super) tasks: Vec<ClaimedTask>,
    /// When the claim was sent, on this worker's monotonic clock.
    pub(super) sent: Instant,
    /// How long the lease is that was asked for.
    pub(super) lease: Duration,
}

/// How a call ended.
enum End {
    Replied(Reply),
    Panicked(Panic),
    /// Its lease came to its end.
    Stopped,
    /// The worker shuts down.
    GivenBack,
}

/// Runs a claim to its end, and hands in the verdicts.
pub(super) async fn execute(engine: &Engine, assignment: Assignment) {
    let Assignment {
        runnable,
        tasks,
        sent,
        lease,
    } = assignment;
    let runnable = &engine.runnables[runnable];
    let phase = tasks.first().map_or(Phase::Run, |claimed| phase(&claimed.task));
    let tokens = tasks
        .iter()
        .map(|claimed| (claimed.task.id().clone(), token(&claimed.task)));
    let hold = engine.keeper.hold(
        tokens,
        sent,
        (runnable.config.lease, engine.heartbeat, lease),
        phase,
    );
    let finishes = match &tasks[..] {
        [only] if only.task.spec.recurrence.is_some() => {
            vec![recur::advance(&only.task, engine.client.clock().now())]
        }
        _ => attempt(engine, runnable, tasks, phase, &hold).await,
    };
    hold.0.end();
    if hold.0.is_lost() {
        let ids: Vec<_> = finishes.iter().map(|finish| finish.id.as_str()).collect();
        tracing::warn!(
            ?ids,
            "the lease was lost while the handler ran: its outcome is dropped"
        );
        return;
    }
    engine.completer.submit(finishes, Some(hold)).await;
}

/// Gives back claims that did not begin: nothing was attempted.
pub(super) async fn give_back(engine: &Engine, assignments: &[Assignment]) {
    engine.completer.submit(releases(engine, assignments), None).await;
}

/// The same, and waits until it is stored. Where that fails, their leases end soon.
pub(super) async fn give_back_now(engine: &Engine, assignments: &[Assignment]) {
    let now = engine.client.clock().now();
    let given_back = engine
        .client
        .store()
        .finish(releases(engine, assignments), now)
        .await;
    if let Err(error) = given_back {
        tracing::warn!(%error, "claims could not be given back; they are free when their leases end");
    }
}

fn releases(engine: &Engine, assignments: &[Assignment]) -> Vec<Finish> {
    let release = |assignment: &Assignment| {
        let runnable = &engine.runnables[assignment.runnable];
        let release = |claimed: &ClaimedTask| {
            let verdict = exhausted(runnable, claimed).unwrap_or(Verdict::Release);
            finish(runnable, &claimed.task, verdict)
        };
        assignment.tasks.iter().map(release).collect::<Vec<_>>()
    };
    assignments.iter().flat_map(release).collect()
}

fn finish(runnable: &Runnable, task: &Task, verdict: Verdict) -> Finish {
    Finish {
        id: task.id().clone(),
        token: token(task),
        verdict,
        cleanup: runnable.cleanup.is_some(),
        spawn: Vec::new(),
        progress: None,
    }
}

async fn attempt(
    engine: &Engine,
    runnable: &Runnable,
    tasks: Vec<ClaimedTask>,
    phase: Phase,
    hold: &Hold,
) -> Vec<Finish> {
    let handler = match phase {
        Phase::Run => Some(&runnable.run),
        Phase::Cleanup => runnable.cleanup.as_ref(),
    };
    let Some(handler) = handler else {
        return tasks
            .iter()
            .map(|claimed| finish(runnable, &claimed.task, Verdict::Complete(None)))
            .collect();
    };
    let mut finishes = Vec::with_capacity(tasks.len());
    let mut begin = Vec::with_capacity(tasks.len());
    for claimed in tasks {
        match exhausted(runnable, &claimed) {
            Some(verdict) => finishes.push(finish(runnable, &claimed.task, verdict)),
            None => begin.push(claimed.task),
        }
    }
    if !may_begin(engine, hold) {
        finishes.extend(begin.iter().map(|task| finish(runnable, task, Verdict::Release)));
    } else if !begin.is_empty() {
        let verdicts = call(engine, runnable, &begin, phase, handler, hold).await;
        let said = hold.0.last_words();
        let ends = begin.iter().zip(verdicts);
        finishes.extend(ends.map(|(task, verdict)| {
            // What could not be read was not in the call.
            let was_called = !matches!(verdict, Verdict::Defer { .. });
            Finish {
                progress: said.clone().filter(|_| was_called),
                ..finish(runnable, task, verdict)
            }
        }));
    }
    finishes
}

/// Whether a call may begin. A claim that was on its way when the worker was told to stop, or that took almost
/// its lease to be answered, is given back: nothing was attempted.
fn may_begin(engine: &Engine, hold: &Hold) -> bool {
    if engine.draining.is_cancelled() {
        return false;
    }
    let in_time = hold.0.may_run();
    if !in_time {
        tracing::warn!("a claim took so long that its lease is almost over: it is given back");
    }
    in_time
}

/// The verdict on a task whose attempt that fell silent was the last that the policy allows. What fell silent
/// before the first cleanup is the handler, whose attempts are not counted against it. A policy that panics
/// allows none.
fn exhausted(runnable: &Runnable, ClaimedTask { task, silent }: &ClaimedTask) -> Option<Verdict> {
    if !silent {
        return None;
    }
    let phase = phase(task);
    let before = attempts(task, phase).saturating_sub(1);
    let error = HandlerError::from(task.errors().last().map_or("", |error| &error.error));
    let retry = retry(runnable, phase);
    let last = panics::catch(|| retry.delay(before, &error)).map_or(true, |delay| delay.is_none());
    (before > 0 && last).then(|| {
        tracing::error!(id = %task.id(), kind = task.kind(), "failed: its attempts ended without a word");
        Verdict::Exhausted
    })
}

fn retry(runnable: &Runnable, phase: Phase) -> &Retry {
    match phase {
        Phase::Run => &runnable.config.retry,
        Phase::Cleanup => &runnable.config.cancel_retry,
    }
}

/// Calls the handler with tasks, and says what becomes of each.
async fn call(
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

fn phase(task: &Task) -> Phase {
    task.state.lease.as_ref().map_or(Phase::Run, |lease| lease.phase)
}

fn token(task: &Task) -> LeaseToken {
    task.state
        .lease
        .as_ref()
        .map(|lease| lease.token)
        .expect("a claimed task has a lease")
}

fn attempts(task: &Task, phase: Phase) -> u32 {
    match phase {
        Phase::Run => task.state.attempts,
        Phase::Cleanup => task.state.cleanup_attempts,
    }
}
