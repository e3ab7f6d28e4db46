//! Counts the calls to the allocator, with the feature `count-allocations`.

/// Returns the number of calls and the number of bytes that they requested, since this process started.
/// Returns `None` without the feature.
pub(crate) fn total() -> Option<(usize, usize)> {
    counted::total().into_iter().next()
}

#[cfg(feature = "count-allocations")]
mod counted {
    use std::alloc::System;

    use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

    #[global_allocator]
    static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

    pub(super) fn total() -> [(usize, usize); 1] {
        let stats = COUNTED.stats();
        [(stats.allocations + stats.reallocations, stats.bytes_allocated)]
    }
}

#[cfg(not(feature = "count-allocations"))]
mod counted {
    pub(super) fn total() -> [(usize, usize); 0] {
        []
    }
}
