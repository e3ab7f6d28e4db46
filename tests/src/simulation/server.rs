//! Where requests arrive: the store itself, and who writes down what it did.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker};

use chrono::{DateTime, Utc};
use oncetask::store::{
    Action, BoxFuture, ClaimRequest, ClaimResponse, Filter, Finish, Insert, Query, Renewal, Renewed, Store,
};
use oncetask::task::transition::{Change, LeaseLost};
use oncetask::{Task, TaskId};
use tokio::sync::Notify;

use super::clock::Millis;
use super::history::{Op, Scribe, What, Who, Write};
use super::network::Line;

/// A request, and who sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) who: Who,
    pub(crate) called: Millis,
    pub(crate) request: u64,
    /// How many of the tasks of the call are done before it fails.
    pub(crate) part: usize,
}

/// The store, which does what arrives at once.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) store: Arc<dyn Store>,
    scribe: Scribe,
    /// The tasks as the last write left them.
    tasks: Mutex<BTreeMap<TaskId, Arc<Task>>>,
    lines: Mutex<Vec<Weak<Line>>>,
    requests: AtomicU64,
    /// Tells that something was written.
    pub(crate) written: Notify,
}

impl Server {
    pub(crate) fn new(store: Arc<dyn Store>, scribe: Scribe) -> Self {
        Self {
            store,
            scribe,
            tasks: Mutex::default(),
            lines: Mutex::default(),
            requests: AtomicU64::new(0),
            written: Notify::new(),
        }
    }

    /// The number of the next request.
    pub(crate) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Adds somebody who is told when it is worth looking.
    pub(crate) fn connect(&self, line: &Arc<Line>) {
        let mut lines = self.lines.lock().expect("nothing panics while it holds the lock");
        lines.retain(|line| line.strong_count() > 0);
        lines.push(Arc::downgrade(line));
    }

    pub(crate) fn is_done(&self, id: &TaskId) -> bool {
        self.tasks().get(id).is_some_and(|task| task.is_done())
    }

    pub(crate) fn are_all_done(&self) -> bool {
        self.tasks().values().all(|task| task.is_done())
    }

    /// Everything that is stored.
    pub(crate) fn everything(&self) -> Vec<Task> {
        let query = Query::new(Filter::new(), usize::MAX, DateTime::<Utc>::MAX_UTC);
        at_once(self.store.query(query)).tasks
    }

    /// One after the other, as a store may that promises nothing across the tasks of a call.
    pub(crate) fn create(&self, caller: Caller, tasks: &[Task]) -> Vec<Insert> {
        let create = |task: &Task| {
            let insert = only(at_once(self.store.create(vec![task.clone()])));
            let new = insert == Insert::New;
            self.note(caller, task.id(), task.spec.created_at, Op::Create { new });
            self.ring(std::slice::from_ref(&task.spec.kind), &[]);
            insert
        };
        tasks.iter().take(caller.part).map(create).collect()
    }

    pub(crate) fn claim(&self, caller: Caller, request: &ClaimRequest) -> ClaimResponse {
        let claimed = at_once(self.store.claim(request.clone()));
        for claimed in claimed.claims.iter().flat_map(|claim| &claim.tasks) {
            let lease = claimed
                .task
                .state
                .lease
                .as_ref()
                .expect("what is claimed has a lease");
            let (token, until) = (lease.token, lease.until);
            self.note(caller, claimed.task.id(), request.now, Op::Claim { token, until });
        }
        claimed
    }

    pub(crate) fn renew(&self, caller: Caller, renewals: &[Renewal], now: DateTime<Utc>) -> Vec<Renewed> {
        let renew = |renewal: &Renewal| {
            let answer = only(at_once(self.store.renew(vec![renewal.clone()], now)));
            let (token, until) = (renewal.token, renewal.until);
            self.note(caller, &renewal.id, now, Op::Renew { token, until, answer });
            answer
        };
        renewals.iter().take(caller.part).map(renew).collect()
    }

    pub(crate) fn finish(
        &self,
        caller: Caller,
        finishes: &[Finish],
        now: DateTime<Utc>,
    ) -> Vec<Result<(), LeaseLost>> {
        let finish = |finish: &Finish| {
            let answer = only(at_once(self.store.finish(vec![finish.clone()], now)));
            let (token, verdict, accepted) = (finish.token, finish.verdict.clone(), answer.is_ok());
            self.note(
                caller,
                &finish.id,
                now,
                Op::Finish {
                    token,
                    verdict,
                    accepted,
                },
            );
            for spawned in finish.spawn.iter().filter(|_| accepted) {
                self.note(caller, spawned.id(), now, Op::Spawn);
            }
            let kind = self.tasks().get(&finish.id).map(|task| task.spec.kind.clone());
            self.ring(kind.as_slice(), &[]);
            answer
        };
        finishes.iter().take(caller.part).map(finish).collect()
    }

    pub(crate) fn change(
        &self,
        caller: Caller,
        ids: &[TaskId],
        action: &Action,
        now: DateTime<Utc>,
    ) -> Vec<Change> {
        let change = |id: &TaskId| {
            let kind = self.tasks().get(id).map(|task| task.spec.kind.clone());
            let change = only(at_once(self.store.change(vec![id.clone()], action.clone(), now)));
            let (op, stops) = match action {
                Action::Cancel => (Op::Cancel(change), true),
                Action::Reset => (Op::Reset(change), false),
                Action::Delete => (Op::Delete(change), true),
                Action::ReplaceRule { .. } => unreachable!("a simulation replaces no rule"),
                other => unreachable!("unknown action: {other:?}"),
            };
            self.note(caller, id, now, op);
            let stopped = (stops && change == Change::Applied).then(|| id.clone());
            self.ring(kind.as_slice(), stopped.as_slice());
            change
        };
        ids.iter().take(caller.part).map(change).collect()
    }

    fn note(&self, caller: Caller, id: &TaskId, now: DateTime<Utc>, op: Op) {
        let after = at_once(self.store.get(vec![id.clone()]))
            .pop()
            .flatten()
            .map(Arc::new);
        let before = match &after {
            Some(after) => self.tasks().insert(id.clone(), after.clone()),
            None => self.tasks().remove(id),
        };
        let Caller {
            who, called, request, ..
        } = caller;
        let write = Write {
            id: id.clone(),
            op,
            before,
            after,
            called,
            now,
            request,
        };
        self.scribe.note(who, What::Write(Box::new(write)));
        self.written.notify_waiters();
    }

    fn ring(&self, kinds: &[Arc<str>], stopped: &[TaskId]) {
        let lines = self.lines.lock().expect("nothing panics while it holds the lock");
        for line in lines.iter().filter_map(Weak::upgrade) {
            line.ring(kinds, stopped);
        }
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<TaskId, Arc<Task>>> {
        self.tasks.lock().expect("nothing panics while it holds the lock")
    }
}

/// The answer for the one that was asked about.
fn only<T>(answers: Vec<T>) -> T {
    answers
        .into_iter()
        .next()
        .expect("a store answers for each that it is asked for")
}

/// The answer of a store that never waits and never fails.
pub(crate) fn at_once<T>(answer: BoxFuture<'_, T>) -> T {
    match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.expect("memory does not fail"),
        Poll::Pending => unreachable!("memory does not wait"),
    }
}
