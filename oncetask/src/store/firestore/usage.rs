//! The documents and requests that a store has used.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The documents and requests that a store has used since it was opened. Google bills the documents.
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
    /// The number of documents read. A query without a result is billed, and counted, as one.
    pub reads: u64,
    /// The number of documents written.
    pub writes: u64,
    /// The number of documents deleted.
    pub deletes: u64,
    /// The number of writes that were refused because another program had written the document.
    pub conflicts: u64,
    /// The number of requests sent, including retries.
    pub rpcs: u64,
}

/// The counters behind [`Usage`].
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

    /// Counts a query, which costs at least one read.
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
