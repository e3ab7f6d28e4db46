//! What the store asks of Firestore, counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a store has asked of Firestore since it was opened: what Google bills, and the requests it took.
///
/// ```
/// use oncetask::store::Usage;
///
/// fn cost_per_task(before: &Usage, after: &Usage, tasks: u64) -> (u64, u64) {
///     ((after.reads - before.reads) / tasks, (after.writes - before.writes) / tasks)
/// }
/// # let _ = cost_per_task(&Usage::default(), &Usage::default(), 1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Documents read. A query without a result is billed, and counted, as one.
    pub reads: u64,
    /// Documents written.
    pub writes: u64,
    /// Documents deleted.
    pub deletes: u64,
    /// Writes that were refused because somebody else had written the document.
    pub conflicts: u64,
    /// Requests sent, repeated ones included.
    pub rpcs: u64,
}

#[derive(Debug, Default)]
pub(super) struct Meter {
    reads: AtomicU64,
    writes: AtomicU64,
    deletes: AtomicU64,
    conflicts: AtomicU64,
    rpcs: AtomicU64,
}

impl Meter {
    pub(super) fn read(&self, documents: usize) {
        self.reads.fetch_add(documents as u64, Relaxed);
    }

    /// A query, which costs one read at least.
    pub(super) fn queried(&self, documents: usize) {
        self.read(documents.max(1));
    }

    pub(super) fn wrote(&self, documents: usize) {
        self.writes.fetch_add(documents as u64, Relaxed);
    }

    pub(super) fn deleted(&self) {
        self.deletes.fetch_add(1, Relaxed);
    }

    pub(super) fn refused(&self) {
        self.conflicts.fetch_add(1, Relaxed);
    }

    pub(super) fn sent(&self) {
        self.rpcs.fetch_add(1, Relaxed);
    }

    pub(super) fn usage(&self) -> Usage {
        Usage {
            reads: self.reads.load(Relaxed),
            writes: self.writes.load(Relaxed),
            deletes: self.deletes.load(Relaxed),
            conflicts: self.conflicts.load(Relaxed),
            rpcs: self.rpcs.load(Relaxed),
        }
    }
}
