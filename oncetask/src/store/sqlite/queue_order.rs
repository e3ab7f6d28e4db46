//! The order in which tasks are claimed.
//!
//! It is `QueueOrder`: by due time, then by creation. Rows are numbered in the order of their creation, so
//! `seq` stands for the creation.

/// Expands to the queue order as the columns of an `ORDER BY`. A statement that sorts by it names its columns
/// `due` and `seq`, if need be with `AS`. The indexes of the [schema](super::schema) have the same order, so
/// that SQLite walks along them and does not sort.
macro_rules! queue_order {
    () => {
        "due, seq"
    };
}

pub(super) use queue_order;

/// The position of a task, or of a resource key, in the queue of a kind. It compares by the queue order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueuePosition {
    /// The due time, in milliseconds since 1970.
    pub(super) due: i64,
    /// The row of the task, or of the first task of the key.
    pub(super) seq: i64,
}
