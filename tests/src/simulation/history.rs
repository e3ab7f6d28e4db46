//! What happened in a simulation, in the order in which it did.

use std::fmt;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use oncetask::store::Renewed;
use oncetask::task::LeaseToken;
use oncetask::task::transition::{Change, Phase, Verdict};
use oncetask::{Task, TaskId};

use super::clock::{Millis, Time, epoch};

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// Whoever creates tasks, cancels them, and so on.
    Client,
    /// A worker, and how often it was started before.
    Worker(usize, u32),
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at: Millis,
    pub(crate) who: Who,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// The store did something to a task.
    Write(Box<Write>),
    /// The client was told that a task is stored.
    Acknowledged { id: TaskId },
    /// A handler was called.
    Began {
        call: u64,
        ids: Vec<TaskId>,
        phase: Phase,
    },
    /// It did something that others can see.
    Acted { call: u64 },
    /// It returned.
    Returned { call: u64, how: &'static str },
    /// It was dropped before it returned.
    Dropped { call: u64 },
    /// Something went wrong on purpose.
    Trouble(String),
    /// Nothing goes wrong on purpose from now on.
    Quiet,
    /// A task at the end.
    Left { task: Box<Task> },
}

/// What the store did to one task.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) id: TaskId,
    pub(crate) op: Op,
    pub(crate) before: Option<Arc<Task>>,
    pub(crate) after: Option<Arc<Task>>,
    /// When the caller called.
    pub(crate) called: Millis,
    /// What the caller's clock showed then.
    pub(crate) now: DateTime<Utc>,
    /// Which request it was: what one request did has one number.
    pub(crate) request: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Create {
        new: bool,
    },
    /// An occurrence that a generator's turn creates.
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

/// Writes the history.
#[derive(Clone, Debug)]
pub(crate) struct Scribe {
    time: Time,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Scribe {
    pub(crate) fn new(time: Time) -> Self {
        Self {
            time,
            events: Arc::default(),
        }
    }

    pub(crate) fn note(&self, who: Who, what: What) {
        let at = self.time.now();
        let mut events = self
            .events
            .lock()
            .expect("nothing panics while it holds the lock");
        events.push(Event { at, who, what });
    }

    pub(crate) fn trouble(&self, who: Who, what: impl Into<String>) {
        self.note(who, What::Trouble(what.into()));
    }

    /// What was written so far.
    pub(crate) fn take(&self) -> History {
        let mut events = self
            .events
            .lock()
            .expect("nothing panics while it holds the lock");
        History {
            events: std::mem::take(&mut events),
        }
    }
}

impl Event {
    /// The tasks that it is about; none when it is about a worker.
    pub(crate) fn ids(&self) -> Vec<&TaskId> {
        match &self.what {
            What::Write(write) => vec![&write.id],
            What::Acknowledged { id } => vec![id],
            What::Began { ids, .. } => ids.iter().collect(),
            What::Left { task } => vec![task.id()],
            What::Acted { .. }
            | What::Returned { .. }
            | What::Dropped { .. }
            | What::Trouble(_)
            | What::Quiet => Vec::new(),
        }
    }

    /// The call of a handler that it is about.
    pub(crate) fn call(&self) -> Option<u64> {
        match self.what {
            What::Began { call, .. }
            | What::Acted { call }
            | What::Returned { call, .. }
            | What::Dropped { call } => Some(call),
            _ => None,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("client"),
            Self::Worker(place, life) => write!(f, "w{place}.{life}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3} {:<6} ", seconds(self.at), self.who.to_string())?;
        match &self.what {
            What::Write(write) => write.fmt(f),
            What::Acknowledged { id } => write!(f, "{id}: acknowledged"),
            What::Began { call, ids, phase } => {
                write!(f, "call {call} begins: {phase:?}")?;
                ids.iter().try_for_each(|id| write!(f, " {id}"))
            }
            What::Acted { call } => write!(f, "call {call} acts"),
            What::Returned { call, how } => write!(f, "call {call} returns {how}"),
            What::Dropped { call } => write!(f, "call {call} is dropped"),
            What::Trouble(what) => write!(f, "! {what}"),
            What::Quiet => f.write_str("! the faults are over"),
            What::Left { task } => write!(f, "{}: at the end {}", task.id(), State(Some(task))),
        }
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ", self.id, self.op)?;
        let asked = (self.now - epoch()).as_seconds_f64();
        write!(
            f,
            "(asked at {:.3}, by its clock {asked:.3}) ",
            seconds(self.called)
        )?;
        write!(f, "→ {}", State(self.after.as_deref()))
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { new: true } => f.write_str("created"),
            Self::Create { new: false } => f.write_str("exists already"),
            Self::Spawn => f.write_str("spawned"),
            Self::Claim { token, .. } => write!(f, "claimed under {token:?}"),
            Self::Renew { token, until, answer } => {
                let what = if until.is_some() { "extend" } else { "ask" };
                write!(f, "{what} {token:?}: {answer:?}")
            }
            Self::Finish {
                token,
                verdict,
                accepted,
            } => {
                let answer = if *accepted { "accepted" } else { "refused" };
                write!(f, "{} under {token:?}: {answer}", name(verdict))
            }
            Self::Cancel(change) => write!(f, "cancel: {change:?}"),
            Self::Reset(change) => write!(f, "reset: {change:?}"),
            Self::Delete(change) => write!(f, "delete: {change:?}"),
        }
    }
}

fn name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Complete(_) => "complete",
        Verdict::Retry { .. } => "retry",
        Verdict::Fail { .. } => "fail",
        Verdict::Exhausted => "exhausted",
        Verdict::Cancel { .. } => "cancel itself",
        Verdict::Snooze { .. } => "snooze",
        Verdict::Release => "give back",
        Verdict::Defer { .. } => "defer",
        Verdict::Advance { .. } => "advance",
        other => unreachable!("unknown verdict: {other:?}"),
    }
}

/// A task's state in a few words. Without its lease's owner, which no two processes have in common.
struct State<'a>(Option<&'a Task>);

impl fmt::Display for State<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(task) = self.0 else {
            return f.write_str("nothing");
        };
        let state = &task.state;
        let by_clock = |at: DateTime<Utc>| (at - epoch()).as_seconds_f64();
        match (&state.done, &state.lease) {
            (Some(done), _) => write!(f, "{:?}", done.how)?,
            (None, Some(lease)) => {
                write!(f, "{:?} until {:.3}", lease.phase, by_clock(lease.until))?;
            }
            (None, None) => write!(f, "waits until {:.3}", by_clock(state.wait_until))?,
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
    reason = "for people, and a simulation lasts minutes"
)]
fn seconds(at: Millis) -> f64 {
    at as f64 / 1000.0
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.events.iter().try_for_each(|event| writeln!(f, "{event}"))
    }
}
