//! Counts calls of the allocator, with the feature `count-allocations`.

/// So far, in this process: calls, and the bytes that they asked for. `None` without the feature.
pub(crate) fn so_far() -> Option<(usize, usize)> {
    counted::so_far().into_iter().next()
}

#[cfg(feature = "count-allocations")]
mod counted {
    use std::alloc::System;

    use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

    #[global_allocator]
    static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

    pub(super) fn so_far() -> [(usize, usize); 1] {
        let stats = COUNTED.stats();
        [(stats.allocations + stats.reallocations, stats.bytes_allocated)]
    }
}

#[cfg(not(feature = "count-allocations"))]
mod counted {
    pub(super) fn so_far() -> [(usize, usize); 0] {
        []
    }
}
