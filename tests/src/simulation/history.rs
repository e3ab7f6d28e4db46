//! The history of a simulation: every event in order, and its text form.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use chrono::{DateTime, Utc};
use oncetask::store::Renewed;
use oncetask::task::LeaseToken;
use oncetask::task::transition::{Change, Phase, Verdict};
use oncetask::{Task, TaskId};

use super::clock::{Millis, TrueTime, epoch};

/// A process of the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NodeId {
    /// The client that creates, cancels, resets and deletes tasks.
    Client,
    /// A worker, by its index and the number of its restarts.
    Worker(usize, u32),
}

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// The true time.
    pub(crate) at: Millis,
    pub(crate) node: NodeId,
    pub(crate) kind: EventKind,
}

#[derive(Clone, Debug)]
pub(crate) enum EventKind {
    /// The store executed an operation on a task.
    Write(Box<Write>),
    /// The client received the acknowledgement that a task is stored.
    Acknowledged { id: TaskId },
    /// A handler was called.
    CallStarted {
        call: u64,
        ids: Vec<TaskId>,
        phase: Phase,
    },
    /// A handler had an effect that is visible from outside.
    Effect { call: u64 },
    /// A handler returned.
    CallReturned { call: u64, how: &'static str },
    /// A handler was dropped before it returned.
    CallDropped { call: u64 },
    /// A fault was injected.
    Fault(String),
    /// No fault is injected after this event.
    FaultsStopped,
    /// A task that is stored at the end of the simulation.
    Final { task: Box<Task> },
}

/// An operation of the store on one task.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) id: TaskId,
    pub(crate) op: Op,
    pub(crate) before: Option<Arc<Task>>,
    pub(crate) after: Option<Arc<Task>>,
    /// The true time at which the request was sent.
    pub(crate) sent_at: Millis,
    /// The time on the sender's clock when it sent the request.
    pub(crate) now: DateTime<Utc>,
    /// The number of the request. All operations of one request share it.
    pub(crate) request: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Create {
        new: bool,
    },
    /// The advance of a generator created an occurrence.
    Spawn,
    Claim {
        token: LeaseToken,
        until: DateTime<Utc>,
    },
    Renew {
        token: LeaseToken,
        until: Option<DateTime<Utc>>,
        answer: Renewed,
    },
    Finish {
        token: LeaseToken,
        verdict: Verdict,
        accepted: bool,
    },
    Cancel(Change),
    Reset(Change),
    Delete(Change),
}

/// The events of a simulation.
#[derive(Debug, Default)]
pub struct History {
    pub(crate) events: Vec<Event>,
}

/// Records the history.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    time: TrueTime,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Recorder {
    pub(crate) fn new(time: TrueTime) -> Self {
        Self {
            time,
            events: Arc::default(),
        }
    }

    pub(crate) fn record(&self, node: NodeId, kind: EventKind) {
        let at = self.time.now();
        self.events().push(Event { at, node, kind });
    }

    pub(crate) fn record_fault(&self, node: NodeId, description: impl Into<String>) {
        self.record(node, EventKind::Fault(description.into()));
    }

    /// Removes the events recorded so far, and returns them.
    pub(crate) fn take(&self) -> History {
        History {
            events: std::mem::take(&mut self.events()),
        }
    }

    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().expect("no panic while locked")
    }
}

impl Event {
    /// Returns the tasks of the event; none for an event of a node.
    pub(crate) fn ids(&self) -> Vec<&TaskId> {
        match &self.kind {
            EventKind::Write(write) => vec![&write.id],
            EventKind::Acknowledged { id } => vec![id],
            EventKind::CallStarted { ids, .. } => ids.iter().collect(),
            EventKind::Final { task } => vec![task.id()],
            EventKind::Effect { .. }
            | EventKind::CallReturned { .. }
            | EventKind::CallDropped { .. }
            | EventKind::Fault(_)
            | EventKind::FaultsStopped => Vec::new(),
        }
    }

