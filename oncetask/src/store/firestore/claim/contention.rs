//! Contention: how processes that claim from the same queue keep out of each other's way.
//!
//! # Different positions
//!
//! A process that is alone claims tasks in the order of the queue. If several processes all did that, they would
//! try to claim the same few tasks, and most of their writes would be refused. So a process that loses many claims
//! claims in *ring order* for a while. Each task has a position on a ring, the hash of its document's name, which
//! is the same in every process. Each process starts at a random position and proceeds along the ring. It loses no
//! claims until it reaches the start of another process; then it continues from a new random position. All tasks
//! of a resource key share one position, so they stay in their order.
//!
//! # Back-off
//!
//! Even so, a process may lose more tasks of a page than it wins. The other processes then work off the queue
//! faster than it can read it: its reads cost money and slow the others down. It backs off, then reads a few tasks
//! to probe, and backs off for longer each time that it still loses.
//!
//! A process that won a fixed part of its first claim of a page *leads*. It does not back off, even if it loses
//! more afterwards. Of the processes that started at the same position, at least one leads unless many of them
//! shared the claim evenly. So all of them hardly ever back off at once. The loss of a few tasks never causes a
//! back-off.
//!
//! # Why this is safe
//!
//! Both decide only which tasks a process tries to claim, and when. If the faster processes stop, the queue waits
//! until the others return from their back-off: at most 1.5 times [`MAX_BACK_OFF`].

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use crate::store::firestore::codec::Stored;

/// The time after the last noticed contention during which other processes count as active.
const ACTIVE_FOR: Duration = Duration::from_secs(5);
/// The minimum loss rate at which another process is assumed to claim from the same position.
const CONTENDED_LOSS_RATE: f64 = 0.25;
/// The loss rate above which the rest of a window counts as claimed by other processes.
const STALE_LOSS_RATE: f64 = 0.5;
/// The weight that the earlier loss rate keeps after one more claim.
const DECAY: f64 = 0.9;
/// A process leads if it wins at least 1/`LEADERS` of its first claim of a page. With 4, four processes that
/// split a queue evenly all lead.
const LEADERS: usize = 4;
/// The minimum number of lost claims after which a process may back off.
const MIN_LOSSES: usize = 16;
/// The length of the first back-off, before it is randomized.
const FIRST_BACK_OFF: Duration = Duration::from_millis(400);
/// The maximum length of a back-off, before it is randomized.
const MAX_BACK_OFF: Duration = Duration::from_secs(2);
/// The minimum length of a back-off, as a multiple of the duration of a read. It bounds the time that the reads of
/// a slow process cost the others.
const BACK_OFF_PER_READ: u32 = 10;
/// The page size under contention, as a multiple of the usual one. With larger pages fewer processes compete for
/// the same tasks, and a page is still useful after other processes have claimed part of it.
const CONTENDED_PAGE_FACTOR: usize = 16;
/// The minimum page size under contention, in tasks.
const MIN_CONTENDED_PAGE: usize = 256;
/// The number of tasks that a probe after a back-off reads for each free slot.
const PROBE_PER_SLOT: usize = 2;

/// The contention that this process has noticed on one queue.
#[derive(Debug)]
pub(super) struct Contention {
    /// The fraction of recent claims that were lost: a moving average.
    loss_rate: f64,
    last_noticed: Option<Instant>,
    /// The position on the ring from which to claim next.
    ring_position: u64,
    /// The number of claims of the current page that were won.
    won: usize,
    /// The number of claims of the current page that were lost.
    lost: usize,
    /// True if this process won enough of its first claim of the current page.
    leads: bool,
    /// The duration of the last read.
    read_duration: Duration,
    /// The number of back-offs in a row.
    back_offs: u32,
    back_off_until: Option<Instant>,
}

impl Default for Contention {
    fn default() -> Self {
        Self {
            loss_rate: 0.0,
            last_noticed: None,
            ring_position: fastrand::u64(..),
            won: 0,
            lost: 0,
            leads: false,
            read_duration: Duration::ZERO,
            back_offs: 0,
            back_off_until: None,
        }
    }
}

