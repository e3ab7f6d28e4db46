//! All that can happen to a stored task, whatever its state.

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::task::transition::{
    MAX_ERRORS, Phase, Verdict, cancel, claim, finish, is_due, next_phase, renew, reset,
};
use oncetask::task::{Json, Lease, LeaseToken, Progress, Task};
use oncetask::{HandlerError, Retry};

/// Looks at the task in every way, and takes it through everything that may happen to it.
pub(crate) fn of(task: &Task) {
    look(task);
    for now in [
        "1970-01-01T00:00:00Z",
        "2026-11-23T12:00:00.5Z",
        "9999-12-31T23:59:59.999Z",
    ] {
        live(task, now.parse().expect("an instant"));
    }
}

fn look(task: &Task) {
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

fn live(task: &Task, now: DateTime<Utc>) {
    let _ = (task.status(now), is_due(&task.state, now));
    let changes: [fn(&mut Task, DateTime<Utc>) -> _; 2] = [cancel, reset];
    for change in changes {
        let mut task = task.clone();
        change(&mut task, now);
        change(&mut task, now);
    }
    let mut claimed = task.clone();
    let token = LeaseToken::from_bits(7);
    let until = now + TimeDelta::seconds(60).min(DateTime::<Utc>::MAX_UTC - now);
    let lease = Lease::new(token, until, "a fuzzer", next_phase(&task.state));
    claim(&mut claimed, lease, now);
    let errors = claimed.errors().len();
    assert!(errors <= MAX_ERRORS.max(task.errors().len()), "{errors}");
    let progress = Progress::new(0.5, "", now);
    let _ = renew(&mut claimed.state.clone(), token, Some(now), Some(progress), now);
    for verdict in verdicts(now) {
        for cleanup in [false, true] {
            let mut state = claimed.state.clone();
            let ended = finish(&mut state, token, verdict.clone(), cleanup, now);
            assert!(ended.is_ok() && state.lease.is_none());
            assert!(state.errors.len() <= MAX_ERRORS.max(errors));
        }
    }
    let foreign = finish(
        &mut claimed.state,
        LeaseToken::from_bits(8),
        Verdict::Release,
        false,
        now,
    );
    assert!(foreign.is_err() && matches!(next_phase(&claimed.state), Phase::Run | Phase::Cleanup));
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
