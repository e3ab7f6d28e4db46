//! How long leases have to last at the least, for a store that is slow.
//!
//! A claim whose answer comes when its lease is almost over runs nothing. Where every claim takes as long as that,
//! workers would claim and give back for ever. So a lease lasts [`TIMES`] as long as claims took of late: the answer
//! finds most of it left, and an extension, which is asked for at half of it, may take longer than the claim did.
//! Extensions go by how long those before them took.
//! With a store that answers in time this asks for no longer lease than without it.

use std::time::Duration;

/// How many times the time for a claim a lease is to last.
const TIMES: u32 = 4;

/// What the last claims say of the store.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Stretch(Duration);

impl Stretch {
    /// For a store that was asked for a lease of this length.
    pub(in crate::runtime) fn of(lease: Duration) -> Self {
        Self(lease)
    }

    /// How long a lease is to last at the least.
    pub(in crate::runtime) fn least(&self) -> Duration {
        self.0
    }

    /// A claim, or an extension, whose longest lease was this long took so long.
    ///
    /// A lease grows to its double at the most: a process that was frozen while it claimed takes its sleep for the
    /// store's, and must not hold its next tasks for as long. When answers come sooner again, it shrinks by halves.
    pub(in crate::runtime) fn took(&mut self, took: Duration, lease: Duration) {
        self.0 = took
            .saturating_mul(TIMES)
            .min(lease.saturating_mul(2))
            .max(self.0 / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_secs(5);
    const SLOW: Duration = Duration::from_secs(12);

    /// The leases of some claims in a row, each of which takes so long.
    fn leases(stretch: &mut Stretch, claims: usize, took: Duration) -> Vec<Duration> {
        let claim = |_| {
            let lease = HEARTBEAT.max(stretch.least());
            stretch.took(took, lease);
            lease
        };
        (0..claims).map(claim).collect()
    }

    #[test]
    fn a_store_in_time_is_asked_for_a_heartbeat() {
        let leases = leases(&mut Stretch::default(), 3, HEARTBEAT / TIMES);
        assert_eq!(leases, [HEARTBEAT; 3]);
    }

    #[test]
    fn a_claim_that_takes_longer_than_its_lease_is_given_a_longer_one_soon() {
        let leases = leases(&mut Stretch::default(), 5, SLOW);
        let seconds: Vec<_> = leases.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 48]);
    }

    #[test]
    fn it_is_forgotten_when_answers_come_in_time_again() {
        let mut stretch = Stretch::default();
        leases(&mut stretch, 5, SLOW);
        let leases = leases(&mut stretch, 5, Duration::from_millis(1));
        let seconds: Vec<_> = leases.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [48, 24, 12, 6, 5]);
    }

    #[test]
    fn a_freeze_during_a_claim_costs_two_heartbeats_at_the_most() {
        let mut stretch = Stretch::default();
        leases(&mut stretch, 1, Duration::from_hours(1));
        assert_eq!(stretch.least(), 2 * HEARTBEAT);
    }
}