impl Contention {
    /// Returns whether other processes claim from the queue, so that this one should claim in ring order.
    pub(super) fn is_active(&self) -> bool {
        self.last_noticed
            .is_some_and(|noticed| noticed.elapsed() < ACTIVE_FOR)
    }

    /// Returns whether other processes may claim from the queue.
    pub(super) fn is_suspected(&self) -> bool {
        self.loss_rate > CONTENDED_LOSS_RATE / 4.0 || self.is_active()
    }

    /// Returns whether to read the next page before the window is used up. A process that loses no claims does so
    /// when its window runs short. Of those that lose claims only a leader does: when its window runs short, or
    /// when other processes use it up, because those will have backed off by then.
    pub(super) fn should_read_ahead(&self, is_short: bool) -> bool {
        match self.lost {
            0 => is_short,
            lost => self.leads && (is_short || lost >= MIN_LOSSES),
        }
    }

    pub(super) fn ring_position(&self) -> u64 {
        self.ring_position
    }

    pub(super) fn record_read(&mut self, duration: Duration) {
        self.read_duration = duration;
    }

    /// Records the result of a round of claims that ended at the ring position `last`. Returns whether the rest of
    /// the window was probably claimed by other processes.
    pub(super) fn record_round(&mut self, tried: usize, lost: usize, last: u64) -> bool {
        let won = tried.saturating_sub(lost);
        if self.won + self.lost == 0 {
            self.leads = LEADERS * won >= tried;
        }
        self.won += won;
        self.lost += lost;
        let [tried, lost] = [tried, lost].map(|tasks| u32::try_from(tasks).unwrap_or(u32::MAX));
        let rate = f64::from(lost) / f64::from(tried.max(1));
        let weight = DECAY.powf(f64::from(tried));
        self.loss_rate = weight * self.loss_rate + (1.0 - weight) * rate;
        if lost == 0 || self.loss_rate < CONTENDED_LOSS_RATE {
            self.ring_position = last.wrapping_add(1);
            return false;
        }
        // The first contention only shows that other processes claim from the head of the queue.
        let is_stale = self.is_active() && self.loss_rate > STALE_LOSS_RATE;
        self.ring_position = fastrand::u64(..);
        self.last_noticed = Some(Instant::now());
        if is_stale {
            self.loss_rate = 0.0;
        }
        is_stale
    }

    /// Ends the current page. Returns the remaining time for which the process backs off, if it does.
    pub(super) fn end_page(&mut self) -> Option<Duration> {
        let won = std::mem::take(&mut self.won);
        let lost = std::mem::take(&mut self.lost);
        if lost >= MIN_LOSSES && lost > won && !self.leads {
            let back_off = FIRST_BACK_OFF
                .max(self.read_duration.saturating_mul(BACK_OFF_PER_READ))
                .saturating_mul(2_u32.saturating_pow(self.back_offs))
                .min(MAX_BACK_OFF);
            self.back_offs += 1;
            // Random, so that processes that back off together do not return together.
            self.back_off_until = Some(Instant::now() + back_off.mul_f64(0.5 + fastrand::f64()));
        } else if won + lost > 0 {
            self.back_offs = 0;
        }
        self.back_off()
    }

