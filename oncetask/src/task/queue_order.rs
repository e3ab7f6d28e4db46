//! The order of the queue.

use chrono::{DateTime, Utc};

use super::Task;

/// The position of a task in its queue. Tasks are claimed in this order: the earliest due time first, and the
/// oldest task first among those with the same due time.
///
/// Every store uses this order. Another order, for example by priority, changes these places:
///
/// - this type, which the store in memory and the claims of the Firestore store sort by;
/// - `store/sqlite/queue_order.rs`: the columns of the SQL and `QueuePosition`; the conditions in `queue.rs` and
///   `keys.rs`; the indexes in `schema.rs`, with a migration;
/// - `unfinished_by_due` in `store/firestore/queries.rs`, and the shipped file of indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct QueueOrder {
    /// The due time, in milliseconds since the epoch.
    pub(crate) due: i64,
    /// The instant of creation, in milliseconds since the epoch.
    created_at: i64,
}

impl QueueOrder {
    /// Returns the position that a task would have if its due time were this instant.
    pub(crate) fn at(due: DateTime<Utc>, task: &Task) -> Self {
        // The instants of tasks have whole milliseconds, so nothing is lost.
        Self {
            due: due.timestamp_millis(),
            created_at: task.spec.created_at.timestamp_millis(),
        }
    }

    /// Returns the position with another due time, in milliseconds since the epoch.
    pub(crate) fn with_due(self, due: i64) -> Self {
        Self { due, ..self }
    }
}

impl Task {
    /// Returns the position in the queue; `None` once the task is done.
    pub(crate) fn queue_order(&self) -> Option<QueueOrder> {
        self.state.due().map(|due| QueueOrder::at(due, self))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::task::{Json, TaskSpec};

    #[test]
    fn the_earliest_due_comes_first_and_then_the_oldest() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let order = |due, created_at| {
            let spec = TaskSpec::new("a".into(), "Kind", Json::trusted("{}"), at(created_at));
            Task::new(spec, at(due)).queue_order()
        };
        assert!(order(1, 9) < order(2, 0));
        assert!(order(1, 0) < order(1, 1));
    }
}
