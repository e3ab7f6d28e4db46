//! From a claim to the verdicts on its tasks.

use std::time::Duration;

use tokio::time::Instant;

use super::call::{attempts, call, retry};
use super::lease::Hold;
use super::{Engine, panics, recur};
use crate::handler::HandlerError;
use crate::registry::Runnable;
use crate::store::{ClaimedTask, Finish};
use crate::task::transition::{Phase, Verdict};
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
