//! From a claim to the verdicts on its tasks.

use std::time::Duration;

use tokio::time::Instant;

use super::call::{call, retry};
use super::lease::{Hold, Terms, token};
use super::{Engine, panics, recur};
use crate::handler::HandlerError;
use crate::registry::Runnable;
use crate::store::{ClaimedTask, Finish};
use crate::task::Task;
use crate::task::transition::{Phase, Verdict};

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
        mut tasks,
        sent,
        lease,
    } = assignment;
    let runnable = &engine.runnables[runnable];
    let phase = tasks.first().map_or(Phase::Run, |claimed| phase(&claimed.task));
    let handler = match phase {
        Phase::Run => Some(&runnable.run),
        Phase::Cleanup => runnable.cleanup.as_ref(),
    };
    if handler.is_some() {
        let exhausted = take_exhausted(runnable, &mut tasks);
        if !exhausted.is_empty() {
            engine.completer.submit(exhausted, None).await;
        }
    }
    if tasks.is_empty() {
        return;
    }
    let terms = Terms {
        phase,
        lease: runnable.config.lease,
        heartbeat: engine.heartbeat,
        first: lease,
    };
    let hold = engine.keeper.hold(tasks, sent, terms);
    let finishes = match (hold.0.tasks(), handler) {
        ([only], _) if only.task.spec.recurrence.is_some() => {
            vec![recur::advance(&only.task, engine.client.clock().now())]
        }
        // There is nothing to clean up with.
        (tasks, None) => finishes(runnable, tasks, &Verdict::Complete(None)),
        (tasks, _) if !may_begin(engine, &hold) => finishes(runnable, tasks, &Verdict::Release),
        (_, Some(handler)) => call(engine, runnable, handler, &hold).await,
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

/// The same verdict on every task of a claim.
pub(super) fn finishes(runnable: &Runnable, tasks: &[ClaimedTask], verdict: &Verdict) -> Vec<Finish> {
    let finish = |claimed: &ClaimedTask| finish(runnable, &claimed.task, verdict.clone());
    tasks.iter().map(finish).collect()
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

/// Takes out those tasks whose attempts are used up.
fn take_exhausted(runnable: &Runnable, tasks: &mut Vec<ClaimedTask>) -> Vec<Finish> {
    let mut ended = Vec::new();
    tasks.retain(|claimed| match exhausted(runnable, claimed) {
        None => true,
        Some(verdict) => {
            ended.push(finish(runnable, &claimed.task, verdict));
            false
        }
    });
    ended
}

/// Whether a call may begin. A claim that was on its way when the worker was told to stop, or that took almost
/// its lease to be answered, is given back: nothing was attempted.
fn may_begin(engine: &Engine, hold: &Hold) -> bool {
    if engine.draining.is_set() {
        return false;
    }
    let in_time = hold.0.may_run();
    if !in_time {
        tracing::warn!("a claim took so long that its lease is almost over: it is given back");
    }
    in_time
}

/// The verdict on a task whose attempt that fell orphaned was the last that the policy allows. What fell orphaned
/// before the first cleanup is the handler, whose attempts are not counted against it. A policy that panics
/// allows none.
fn exhausted(runnable: &Runnable, ClaimedTask { task, orphaned }: &ClaimedTask) -> Option<Verdict> {
    if !orphaned {
        return None;
    }
    let phase = phase(task);
    let before = task.state.attempts_in(phase).saturating_sub(1);
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

#[cfg(test)]
pub(super) mod tests {
    use chrono::{TimeDelta, Utc};

    use super::*;
    use crate::task::{Json, Lease, LeaseToken, TaskId, TaskSpec, transition};

    /// A task as it is claimed.
    pub(in crate::runtime) fn claimed(id: &str, orphaned: bool) -> ClaimedTask {
        let now = Utc::now();
        let spec = TaskSpec {
            id: TaskId::new(id),
            kind: "A".into(),
            payload: Json::of(&()).unwrap(),
            resource_key: None,
            created_at: now,
            recurrence: None,
            occurrence: None,
        };
        let mut task = Task::new(spec, now);
        let lease = Lease {
            token: LeaseToken::random(),
            until: now + TimeDelta::minutes(1),
            owner: "worker".into(),
            phase: Phase::Run,
        };
        transition::claim(&mut task, lease, now);
        ClaimedTask { task, orphaned }
    }
}
