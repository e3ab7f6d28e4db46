//! The ids of tasks that were cancelled or deleted within the last minute.
//!
//! A notification of a cancellation can arrive before the answer to the claim of its task, or before the
//! claimed task starts. At that moment the worker has no active claim of the task, so there is no handler to
//! signal, and a handler that starts a moment later would learn of the cancellation only with its first
//! extension. So every new claim checks this list.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::task::TaskId;

/// The time for which an id is kept. It is longer than a claim takes.
const MAX_AGE: Duration = Duration::from_mins(1);
/// The maximum number of ids. If more tasks are cancelled within a minute, some handlers learn of it with
/// their first extension.
const MAX_IDS: usize = 10_000;

/// The ids, each with the instant at which its notification arrived.
#[derive(Debug, Default)]
pub(super) struct RecentCancellations(HashMap<TaskId, Instant>);

impl RecentCancellations {
    /// Adds ids. Removes old ones first if there is not enough space.
    pub(super) fn add(&mut self, ids: &[TaskId], now: Instant) {
        if self.0.len() + ids.len() > MAX_IDS {
            self.0.retain(|_, at| *at + MAX_AGE > now);
        }
        let free = MAX_IDS.saturating_sub(self.0.len());
        self.0.extend(ids.iter().take(free).map(|id| (id.clone(), now)));
    }

    /// Returns whether this task was cancelled or deleted recently.
    pub(super) fn contains(&self, id: &TaskId, now: Instant) -> bool {
        self.0.get(id).is_some_and(|at| *at + MAX_AGE > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: std::ops::Range<usize>) -> Vec<TaskId> {
        numbers.map(|number| TaskId::new(format!("{number}"))).collect()
    }

    #[test]
    fn ids_expire_after_a_minute_and_their_number_is_limited() {
        let (mut recent, now) = (RecentCancellations::default(), Instant::now());
        recent.add(&ids(0..3), now);
        assert!(recent.contains(&"2".into(), now) && !recent.contains(&"3".into(), now));
        recent.add(&ids(3..MAX_IDS * 2), now);
        assert_eq!(recent.0.len(), MAX_IDS);
        let later = now + MAX_AGE;
        assert!(!recent.contains(&"2".into(), later));
        recent.add(&ids(0..1), later);
        assert_eq!(recent.0.len(), 1);
        assert!(recent.contains(&"0".into(), later));
    }
}