    /// Returns the remaining time of the current back-off, if there is one.
    pub(super) fn back_off(&self) -> Option<Duration> {
        let left = self.back_off_until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Returns the number of tasks to read for this many free slots, given the page size without contention.
    pub(super) fn page_size(&self, usual: usize, slots: usize) -> usize {
        if self.back_offs > 0 {
            usual.min(PROBE_PER_SLOT * (slots + 1))
        } else if self.is_active() {
            (CONTENDED_PAGE_FACTOR * usual).max(MIN_CONTENDED_PAGE)
        } else {
            usual
        }
    }
}

/// Returns the position of a task on the ring.
pub(super) fn ring_position(stored: &Stored) -> u64 {
    let task = &stored.task;
    let mut hasher = DefaultHasher::new();
    match task.spec.held_key() {
        Some(key) => (task.kind(), key).hash(&mut hasher),
        None => stored.name.hash(&mut hasher),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_losses_the_order_of_the_queue_is_kept() {
        let mut contention = Contention::default();
        assert!(!contention.record_round(64, 0, 7));
        assert_eq!((contention.ring_position(), contention.is_active()), (8, false));
        assert!(!contention.is_suspected());
        assert_eq!(contention.end_page(), None);
        assert_eq!(contention.page_size(260, 64), 260);
    }

    #[test]
    fn many_losses_change_the_position_and_then_make_the_window_stale() {
        let mut contention = Contention::default();
        assert!(
            !contention.record_round(64, 64, 7),
            "the first contention is at the head only"
        );
        assert!(contention.is_active());
        assert_ne!(
            contention.ring_position(),
            8,
            "the other processes continue at 8 too"
        );
        assert_eq!(contention.page_size(65, 64), 1040);
        assert!(!contention.record_round(64, 0, u64::MAX));
        assert_eq!(contention.ring_position(), 0, "the position wraps around");
        assert!(!contention.record_round(64, 20, 7));
        assert!(contention.record_round(64, 60, 7));
        assert!(!contention.record_round(64, 0, 7));
    }

    #[test]
    fn losing_more_than_winning_backs_off_for_longer_each_time() {
        let mut contention = Contention::default();
        let mut least = FIRST_BACK_OFF;
        for _ in 0..8 {
            contention.record_round(64, 60, 7);
            let back_off = contention.end_page().expect("more was lost than won");
            assert!(
                back_off > least.mul_f64(0.4) && back_off < MAX_BACK_OFF.mul_f64(1.5),
                "{back_off:?}"
            );
            assert_eq!(contention.page_size(1024, 64), 130, "a small probe");
            least = (2 * least).min(MAX_BACK_OFF);
        }
        contention.back_off_until = None;
        contention.back_offs = 0;
        contention.record_read(MAX_BACK_OFF / BACK_OFF_PER_READ);
        contention.record_round(64, 60, 7);
        assert!(
            contention
                .end_page()
                .is_some_and(|back_off| back_off > MAX_BACK_OFF.mul_f64(0.4)),
            "slow reads back off for longer"
        );
        contention.back_off_until = None;
        contention.record_round(64, 10, 7);
        assert_eq!(contention.end_page(), None);
        assert_eq!(contention.page_size(1024, 64), 16384, "it wins again");
    }

    #[test]
    fn winning_more_than_losing_does_not_back_off() {
        let mut contention = Contention::default();
        contention.record_round(64, 64, 7);
        contention.record_round(64, 0, 7);
        contention.record_round(64, 0, 7);
        assert_eq!(contention.end_page(), None);
    }

    #[test]
    fn a_process_that_won_a_quarter_of_its_first_claim_does_not_back_off() {
        let mut contention = Contention::default();
        contention.record_round(64, 48, 7);
        contention.record_round(64, 64, 7);
        assert!(
            contention.should_read_ahead(false),
            "other processes use up the window"
        );
        assert_eq!(contention.end_page(), None);
        contention.record_round(64, 49, 7);
        assert!(
            !contention.should_read_ahead(true),
            "other processes will use up the next page too"
        );
        contention.record_round(64, 64, 7);
        assert!(contention.end_page().is_some());
    }

    #[test]
    fn the_loss_of_a_few_tasks_never_backs_off() {
        let mut contention = Contention::default();
        for _ in 0..100 {
            contention.record_round(1, 1, 7);
            assert_eq!(contention.end_page(), None);
        }
        assert!(contention.is_active());
    }

    #[test]
    fn one_lost_claim_is_a_suspicion_only() {
        let mut contention = Contention::default();
        contention.record_round(1, 1, 7);
        assert!(contention.is_suspected() && !contention.is_active());
        assert!((0..10).any(|_| {
            contention.record_round(1, 1, 7);
            contention.is_active()
        }));
    }
}
