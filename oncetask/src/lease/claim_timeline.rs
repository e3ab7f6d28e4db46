//! The changing part of an active claim: the instants of its next events, as a function of the time.

use std::time::Duration;

use tokio::time::Instant;

use super::LeaseTerms;
use super::adaptive::MinLease;
use super::claim_status::ClaimStatus;
use crate::store::Renewal;
use crate::task::Progress;

/// The maximum time between the stop signal to a handler and the end of its stored lease.
const MAX_MARGIN: Duration = Duration::from_secs(5);
/// The minimum time between two writes of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// The delay of the first write of progress. A handler that ends sooner has its progress stored with its
/// verdict.
const FIRST_PROGRESS_DELAY: Duration = Duration::from_millis(100);
/// The maximum delay before a failed renewal is repeated.
const MAX_RETRY_DELAY: Duration = Duration::from_millis(250);

/// The instants at which a claim needs attention, its progress, and the store's answers about it.
#[derive(Debug)]
pub(super) struct ClaimTimeline {
    /// The deadline under which the claim is registered; `None` if it is not registered.
    pub(super) registered: Option<Instant>,
    pub(super) status: ClaimStatus,
    /// The instant at which the attempt reaches the handler's own limit. The lease is never extended beyond
    /// it.
    limit: Instant,
    /// The length of a stored lease, unless the store is slow.
    heartbeat: Duration,
    /// The instant at which the stored lease expires.
    lease_end: Instant,
    /// The time between the stop signal and `lease_end`.
    margin: Duration,
    /// The instant of the next extension; `None` if no extension is needed or one is in flight.
    extend_at: Option<Instant>,
    in_flight: Option<Extension>,
    min_lease: MinLease,
    /// The instant at which the store is asked whether the claim is still active.
    check_at: Option<Instant>,
    progress: Option<Progress>,
    progress_at: Option<Instant>,
    progress_stored: Option<Instant>,
}

/// An extension that was sent and not yet answered. There is one at a time.
#[derive(Clone, Copy, Debug)]
struct Extension {
    /// The length of the lease, from the instant at which the extension was sent.
    length: Duration,
    /// The length without regard to the attempt's limit.
    period: Duration,
}

/// The content of the renewals that are due.
#[derive(Debug)]
pub(super) struct DueRenewal {
    /// The new length of the lease; `None` leaves the lease as it is.
    pub(super) length: Option<Duration>,
    pub(super) progress: Option<Progress>,
}

impl ClaimTimeline {
    /// Returns the state of a claim whose request was sent at `sent`.
    pub(super) fn new(sent: Instant, terms: LeaseTerms) -> Self {
        let [heartbeat, claimed] = [terms.heartbeat, terms.claimed].map(|length| length.min(terms.limit));
        let (lease_end, limit) = (sent + claimed, sent + terms.limit);
        Self {
            registered: None,
            status: ClaimStatus::default(),
            limit,
            heartbeat,
            lease_end,
            margin: margin(claimed),
            extend_at: (lease_end < limit).then(|| sent + claimed / 2),
            in_flight: None,
            min_lease: MinLease::starting_at(claimed),
            check_at: None,
            progress: None,
            progress_at: None,
            progress_stored: None,
        }
    }

    /// Returns the instant at which the handler is told to stop.
    pub(super) fn stop_at(&self) -> Instant {
        self.lease_end - self.margin
    }

    /// Returns the instant at which the handler is dropped.
    pub(super) fn drop_at(&self) -> Instant {
        self.lease_end - self.margin / 2
    }

    /// Returns whether the attempt has used all of the time that its handler allows.
    pub(super) fn reached_limit(&self) -> bool {
        self.lease_end >= self.limit
    }

    /// Returns the instant at which the claim needs attention next.
    pub(super) fn next_deadline(&self, is_stopped: bool) -> Instant {
        let limit = if is_stopped {
            self.drop_at()
        } else {
            self.stop_at()
        };
        [self.extend_at, self.check_at, self.progress_at]
            .into_iter()
            .flatten()
            .fold(limit, Instant::min)
    }

    /// Plans to ask the store whether the claim is still active.
    pub(super) fn check_at(&mut self, at: Instant) {
        self.check_at = Some(at);
    }

