//! The life of a task: every change of its state, without a store and without a clock.

mod life;
mod properties;

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::task::transition::{self, Verdict};
use oncetask::task::{Json, Lease, LeaseToken, Task, TaskSpec};

/// So many seconds into the story.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_700_000_000 + seconds)
}

/// A task that is due at the beginning of the story.
fn task() -> Task {
    let spec = TaskSpec {
        id: "a".into(),
        kind: "Work".into(),
        payload: Json::parse("{}").expect("JSON"),
        resource_key: None,
        created_at: at(0),
        recurrence: None,
        occurrence: None,
    };
    Task::new(spec, at(0))
}

/// Claims a task that is due, for a minute. Returns the token, and whether the claim before fell silent.
fn claim(task: &mut Task, now: DateTime<Utc>) -> (LeaseToken, bool) {
    assert!(transition::is_due(&task.state, now));
    let lease = Lease {
        token: LeaseToken::random(),
        until: now + TimeDelta::seconds(60),
        owner: "worker".into(),
        phase: transition::next_phase(&task.state),
    };
    let token = lease.token;
    (token, transition::claim(task, lease, now))
}

fn retry(seconds: i64) -> Verdict {
    Verdict::Retry {
        at: at(seconds),
        error: "again".into(),
    }
}

fn fail() -> Verdict {
    Verdict::Fail {
        error: "broken".into(),
    }
}
