//! The minimum length of a lease, adapted to a slow store.
//!
//! If the answer to a claim arrives when its lease has almost expired, the worker cannot run the task. If
//! every claim took that long, workers would claim and release tasks forever. So a lease lasts at least
//! [`FACTOR`] times as long as the last claim took. Most of the lease then remains when the answer
//! arrives, and an extension, which is sent at half of the lease, may take longer than the claim did. The
//! length of an extension follows from the durations of the extensions before it.
//!
//! A store that answers in time is never asked for a longer lease.

use std::time::Duration;

/// The minimum ratio of a lease to the duration of the last claim.
const FACTOR: u32 = 4;

/// The minimum length of a lease, which follows from the durations of the last claims.
#[derive(Debug, Default)]
pub(crate) struct MinLease(Duration);

impl MinLease {
    /// Returns the minimum of a store that was asked for a lease of this length.
    pub(crate) fn starting_at(lease: Duration) -> Self {
        Self(lease)
    }

    /// Returns the minimum.
    pub(crate) fn get(&self) -> Duration {
        self.0
    }

    /// Records the duration of a claim or an extension, and the longest lease that it asked for.
    ///
    /// The minimum grows to at most twice the lease. A process that was frozen during a claim cannot tell the
    /// freeze from a slow store, and should not lease its next tasks for as long as it was frozen. When
    /// answers arrive sooner again, the minimum at most halves with each of them.
    pub(crate) fn record(&mut self, took: Duration, lease: Duration) {
        self.0 = took
            .saturating_mul(FACTOR)
            .min(lease.saturating_mul(2))
            .max(self.0 / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_secs(5);
    const SLOW: Duration = Duration::from_secs(12);

    /// Returns the leases of consecutive claims that take this long each.
    fn leases(min_lease: &mut MinLease, claims: usize, took: Duration) -> Vec<Duration> {
        let claim = |_| {
            let lease = HEARTBEAT.max(min_lease.get());
            min_lease.record(took, lease);
            lease
        };
        (0..claims).map(claim).collect()
    }

    #[test]
    fn a_store_that_answers_in_time_is_asked_for_one_heartbeat() {
        let leases = leases(&mut MinLease::default(), 3, HEARTBEAT / FACTOR);
        assert_eq!(leases, [HEARTBEAT; 3]);
    }

    #[test]
    fn the_lease_grows_until_it_is_longer_than_a_slow_claim() {
        let leases = leases(&mut MinLease::default(), 5, SLOW);
        let seconds: Vec<_> = leases.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 48]);
    }

    #[test]
    fn the_lease_shrinks_when_the_store_answers_in_time_again() {
        let mut min_lease = MinLease::default();
        leases(&mut min_lease, 5, SLOW);
        let leases = leases(&mut min_lease, 5, Duration::from_millis(1));
        let seconds: Vec<_> = leases.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [48, 24, 12, 6, 5]);
    }

    #[test]
    fn a_freeze_during_a_claim_at_most_doubles_the_lease() {
        let mut min_lease = MinLease::default();
        leases(&mut min_lease, 1, Duration::from_hours(1));
        assert_eq!(min_lease.get(), 2 * HEARTBEAT);
    }
}
