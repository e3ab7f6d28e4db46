//! The store behind the network. It executes each request as it arrives and records the result.

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
use super::history::{EventKind, NodeId, Op, Recorder, Write};
use super::network::Connection;

/// The origin of a request, and its limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) node: NodeId,
    /// The true time at which it was sent.
    pub(crate) sent_at: Millis,
    pub(crate) number: u64,
    /// The number of tasks that are written before the request fails.
    pub(crate) max_written: usize,
}

/// The store. A request that arrives is executed at once.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) store: Arc<dyn Store>,
    recorder: Recorder,
    /// Each task as the last write left it.
    tasks: Mutex<BTreeMap<TaskId, Arc<Task>>>,
    connections: Mutex<Vec<Weak<Connection>>>,
    requests: AtomicU64,
    /// Notified after every write.
    pub(crate) written: Notify,
}

impl Server {
    pub(crate) fn new(store: Arc<dyn Store>, recorder: Recorder) -> Self {
        Self {
            store,
            recorder,
            tasks: Mutex::default(),
            connections: Mutex::default(),
            requests: AtomicU64::new(0),
            written: Notify::new(),
        }
    }

    /// Returns the number of the next request.
    pub(crate) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Returns the number of requests sent so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Adds a connection, which receives wake-ups.
    pub(crate) fn connect(&self, connection: &Arc<Connection>) {
        let mut connections = self.connections.lock().expect("no panic while locked");
        connections.retain(|connection| connection.strong_count() > 0);
        connections.push(Arc::downgrade(connection));
    }

    pub(crate) fn is_done(&self, id: &TaskId) -> bool {
        self.tasks().get(id).is_some_and(|task| task.is_done())
    }

    pub(crate) fn are_all_done(&self) -> bool {
        self.tasks().values().all(|task| task.is_done())
    }

    /// Returns every stored task.
    pub(crate) fn all_tasks(&self) -> Vec<Task> {
        let query = Query::new(Filter::new(), usize::MAX, DateTime::<Utc>::MAX_UTC);
        immediate(self.store.query(query)).tasks
    }

    /// Creates the tasks one by one, because a store guarantees nothing across the tasks of a call.
    pub(crate) fn create(&self, request: Request, tasks: &[Task]) -> Vec<Insert> {
        let create = |task: &Task| {
            let insert = only(immediate(self.store.create(vec![task.clone()])));
            let new = insert == Insert::New;
            self.record(request, task.id(), task.spec.created_at, Op::Create { new });
            self.notify(std::slice::from_ref(&task.spec.kind), &[]);
            insert
        };
        tasks.iter().take(request.max_written).map(create).collect()
    }

    pub(crate) fn claim(&self, request: Request, claim: &ClaimRequest) -> ClaimResponse {
        let response = immediate(self.store.claim(claim.clone()));
        for claimed in response.claims.iter().flat_map(|claim| &claim.tasks) {
            let lease = claimed.task.state.lease.as_ref();
            let lease = lease.expect("a claimed task has a lease");
            let (token, until) = (lease.token, lease.until);
            self.record(request, claimed.task.id(), claim.now, Op::Claim { token, until });
        }
        response
    }

    pub(crate) fn renew(&self, request: Request, renewals: &[Renewal], now: DateTime<Utc>) -> Vec<Renewed> {
        let renew = |renewal: &Renewal| {
            let answer = only(immediate(self.store.renew(vec![renewal.clone()], now)));
            let (token, until) = (renewal.token, renewal.until);
            self.record(request, &renewal.id, now, Op::Renew { token, until, answer });
            answer
        };
        renewals.iter().take(request.max_written).map(renew).collect()
    }

    pub(crate) fn finish(
        &self,
        request: Request,
        finishes: &[Finish],
        now: DateTime<Utc>,
    ) -> Vec<Result<(), LeaseLost>> {
        let finish = |finish: &Finish| {
            let answer = only(immediate(self.store.finish(vec![finish.clone()], now)));
            let accepted = answer.is_ok();
            let op = Op::Finish {
                token: finish.token,
                verdict: finish.verdict.clone(),
                accepted,
            };
            self.record(request, &finish.id, now, op);
            for spawned in finish.spawn.iter().filter(|_| accepted) {
                self.record(request, spawned.id(), now, Op::Spawn);
            }
            let kind = self.tasks().get(&finish.id).map(|task| task.spec.kind.clone());
            self.notify(kind.as_slice(), &[]);
            answer
        };
        finishes.iter().take(request.max_written).map(finish).collect()
    }

    pub(crate) fn change(
        &self,
        request: Request,
        ids: &[TaskId],
        action: &Action,
        now: DateTime<Utc>,
    ) -> Vec<Change> {
        let change = |id: &TaskId| {
            let kind = self.tasks().get(id).map(|task| task.spec.kind.clone());
            let change = only(immediate(self.store.change(
                vec![id.clone()],
                action.clone(),
                now,
            )));
            let (op, stops) = match action {
                Action::Cancel => (Op::Cancel(change), true),
                Action::Reset => (Op::Reset(change), false),
                Action::Delete => (Op::Delete(change), true),
                Action::ReplaceRule { .. } => unreachable!("a simulation replaces no rule"),
                other => unreachable!("unknown action: {other:?}"),
            };
            self.record(request, id, now, op);
            let stopped = (stops && change == Change::Applied).then(|| id.clone());
            self.notify(kind.as_slice(), stopped.as_slice());
            change
        };
        ids.iter().take(request.max_written).map(change).collect()
    }

    fn record(&self, request: Request, id: &TaskId, now: DateTime<Utc>, op: Op) {
        let after = immediate(self.store.get(vec![id.clone()]))
            .pop()
            .flatten()
            .map(Arc::new);
        let before = match &after {
            Some(after) => self.tasks().insert(id.clone(), after.clone()),
            None => self.tasks().remove(id),
        };
        let write = Write {
            id: id.clone(),
            op,
            before,
            after,
            sent_at: request.sent_at,
            now,
            request: request.number,
        };
        let kind = EventKind::Write(Box::new(write));
        self.recorder.record(request.node, kind);
        self.written.notify_waiters();
    }

    fn notify(&self, kinds: &[Arc<str>], stopped: &[TaskId]) {
        let connections = self.connections.lock().expect("no panic while locked");
        for connection in connections.iter().filter_map(Weak::upgrade) {
            connection.notify(kinds, stopped);
        }
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<TaskId, Arc<Task>>> {
        self.tasks.lock().expect("no panic while locked")
    }
}

/// Returns the answer for the single item of a call.
fn only<T>(answers: Vec<T>) -> T {
    let first = answers.into_iter().next();
    first.expect("a store answers for each item")
}

/// Returns the answer of the memory store, which never waits and never fails.
pub(crate) fn immediate<T>(answer: BoxFuture<'_, T>) -> T {
    match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.expect("the memory store does not fail"),
        Poll::Pending => unreachable!("the memory store does not wait"),
    }
}
