//! The record of a task: its fixed part and its state.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::de::DeserializeOwned;

use super::transition::Phase;
use super::{AttemptError, Done, Json, Lease, Progress, ResourceKey, Status, TaskId};
use crate::schedule::Recurrence;

/// A stored task: the part that is fixed at its creation, and its current state.
///
/// Every instant in it is in UTC and has whole milliseconds, so that it is the same instant in every store.
///
/// # JSON
///
/// A task serialises to an object for programs that print or serve it. Instants are RFC 3339 text. A field
/// without a value is absent. The lease token is left out, because it authorises writes. The
/// [status](Task::status) is left out, because it depends on the time of the query.
///
/// ```
/// # use oncetask::{Client, OnceTask};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize, OnceTask)]
/// #[id("greet:{name}")]
/// struct Greet { name: String }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::in_memory();
/// let task = client.create(Greet { name: "Ada".into() }).await?.task;
/// let json = serde_json::to_value(&task)?;
/// assert_eq!(json["id"], "greet:Ada");
/// assert_eq!(json["kind"], "Greet");
/// assert_eq!(json["payload"]["name"], "Ada");
/// assert_eq!(json["attempts"], 0);
/// # Ok(()) }
/// ```
///
/// | field | meaning |
/// | --- | --- |
/// | `id`, `kind`, `payload`, `resource_key`, `created_at` | as in [`TaskSpec`] |
/// | `recurrence` | an object with the `rule` of a generator, and those of `tz`, `dtstart`, `exdates`, `rdates`, `gap`, `overlap` and `missed` that are set |
/// | `occurrence` | `generator` and `at` of an occurrence |
/// | `wait_until`, `attempts`, `cleanup_attempts`, `deferrals`, `result`, `cancelled_at` | as in [`TaskState`] |
/// | `errors` | objects with `at`, `attempt`, `cleanup` and `error` |
/// | `progress` | an object with `fraction`, `message` and `at` |
/// | `lease` | an object with `until`, `owner` and `phase` (`run` or `cleanup`) |
/// | `done` | an object with `at` and `how` (`completed`, `failed` or `cancelled`) |
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Task {
    /// The part that is fixed at the creation. Only a generator's rule ever changes.
    pub spec: TaskSpec,
    /// The current state. Only the functions of [`transition`](super::transition) change it.
    pub state: TaskState,
}

/// The part of a task that is fixed at its creation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TaskSpec {
    /// The idempotency key: a second task with this id in the environment is the same task.
    pub id: TaskId,
    /// The name of the task's type.
    pub kind: Arc<str>,
    /// The task's fields, a JSON object.
    pub payload: Json,
    /// The resource that the task works on. At most one claim of a (kind, key) is active at any instant.
    pub resource_key: Option<ResourceKey>,
    /// The instant of creation. Of two tasks with the same due time, the older one is claimed first.
    pub created_at: DateTime<Utc>,
    /// The rule of a generator: a task that never runs a handler but creates its occurrences.
    pub recurrence: Option<Recurrence>,
    /// The generator and the instant of an occurrence.
    pub occurrence: Option<Occurrence>,
}

/// The origin of a task that a generator created.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Occurrence {
    /// The id of the generator.
    pub generator: TaskId,
    /// The instant that the generator's rule gave.
    pub at: DateTime<Utc>,
}

impl Occurrence {
    /// Returns the occurrence of this generator at this instant.
    #[must_use]
    pub fn new(generator: TaskId, at: DateTime<Utc>) -> Self {
        Self { generator, at }
    }
}

/// The state of a task: the part that changes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TaskState {
    /// The instant before which the task does not run: at first its schedule, later the end of a backoff or a snooze.
    pub wait_until: DateTime<Utc>,
    /// The number of attempts that began. Snoozed, released and deferred attempts do not count.
    pub attempts: u32,
    /// The number of attempts of the cleanup handler that began.
    pub cleanup_attempts: u32,
    /// The number of consecutive claims whose worker could not decode the payload.
    pub deferrals: u32,
    /// The errors of the attempts: the first one and the last 99.
    pub errors: Vec<AttemptError>,
    /// The handler's result.
    pub result: Option<Json>,
    /// The handler's last progress.
    pub progress: Option<Progress>,
    /// The lease of the current claim.
    pub lease: Option<Lease>,
    /// The instant at which the cancellation was accepted.
    pub cancelled_at: Option<DateTime<Utc>>,
    /// The end of the task.
    pub done: Option<Done>,
}

