//! The events of a stored task. No event panics in any state of the task.

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::task::transition::{
    MAX_ERRORS, Phase, Verdict, cancel, claim, finish, is_due, next_phase, renew, reset,
};
use oncetask::task::{Json, Lease, LeaseToken, Progress, Task};
use oncetask::{HandlerError, Retry};

/// The token of the claim.
const TOKEN: LeaseToken = LeaseToken::from_bits(7);
/// The token of another claim.
const FOREIGN_TOKEN: LeaseToken = LeaseToken::from_bits(8);

/// Reads every part of a task, and applies every event to it.
pub(crate) fn exercise(task: &Task) {
    read(task);
    for now in [
        "1970-01-01T00:00:00Z",
        "2026-11-23T12:00:00.5Z",
        "9999-12-31T23:59:59.999Z",
    ] {
        apply_events(task, now.parse().expect("a valid instant"));
    }
}

fn read(task: &Task) {
    assert!(!format!("{task:?}").is_empty());
    let _ = (
        task.payload::<serde_json::Value>(),
        task.result::<serde_json::Value>(),
    );
    let _ = (
        task.spec.payload.value(),
        task.state.result.as_ref().map(Json::value),
    );
    let error = HandlerError::from("an error");
    let _ = Retry::exponential().unlimited().delay(task.attempts(), &error);
}

fn apply_events(task: &Task, now: DateTime<Utc>) {
    let _ = (task.status(now), is_due(&task.state, now));
    let changes: [fn(&mut Task, DateTime<Utc>) -> _; 2] = [cancel, reset];
    for change in changes {
        let mut task = task.clone();
        change(&mut task, now);
        change(&mut task, now);
    }
    let mut claimed = task.clone();
    let until = now + TimeDelta::seconds(60).min(DateTime::<Utc>::MAX_UTC - now);
    let lease = Lease::new(TOKEN, until, "a fuzzer", next_phase(&task.state));
    claim(&mut claimed, lease, now);
    let errors = claimed.errors().len();
    assert!(errors <= MAX_ERRORS.max(task.errors().len()), "{errors}");
    let progress = Progress::new(0.5, "", now);
    let _ = renew(&mut claimed.state.clone(), TOKEN, Some(now), Some(progress), now);
    for verdict in verdicts(now) {
        for cleanup in [false, true] {
            let mut state = claimed.state.clone();
            let finished = finish(&mut state, TOKEN, verdict.clone(), cleanup, now);
            assert!(finished.is_ok() && state.lease.is_none());
            assert!(state.errors.len() <= MAX_ERRORS.max(errors));
        }
    }
    let refused = finish(&mut claimed.state, FOREIGN_TOKEN, Verdict::Release, false, now);
    assert!(refused.is_err() && matches!(next_phase(&claimed.state), Phase::Run | Phase::Cleanup));
}

fn verdicts(at: DateTime<Utc>) -> [Verdict; 9] {
    let error = "an error".to_owned();
    [
        Verdict::Complete(None),
        Verdict::Retry {
            at,
            error: error.clone(),
        },
        Verdict::Fail { error: error.clone() },
        Verdict::Exhausted,
        Verdict::Cancel { reason: error },
        Verdict::Snooze { at },
        Verdict::Release,
        Verdict::Defer { at },
        Verdict::Advance { next: Some(at) },
    ]
}
