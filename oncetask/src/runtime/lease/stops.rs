//! Tasks that were stopped before this worker knew that it holds them.
//!
//! The news of a cancellation may be quicker than the answer to the claim of its task, or than the lane in which that is
//! to run: then nobody here holds it yet, and whoever does so a moment later would be told at its first extension
//! only. So who begins to hold a task asks whether it was stopped of late.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::task::TaskId;

/// How long they are remembered: longer than a claim is on its way.
const LATE: Duration = Duration::from_mins(1);
/// How many of them. When more are stopped in a minute, an extension has to tell of some.
const MANY: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Stops(HashMap<TaskId, Instant>);

impl Stops {
    pub(super) fn add(&mut self, ids: &[TaskId], now: Instant) {
        if self.0.len() + ids.len() > MANY {
            self.0.retain(|_, at| *at + LATE > now);
        }
        let room = MANY.saturating_sub(self.0.len());
        self.0.extend(ids.iter().take(room).map(|id| (id.clone(), now)));
    }

    /// Whether this one was stopped of late.
    pub(super) fn has(&self, id: &TaskId, now: Instant) -> bool {
        self.0.get(id).is_some_and(|at| *at + LATE > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(many: std::ops::Range<usize>) -> Vec<TaskId> {
        many.map(|number| TaskId::new(format!("{number}"))).collect()
    }

    #[test]
    fn they_are_remembered_for_a_while_and_not_without_end() {
        let (mut stops, now) = (Stops::default(), Instant::now());
        stops.add(&ids(0..3), now);
        assert!(stops.has(&"2".into(), now) && !stops.has(&"3".into(), now));
        stops.add(&ids(3..MANY * 2), now);
        assert_eq!(stops.0.len(), MANY);
        let later = now + LATE;
        assert!(!stops.has(&"2".into(), later));
        stops.add(&ids(0..1), later);
        assert_eq!(stops.0.len(), 1);
        assert!(stops.has(&"0".into(), later));
    }
}
