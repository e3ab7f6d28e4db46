use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::de::DeserializeOwned;

use super::transition::Phase;
use super::{Json, ResourceKey, Status, TaskId};
use crate::schedule::Recurrence;

/// A stored task: what was created, and what has become of it.
///
/// Every instant in it is in UTC and has whole milliseconds, so that it is the same instant in every store.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// What was created. Only a generator's rule ever changes.
    pub spec: TaskSpec,
    /// What has become of it. Changed by the functions of [`transition`](super::transition) only.
    pub state: TaskState,
}

/// What was created: the part of a task that stays.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskSpec {
    /// What makes it one task: a second task with this id in the environment is the same task.
    pub id: TaskId,
    /// The name of its type.
    pub kind: Arc<str>,
    /// The task itself, a JSON object.
    pub payload: Json,
    /// The resource that it works on. At most one claim of a (kind, key) is held at any instant.
    pub resource_key: Option<ResourceKey>,
    /// When it was created. Of two tasks that are due at one instant the older goes first.
    pub created_at: DateTime<Utc>,
    /// Its rule, if it is a generator: a task that never runs itself but creates its occurrences.
    pub recurrence: Option<Recurrence>,
    /// Where it comes from, if it is an occurrence.
    pub occurrence: Option<Occurrence>,
}

/// What makes a task an occurrence of a generator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// The id of the generator.
    pub generator: TaskId,
    /// The instant that the generator's rule gave.
    pub at: DateTime<Utc>,
}

/// What has become of a task: the part that changes.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskState {
    /// It does not run before this instant: its schedule at first, the end of a backoff later.
    pub wait_until: DateTime<Utc>,
    /// How many attempts have begun. Snoozed ones and those given back at a shutdown do not count.
    pub attempts: u32,
    /// How many attempts of the cleanup handler have begun.
    pub cleanup_attempts: u32,
    /// How often in a row no worker could read the payload.
    pub deferrals: u32,
    /// What went wrong: the first error and the last 99.
    pub errors: Vec<AttemptError>,
    /// What the handler returned.
    pub result: Option<Json>,
    /// How far the handler says it is.
    pub progress: Option<Progress>,
    /// Who holds the task, and until when.
    pub lease: Option<Lease>,
    /// When its cancellation was accepted.
    pub cancelled_at: Option<DateTime<Utc>>,
    /// When and how it ended.
    pub done: Option<Done>,
}

/// A claim on a task, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What every write under this claim must show.
    pub token: LeaseToken,
    /// When the claim ends unless it is extended.
    pub until: DateTime<Utc>,
    /// The worker, for people who look: host and process.
    pub owner: Arc<str>,
    /// What the claim is for.
    pub phase: Phase,
}

/// What tells one claim of a task from every other claim of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken(u64);

impl LeaseToken {
    /// A token that no other claim has.
    #[must_use]
    pub fn random() -> Self {
        Self(fastrand::u64(1..))
    }

    /// The token as a number, for a store.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The token that a store kept as a number.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptError {
    /// When.
    pub at: DateTime<Utc>,
    /// The number of the attempt, counted from one; 0 where the store does not say.
    pub attempt: u32,
    /// Whether it was an attempt of the cleanup handler.
    pub cleanup: bool,
    /// What, at most 4 KiB of it.
    pub error: String,
}

/// How far a handler says it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// From 0 to 1.
    pub fraction: f64,
    /// What it is doing, at most 4 KiB of it.
    pub message: String,
    /// When it said so.
    pub at: DateTime<Utc>,
}

/// The end of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// When.
    pub at: DateTime<Utc>,
    /// How.
    pub how: Ending,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The handler returned `Ok`.
    Completed,
    /// No attempt is left, or an error was permanent.
    Failed,
    /// It was cancelled, and cleaned up after if there is something to clean up.
    Cancelled,
}

impl Task {
    /// A task that was just created and waits for `wait_until`.
    ///
    /// Instants are brought to whole milliseconds, the schedule upwards: nothing runs early.
    #[must_use]
    pub fn new(mut spec: TaskSpec, wait_until: DateTime<Utc>) -> Self {
        spec.created_at = whole_millis(spec.created_at);
        Self {
            spec,
            state: TaskState::waiting_until(whole_millis_up(wait_until)),
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &TaskId {
        &self.spec.id
    }

    /// The name of its type.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.spec.kind
    }

    /// The resource that it works on.
    #[must_use]
    pub fn resource_key(&self) -> Option<&ResourceKey> {
        self.spec.resource_key.as_ref()
    }

    /// Where it stands at this instant.
    #[must_use]
    pub fn status(&self, now: DateTime<Utc>) -> Status {
        Status::of(&self.state, now)
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state.done.is_some()
    }

    /// The task as a type of yours.
    ///
    /// # Errors
    ///
    /// When the payload is not what the type expects.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        self.spec.payload.read_payload()
    }

    /// What the handler returned, as a type of yours; `None` before it has.
    ///
    /// # Errors
    ///
    /// When the result is not what the type expects.
    pub fn result<R: DeserializeOwned>(&self) -> Result<Option<R>, serde_json::Error> {
        self.state.result.as_ref().map(Json::read).transpose()
    }

    /// What went wrong: the first error and the last 99.
    #[must_use]
    pub fn errors(&self) -> &[AttemptError] {
        &self.state.errors
    }

    /// How many attempts have begun.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.state.attempts
    }
}

impl TaskSpec {
    /// The resource key that a claim of the task holds. A generator holds none: it has its occurrences' key
    /// but does no work itself, and must not wait for theirs.
    #[must_use]
    pub fn held_key(&self) -> Option<&ResourceKey> {
        self.resource_key.as_ref().filter(|_| self.recurrence.is_none())
    }
}

impl TaskState {
    /// The state of a task that was just created.
    #[must_use]
    pub fn waiting_until(wait_until: DateTime<Utc>) -> Self {
        Self {
            wait_until,
            attempts: 0,
            cleanup_attempts: 0,
            deferrals: 0,
            errors: Vec::new(),
            result: None,
            progress: None,
            lease: None,
            cancelled_at: None,
            done: None,
        }
    }

    /// How many attempts of this phase have begun.
    #[must_use]
    pub fn attempts_in(&self, phase: Phase) -> u32 {
        match phase {
            Phase::Run => self.attempts,
            Phase::Cleanup => self.cleanup_attempts,
        }
    }

    /// The instant from which the task may be claimed; `None` once it is done.
    ///
    /// A leased task may be claimed when its lease ends: then its worker is gone.
    #[must_use]
    pub fn due(&self) -> Option<DateTime<Utc>> {
        match (&self.done, &self.lease) {
            (Some(_), _) => None,
            (None, Some(lease)) => Some(lease.until),
            (None, None) => Some(self.wait_until),
        }
    }
}

/// The instant without what is finer than a millisecond.
#[must_use]
pub fn whole_millis(at: DateTime<Utc>) -> DateTime<Utc> {
    at - TimeDelta::nanoseconds(i64::from(at.timestamp_subsec_nanos() % 1_000_000))
}

/// The next instant of whole milliseconds, or this one.
#[must_use]
pub fn whole_millis_up(at: DateTime<Utc>) -> DateTime<Utc> {
    let floor = whole_millis(at);
    if floor < at {
        floor + TimeDelta::milliseconds(1)
    } else {
        floor
    }
}
