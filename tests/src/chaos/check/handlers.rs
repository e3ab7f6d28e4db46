//! What holds of the calls of handlers, whatever the store says.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use oncetask::TaskId;

use super::super::effects::Ran;
use super::{broken, instant};

/// No call runs beside another one of its task or key.
pub(super) fn beside(calls: &[Ran]) -> Vec<String> {
    let mut running: HashMap<&str, &Ran> = HashMap::new();
    let mut violations = Vec::new();
    for call in calls {
        let before = running.entry(call.exclusive()).or_insert(call);
        if before.number != call.number && call.begun < before.last {
            let what = format!(
                "{} for {}:\n  {before:?}\n  {call:?}",
                "two calls",
                call.exclusive()
            );
            violations.push(broken("beside", what));
        }
        if call.last > before.last {
            *before = call;
        }
    }
    violations
}

/// No effect comes later than this.
pub(super) fn none_after(
    name: &str,
    id: &TaskId,
    at: DateTime<Utc>,
    tolerated: Duration,
    calls: &[&Ran],
) -> Vec<String> {
    let limit = instant(at) + tolerated.as_nanos();
    let late = calls.iter().filter(|call| call.last > limit);
    late.map(|call| broken(name, format!("{id} ended at {at}, and then: {call:?}")))
        .collect()
}

/// No call begins before this.
pub(super) fn not_before(id: &TaskId, at: Option<DateTime<Utc>>, calls: &[&Ran]) -> Vec<String> {
    let Some(at) = at else { return Vec::new() };
    let early = calls.iter().filter(|call| call.begun < instant(at));
    early
        .map(|call| broken("early", format!("{id} was due at {at}: {call:?}")))
        .collect()
}
