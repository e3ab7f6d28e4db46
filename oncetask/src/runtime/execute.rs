//! The execution of one claim: from the assignment to the verdicts on its tasks.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::call::call;
use super::engine::Engine;
use super::verdict::{advance, exhausted, finish, finish_all};
use crate::handler::Handler;
use crate::lease::{ClaimGuard, LeaseTerms};
use crate::store::{ClaimedTask, Finish};
use crate::task::decide::{self, NextStep};
use crate::task::transition::{Phase, Verdict};

/// A claim together with its handler.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) handler: Arc<Handler>,
    pub(super) tasks: Vec<ClaimedTask>,
    /// The instant, on this worker's monotonic clock, at which the claim request was sent.
    pub(super) sent: Instant,
    /// The length of the lease that the request asked for.
    pub(super) lease: Duration,
}

/// Runs a claim to its end and submits the verdicts.
pub(super) async fn execute(engine: &Engine, mut assignment: Assignment) {
    let Some(phase) = assignment
        .tasks
        .first()
        .map(|claimed| decide::phase(&claimed.task))
    else {
        return;
    };
    let exhausted = take_exhausted(&mut assignment, phase);
    if !exhausted.is_empty() {
        engine.completer.submit(exhausted, None).await;
    }
    if assignment.tasks.is_empty() {
        return;
    }
    let Assignment {
        handler,
        tasks,
        sent,
        lease,
    } = assignment;
    let terms = LeaseTerms {
        phase,
        limit: handler.config.lease,
        heartbeat: engine.heartbeat,
        claimed: lease,
    };
    let guard = engine.keeper.keep(tasks, sent, terms);
    let finishes = run(engine, &handler, &guard).await;
    let claim = guard.claim();
    claim.end();
    if claim.is_lost() {
        let ids: Vec<_> = finishes.iter().map(|finish| finish.id.as_str()).collect();
        tracing::warn!(
            ?ids,
            "the lease was lost while the handler ran: its outcome is dropped"
        );
        return;
    }
    engine.completer.submit(finishes, Some(guard)).await;
}

/// Makes the next step of a claim and returns the verdicts on its tasks.
async fn run(engine: &Engine, handler: &Handler, guard: &ClaimGuard) -> Vec<Finish> {
    let claim = guard.claim();
    let (tasks, function) = (claim.tasks(), handler.function(claim.phase()));
    // All tasks of a claim have the same phase, and a generator is claimed alone.
    let first = &tasks[0].task;
    match (decide::next_step(first, function.is_some()), function) {
        (NextStep::Advance, _) => vec![advance(first, engine.client.clock().now())],
        (NextStep::End(verdict), _) => finish_all(handler, tasks, &verdict),
        (NextStep::Call, Some(function)) if may_begin(engine, guard) => {
            call(engine, handler, function, guard).await
        }
        (NextStep::Call, _) => finish_all(handler, tasks, &Verdict::Release),
    }
}

/// Removes the tasks whose orphaned attempts used up the retry policy, and returns the ends of their claims.
/// Without a handler for the phase there is no attempt that could be the last.
fn take_exhausted(assignment: &mut Assignment, phase: Phase) -> Vec<Finish> {
    let Assignment { handler, tasks, .. } = assignment;
    let mut ended = Vec::new();
    if handler.function(phase).is_some() {
        tasks.retain(|claimed| match exhausted(handler, claimed) {
            None => true,
            Some(verdict) => {
                ended.push(finish(handler, &claimed.task, verdict));
                false
            }
        });
    }
    ended
}

/// Returns whether a call may begin. Without a call the claim is released, and no attempt is counted.
fn may_begin(engine: &Engine, guard: &ClaimGuard) -> bool {
    if engine.draining.is_set() {
        return false;
    }
    let may_run = guard.claim().may_run();
    if !may_run {
        tracing::warn!("claim released, because the answer arrived when its lease had almost expired");
    }
    may_run
}

/// Releases claims that did not begin, without counting an attempt.
pub(super) async fn release(engine: &Engine, assignments: &[Assignment]) {
    engine.completer.submit(releases(assignments), None).await;
}

/// Releases claims that did not begin, and waits until that is stored. If it cannot be stored, the claims end
/// with their leases.
pub(super) async fn release_now(engine: &Engine, assignments: &[Assignment]) {
    let now = engine.client.clock().now();
    let released = engine.client.store().finish(releases(assignments), now).await;
    if let Err(error) = released {
        tracing::warn!(%error, "claims could not be released; their tasks can be claimed when the leases expire");
    }
}

fn releases(assignments: &[Assignment]) -> Vec<Finish> {
    let release = |handler: &Handler, claimed: &ClaimedTask| {
        let verdict = exhausted(handler, claimed).unwrap_or(Verdict::Release);
        finish(handler, &claimed.task, verdict)
    };
    assignments
        .iter()
        .flat_map(|assignment| {
            let tasks = assignment.tasks.iter();
            tasks.map(move |claimed| release(&assignment.handler, claimed))
        })
        .collect()
}
