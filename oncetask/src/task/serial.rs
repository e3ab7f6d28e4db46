//! The JSON form of a task, for programs that print or serve it. The documentation of [`Task`] describes it.

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use super::transition::Phase;
use super::{AttemptError, Done, Json, Lease, Occurrence, Progress, ResourceKey, Status, Task, TaskId};
use crate::schedule::Recurrence;

#[derive(Serialize)]
struct TaskForm<'a> {
    id: &'a TaskId,
    kind: &'a str,
    payload: &'a Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_key: Option<&'a ResourceKey>,
    created_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recurrence: Option<&'a Recurrence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    occurrence: Option<OccurrenceForm<'a>>,
    wait_until: DateTime<Utc>,
    attempts: u32,
    cleanup_attempts: u32,
    deferrals: u32,
    errors: &'a [AttemptError],
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<&'a Progress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<LeaseForm<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<Done>,
}

#[derive(Serialize)]
struct OccurrenceForm<'a> {
    generator: &'a TaskId,
    at: DateTime<Utc>,
}

#[derive(Serialize)]
struct LeaseForm<'a> {
    until: DateTime<Utc>,
    owner: &'a str,
    phase: &'static str,
}

impl Serialize for Task {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (spec, state) = (&self.spec, &self.state);
        TaskForm {
            id: &spec.id,
            kind: &spec.kind,
            payload: &spec.payload,
            resource_key: spec.resource_key.as_ref(),
            created_at: spec.created_at,
            recurrence: spec.recurrence.as_ref(),
            occurrence: spec.occurrence.as_ref().map(OccurrenceForm::of),
            wait_until: state.wait_until,
            attempts: state.attempts,
            cleanup_attempts: state.cleanup_attempts,
            deferrals: state.deferrals,
            errors: &state.errors,
            result: state.result.as_ref(),
            progress: state.progress.as_ref(),
            lease: state.lease.as_ref().map(LeaseForm::of),
            cancelled_at: state.cancelled_at,
            done: state.done,
        }
        .serialize(serializer)
    }
}

impl<'a> OccurrenceForm<'a> {
    fn of(occurrence: &'a Occurrence) -> Self {
        Self {
            generator: &occurrence.generator,
            at: occurrence.at,
        }
    }
}

impl<'a> LeaseForm<'a> {
    fn of(lease: &'a Lease) -> Self {
        Self {
            until: lease.until,
            owner: &lease.owner,
            phase: match lease.phase {
                Phase::Run => "run",
                Phase::Cleanup => "cleanup",
            },
        }
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;
    use crate::task::{Ending, LeaseToken, TaskSpec};

    #[test]
    fn a_new_task_has_no_field_without_a_value() {
        let spec = TaskSpec::new(
            "a".into(),
            "Kind",
            Json::trusted(r#"{"n":1}"#),
            DateTime::UNIX_EPOCH,
        );
        let task = Task::new(spec, DateTime::UNIX_EPOCH);
        let expected = json!({
            "id": "a", "kind": "Kind", "payload": {"n": 1},
            "created_at": "1970-01-01T00:00:00Z", "wait_until": "1970-01-01T00:00:00Z",
            "attempts": 0, "cleanup_attempts": 0, "deferrals": 0, "errors": [],
        });
        assert_eq!(serde_json::to_value(&task).unwrap(), expected);
    }

    #[test]
    fn every_field_but_the_token_is_written() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let mut spec = TaskSpec::new("a".into(), "Kind", Json::trusted("{}"), at(0));
        spec.resource_key = ResourceKey::new("key");
        spec.recurrence = Some(Recurrence::new("FREQ=DAILY").unwrap());
        spec.occurrence = Some(Occurrence::new("generator".into(), at(1)));
        let mut task = Task::new(spec, at(0));
        task.state.errors = vec![AttemptError::new(at(2), 1, "no answer")];
        task.state.result = Some(Json::trusted("[1]"));
        task.state.progress = Some(Progress::new(0.5, "half", at(3)));
        task.state.lease = Some(Lease::new(
            LeaseToken::from_bits(7),
            at(4),
            "host:1",
            Phase::Cleanup,
        ));
        task.state.cancelled_at = Some(at(5));
        task.state.done = Some(Done::new(at(6), Ending::Cancelled));
        let json = serde_json::to_value(&task).unwrap();
        let expected = [
            ("resource_key", json!("key")),
            ("recurrence", json!({"rule": "FREQ=DAILY"})),
            (
                "occurrence",
                json!({"generator": "generator", "at": "1970-01-01T00:00:01Z"}),
            ),
            (
                "errors",
                json!([{"at": "1970-01-01T00:00:02Z", "attempt": 1, "cleanup": false, "error": "no answer"}]),
            ),
            ("result", json!([1])),
            (
                "progress",
                json!({"fraction": 0.5, "message": "half", "at": "1970-01-01T00:00:03Z"}),
            ),
            (
                "lease",
                json!({"until": "1970-01-01T00:00:04Z", "owner": "host:1", "phase": "cleanup"}),
            ),
            ("cancelled_at", json!("1970-01-01T00:00:05Z")),
            ("done", json!({"at": "1970-01-01T00:00:06Z", "how": "cancelled"})),
        ];
        for (field, value) in expected {
            assert_eq!(json[field], value, "{field}");
        }
    }

    #[test]
    fn a_status_is_its_text() {
        let json = serde_json::to_value(Status::CancellationPending).unwrap();
        assert_eq!(json, "cancellation-pending");
    }
}
