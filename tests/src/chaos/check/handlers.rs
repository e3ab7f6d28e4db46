//! Checks of the handler calls that do not depend on the stored tasks.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use oncetask::TaskId;

use super::super::effects::RecordedCall;
use super::{instant, violation};

/// Returns the overlaps of two calls of one task or key.
pub(super) fn overlaps(calls: &[RecordedCall]) -> Vec<String> {
    let mut running: HashMap<&str, &RecordedCall> = HashMap::new();
    let mut violations = Vec::new();
    for call in calls {
        let before = running.entry(call.resource()).or_insert(call);
        if before.number != call.number && call.first < before.last {
            let description = format!("two calls of {}:\n  {before:?}\n  {call:?}", call.resource());
            violations.push(violation("overlap", description));
        }
        if call.last > before.last {
            *before = call;
        }
    }
    violations
}

/// Returns the calls with an effect later than the instant and the tolerance.
pub(super) fn effects_after(
    promise: &str,
    id: &TaskId,
    at: DateTime<Utc>,
    tolerance: Duration,
    calls: &[&RecordedCall],
) -> Vec<String> {
    let limit = instant(at) + tolerance.as_nanos();
    let late = calls.iter().filter(|call| call.last > limit);
    late.map(|call| {
        violation(
            promise,
            format!("{id} ended at {at}, before an effect of {call:?}"),
        )
    })
    .collect()
}

/// Returns the calls that started before the instant.
pub(super) fn starts_before(id: &TaskId, at: Option<DateTime<Utc>>, calls: &[&RecordedCall]) -> Vec<String> {
    let Some(at) = at else { return Vec::new() };
    let early = calls.iter().filter(|call| call.first < instant(at));
    early
        .map(|call| violation("early", format!("{id} was due at {at}: {call:?}")))
        .collect()
}
