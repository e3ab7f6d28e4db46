//! Damaged records: stored tasks that a store cannot read, for example because another program edited the
//! file.

use chrono::{DateTime, TimeDelta, Utc};

/// Returns the instant until which a damaged record is deferred, so that it does not stop its queue.
///
/// The store sets the task's `wait_until` to this instant, and the end of its lease if it has one. Nothing
/// else changes: `deferrals` counts payloads that no worker could decode, and a damaged record does not reach
/// a worker. The delay is constant, because no earlier delay can be read from the record.
#[must_use]
pub(crate) fn defer(now: DateTime<Utc>) -> DateTime<Utc> {
    now + TimeDelta::hours(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_record_is_deferred_by_an_hour() {
        let now = DateTime::from_timestamp_millis(1_700_000_000_500).expect("an instant");
        assert_eq!(defer(now) - now, TimeDelta::hours(1));
    }
}