    /// Sets the progress and plans to store it.
    pub(super) fn set_progress(&mut self, progress: Progress) {
        self.progress = Some(progress);
        let earliest = self.progress_stored.map_or_else(
            || Instant::now() + FIRST_PROGRESS_DELAY,
            |stored| stored + PROGRESS_INTERVAL,
        );
        self.progress_at.get_or_insert(earliest);
    }

    /// Takes the last progress, which is stored with the verdict and no longer with a renewal.
    pub(super) fn take_progress(&mut self) -> Option<Progress> {
        self.progress_at = None;
        self.progress.take()
    }

    /// Takes the renewal that is due; `None` if none is. The renewal may be empty: it then only asks whether
    /// the claim is still active.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<DueRenewal> {
        let extend = self.extend_at.take_if(|at| *at <= now).is_some();
        let report = self.progress_at.take_if(|at| *at <= now).is_some();
        let check = self.check_at.take_if(|at| *at <= now).is_some();
        if !extend && !report && !check {
            return None;
        }
        if extend {
            let period = self.heartbeat.max(self.min_lease.get());
            let length = period.min(self.limit.saturating_duration_since(now));
            self.in_flight = Some(Extension { length, period });
        }
        if report {
            self.progress_stored = Some(now);
        }
        Some(DueRenewal {
            length: self
                .in_flight
                .filter(|_| extend)
                .map(|extension| extension.length),
            progress: self.progress.clone().filter(|_| report),
        })
    }

    /// Records that the store granted the extension that was sent at `sent`. Each task of a group reports the
    /// same extension; only the first report counts.
    pub(super) fn record_extension(&mut self, sent: Instant) {
        let Some(Extension { length, period }) = self.in_flight.take() else {
            return;
        };
        self.min_lease.record(sent.elapsed(), period);
        self.lease_end = sent + length;
        self.margin = margin(period);
        self.extend_at = (self.lease_end < self.limit).then(|| sent + period / 2);
    }

    /// Plans to repeat a renewal that failed.
    pub(super) fn retry(&mut self, failed: &Renewal) {
        let soon = Instant::now() + MAX_RETRY_DELAY.min(self.heartbeat / 10);
        if failed.until.is_some() && self.lease_end < self.limit {
            self.extend_at = Some(soon);
        }
        if failed.progress.is_some() && self.progress.is_some() {
            self.progress_at.get_or_insert(soon);
        }
        if failed.until.is_none() && failed.progress.is_none() {
            self.check_at.get_or_insert(soon);
        }
    }

    /// Lets the lease end at most one margin from now, without another extension.
    pub(super) fn end_soon(&mut self) {
        self.lease_end = self.lease_end.min(Instant::now() + self.margin);
        self.extend_at = None;
    }
}

/// Returns the margin of a lease of this length.
fn margin(length: Duration) -> Duration {
    (length / 10).min(MAX_MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::transition::Phase;

    const SECOND: Duration = Duration::from_secs(1);

    fn state(heartbeat: Duration, claimed: Duration) -> (ClaimTimeline, Instant) {
        let sent = Instant::now();
        let terms = LeaseTerms {
            phase: Phase::Run,
            limit: 600 * SECOND,
            heartbeat,
            claimed,
        };
        (ClaimTimeline::new(sent, terms), sent)
    }

    /// Returns the seconds for which the lease is extended at this instant.
    fn extension(state: &mut ClaimTimeline, now: Instant) -> Option<u64> {
        let length = state.take_due(now)?.length?;
        Some(length.as_secs())
    }

    #[test]
    fn a_long_lease_of_a_slow_store_shrinks_when_the_store_answers_in_time() {
        let (mut state, sent) = state(5 * SECOND, 40 * SECOND);
        let mut now = sent;
        for (after, length) in [(20, 40), (20, 20), (10, 10), (5, 5), (3, 5)] {
            now += after * SECOND;
            assert_eq!(extension(&mut state, now), Some(length));
            // Each task of a group reports the extension.
            state.record_extension(now);
            state.record_extension(now);
            assert_eq!(state.lease_end, now + Duration::from_secs(length));
        }
    }

    #[test]
    fn at_most_one_extension_is_in_flight() {
        let (mut state, sent) = state(5 * SECOND, 5 * SECOND);
        assert_eq!(extension(&mut state, sent + 2 * SECOND), None);
        assert_eq!(extension(&mut state, sent + 3 * SECOND), Some(5));
        assert_eq!(extension(&mut state, sent + 4 * SECOND), None);
    }
}