    /// Returns the handler call of the event.
    pub(crate) fn call(&self) -> Option<u64> {
        match self.kind {
            EventKind::CallStarted { call, .. }
            | EventKind::Effect { call }
            | EventKind::CallReturned { call, .. }
            | EventKind::CallDropped { call } => Some(call),
            _ => None,
        }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("client"),
            Self::Worker(index, restarts) => write!(f, "w{index}.{restarts}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3} {:<6} ", seconds(self.at), self.node.to_string())?;
        match &self.kind {
            EventKind::Write(write) => write.fmt(f),
            EventKind::Acknowledged { id } => write!(f, "{id}: acknowledged"),
            EventKind::CallStarted { call, ids, phase } => {
                write!(f, "call {call} starts: {phase:?}")?;
                ids.iter().try_for_each(|id| write!(f, " {id}"))
            }
            EventKind::Effect { call } => write!(f, "call {call} has an effect"),
            EventKind::CallReturned { call, how } => write!(f, "call {call} returns {how}"),
            EventKind::CallDropped { call } => write!(f, "call {call} is dropped"),
            EventKind::Fault(description) => write!(f, "! {description}"),
            EventKind::FaultsStopped => f.write_str("! the faults stop"),
            EventKind::Final { task } => write!(f, "{}: finally {}", task.id(), State(Some(task))),
        }
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ", self.id, self.op)?;
        let clock = (self.now - epoch()).as_seconds_f64();
        write!(
            f,
            "(sent at {:.3}, {clock:.3} on the sender's clock) ",
            seconds(self.sent_at)
        )?;
        write!(f, "→ {}", State(self.after.as_deref()))
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { new: true } => f.write_str("created"),
            Self::Create { new: false } => f.write_str("already exists"),
            Self::Spawn => f.write_str("spawned"),
            Self::Claim { token, .. } => write!(f, "claimed with token {token:?}"),
            Self::Renew { token, until, answer } => {
                let action = if until.is_some() { "extend" } else { "check" };
                write!(f, "{action} {token:?}: {answer:?}")
            }
            Self::Finish {
                token,
                verdict,
                accepted,
            } => {
                let answer = if *accepted { "accepted" } else { "refused" };
                write!(f, "{} with token {token:?}: {answer}", verdict_name(verdict))
            }
            Self::Cancel(change) => write!(f, "cancel: {change:?}"),
            Self::Reset(change) => write!(f, "reset: {change:?}"),
            Self::Delete(change) => write!(f, "delete: {change:?}"),
        }
    }
}

fn verdict_name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Complete(_) => "complete",
        Verdict::Retry { .. } => "retry",
        Verdict::Fail { .. } => "fail",
        Verdict::Exhausted => "exhausted",
        Verdict::Cancel { .. } => "cancel",
        Verdict::Snooze { .. } => "snooze",
        Verdict::Release => "release",
        Verdict::Defer { .. } => "defer",
        Verdict::Advance { .. } => "advance",
        other => unreachable!("unknown verdict: {other:?}"),
    }
}

/// A short text of a task's state. It leaves out the lease's owner, which contains the process id of the test.
struct State<'a>(Option<&'a Task>);

impl fmt::Display for State<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(task) = self.0 else {
            return f.write_str("not stored");
        };
        let state = &task.state;
        let since_epoch = |at: DateTime<Utc>| (at - epoch()).as_seconds_f64();
        match (&state.done, &state.lease) {
            (Some(done), _) => write!(f, "{:?}", done.how)?,
            (None, Some(lease)) => {
                write!(f, "{:?} until {:.3}", lease.phase, since_epoch(lease.until))?;
            }
            (None, None) => write!(f, "waits until {:.3}", since_epoch(state.wait_until))?,
        }
        if state.cancelled_at.is_some() && state.done.is_none() {
            f.write_str(", cancelled")?;
        }
        write!(f, ", attempts {}+{}", state.attempts, state.cleanup_attempts)?;
        write!(f, ", errors {}", state.errors.len())
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the text is rounded, and a simulation lasts minutes"
)]
fn seconds(at: Millis) -> f64 {
    at as f64 / 1000.0
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.events.iter().try_for_each(|event| writeln!(f, "{event}"))
    }
}