impl Task {
    /// Returns a newly created task that waits until an instant.
    ///
    /// Instants are rounded to whole milliseconds. The schedule is rounded up, so that no task runs early.
    #[must_use]
    pub fn new(mut spec: TaskSpec, wait_until: DateTime<Utc>) -> Self {
        spec.created_at = whole_millis(spec.created_at);
        Self {
            spec,
            state: TaskState::waiting_until(whole_millis_up(wait_until)),
        }
    }

    /// Returns the id.
    #[must_use]
    pub fn id(&self) -> &TaskId {
        &self.spec.id
    }

    /// Returns the name of the task's type.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.spec.kind
    }

    /// Returns the key of the resource that the task works on.
    #[must_use]
    pub fn resource_key(&self) -> Option<&ResourceKey> {
        self.spec.resource_key.as_ref()
    }

    /// Returns the status at this instant.
    #[must_use]
    pub fn status(&self, now: DateTime<Utc>) -> Status {
        Status::of(&self.state, now)
    }

    /// Returns whether the task has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state.done.is_some()
    }

    /// Decodes the payload into the task's type.
    ///
    /// # Errors
    ///
    /// Returns serde's error, with the path of the field, if the payload does not have the shape of the type.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        self.spec.payload.read_payload()
    }

    /// Decodes the handler's result; `None` if there is none yet.
    ///
    /// # Errors
    ///
    /// Returns serde's error, with the path of the field, if the result does not have the shape of the type.
    pub fn result<R: DeserializeOwned>(&self) -> Result<Option<R>, serde_json::Error> {
        self.state.result.as_ref().map(Json::read).transpose()
    }

    /// Returns the errors of the attempts: the first one and the last 99.
    #[must_use]
    pub fn errors(&self) -> &[AttemptError] {
        &self.state.errors
    }

    /// Returns the number of attempts that began.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.state.attempts
    }
}

impl TaskSpec {
    /// Returns the spec of a task without a resource key that is neither a generator nor an occurrence.
    #[must_use]
    pub fn new(id: TaskId, kind: impl Into<Arc<str>>, payload: Json, created_at: DateTime<Utc>) -> Self {
        Self {
            id,
            kind: kind.into(),
            payload,
            resource_key: None,
            created_at,
            recurrence: None,
            occurrence: None,
        }
    }

    /// Returns the resource key that a claim of the task owns. A claim of a generator owns none: the generator stores
    /// the key for its occurrences but does no work itself, so it must not wait for them.
    #[must_use]
    pub fn held_key(&self) -> Option<&ResourceKey> {
        self.resource_key.as_ref().filter(|_| self.recurrence.is_none())
    }
}

impl TaskState {
    /// Returns the state of a newly created task.
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

    /// Returns the number of attempts of this phase that began.
    #[must_use]
    pub fn attempts_in(&self, phase: Phase) -> u32 {
        match phase {
            Phase::Run => self.attempts,
            Phase::Cleanup => self.cleanup_attempts,
        }
    }

    /// Returns the due time: the instant from which the task may be claimed; `None` once it is done.
    ///
    /// The due time of a leased task is the end of its lease: a worker that has not extended the lease by then
    /// has crashed or lost its connection.
    #[must_use]
    pub fn due(&self) -> Option<DateTime<Utc>> {
        match (&self.done, &self.lease) {
            (Some(_), _) => None,
            (None, Some(lease)) => Some(lease.until),
            (None, None) => Some(self.wait_until),
        }
    }
}

/// Rounds an instant down to whole milliseconds.
#[must_use]
pub fn whole_millis(at: DateTime<Utc>) -> DateTime<Utc> {
    at - TimeDelta::nanoseconds(i64::from(at.timestamp_subsec_nanos() % 1_000_000))
}

/// Rounds an instant up to whole milliseconds.
#[must_use]
pub fn whole_millis_up(at: DateTime<Utc>) -> DateTime<Utc> {
    let floor = whole_millis(at);
    if floor < at {
        floor + TimeDelta::milliseconds(1)
    } else {
        floor
    }
}
