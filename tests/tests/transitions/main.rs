//! The transitions of a task's state, without a store and without a clock.

mod life;
mod properties;

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::task::transition::{self, Verdict};
use oncetask::task::{Json, Lease, LeaseToken, Task, TaskSpec};

/// Returns the instant this number of seconds after the start of a test.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_700_000_000 + seconds)
}

/// Returns a task that is due at second 0.
fn task() -> Task {
    let payload = Json::parse("{}").expect("valid JSON");
    Task::new(TaskSpec::new("a".into(), "Work", payload, at(0)), at(0))
}

/// Claims a due task for 60 seconds. Returns the token, and whether the previous attempt was orphaned.
fn claim(task: &mut Task, now: DateTime<Utc>) -> (LeaseToken, bool) {
    assert!(transition::is_due(&task.state, now));
    let lease = lease_until(now + TimeDelta::seconds(60), transition::next_phase(&task.state));
    let token = lease.token;
    (token, transition::claim(task, lease, now))
}

/// Returns a lease with a random token.
fn lease_until(until: DateTime<Utc>, phase: transition::Phase) -> Lease {
    Lease::new(LeaseToken::random(), until, "worker", phase)
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
