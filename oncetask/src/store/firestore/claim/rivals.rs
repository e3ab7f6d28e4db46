//! Others who claim from the same queue.
//!
//! Who is alone takes tasks in the order in which they are due. Several who all did that would demand the same
//! few and lose most of their claims to each other. So whoever loses many goes round a ring for a while: every
//! process sees the tasks of the queue's head at the same places of it, by the hash of their names, and walks
//! from a place of its own. Nobody meets another before it has come to where that one began; then it goes on
//! from somewhere else. A resource key's tasks are at one place, so that they stay in their order.
//!
//! Who even so loses more of what it read than it wins does not read more at once: others work the queue off
//! faster than it can read it, and one that reads for nothing costs them time, and money. It leaves the queue to
//! them, looks again after a moment at a few tasks only, and stays away for longer each time that this is in vain.
//! It never does so for the sake of a few tasks, and those who win go on. So does whoever won where it began, even
//! if it loses more afterwards: of those who began at the same place one did, or some did, unless many shared it evenly.
//! So they hardly ever all leave at once.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use crate::store::firestore::codec::Stored;

/// For how long others are taken to be at work after they were last met.
const AROUND: Duration = Duration::from_secs(5);
/// From which part of lost claims on we have come to where somebody else is.
const MET: f64 = 0.25;
/// From which part on most of what was read is theirs by now.
const MOST: f64 = 0.5;
/// How much of what is known of the claims before remains after one more.
const MEMORY: f64 = 0.9;
/// Who wins one in so many of its first claim leads: of four who share it evenly all do.
const LEADS: usize = 4;
/// How many claims must be lost before the queue is left to others.
const MANY: usize = 16;
/// For how long it is left to them: at first, and at the most.
const AWAY: (Duration, Duration) = (Duration::from_millis(400), Duration::from_secs(2));
/// How many times as long as a look takes it is left to them at least: looks that find little cost them time.
const LOOKS: u32 = 10;
/// How many times as many tasks are read when others compete for them, and how many at least: not all shall demand the
/// head of the queue, and what one process reads others take while it claims, so that small windows are soon of no use.
const CONTENDED: usize = 16;
const LEAST_CONTENDED: usize = 256;
/// How many are read, for each that there is room for, by who comes back to see whether the others are still faster.
const PROBE: usize = 2;

/// What is known of those who claim from one queue.
#[derive(Debug)]
pub(super) struct Rivals {
    /// Which part of our claims they were faster with, lately.
    share: f64,
    met: Option<Instant>,
    /// Where on the ring we are.
    place: u64,
    /// What became of the claims of what was read last.
    won: usize,
    lost: usize,
    /// Whether enough of its first claim was won.
    leads: bool,
    /// What it took to read that.
    took: Duration,
    /// How often in a row the queue was left to them, and until when.
    retreats: u32,
    away: Option<Instant>,
}

impl Default for Rivals {
    fn default() -> Self {
        Self {
            share: 0.0,
            met: None,
            place: fastrand::u64(..),
            won: 0,
            lost: 0,
            leads: false,
            took: Duration::ZERO,
            retreats: 0,
            away: None,
        }
    }
}

impl Rivals {
    /// Whether to keep out of their way.
    pub(super) fn are_about(&self) -> bool {
        self.met.is_some_and(|met| met.elapsed() < AROUND)
    }

    /// Whether any were noticed lately.
    pub(super) fn may_be_about(&self) -> bool {
        self.share > MET / 4.0 || self.are_about()
    }

    /// Whether to read what follows before what was read is used up: when we are about to use it up ourselves, or when
    /// the others do that, who will have left the rest to us by then.
    pub(super) fn read_ahead(&self, is_short: bool) -> bool {
        match self.lost {
            0 => is_short,
            lost => self.leads && (is_short || lost >= MANY),
        }
    }

    pub(super) fn place(&self) -> u64 {
        self.place
    }

    /// Notes how long it took to read a part of the queue.
    pub(super) fn look_took(&mut self, took: Duration) {
        self.took = took;
    }

    /// Notes how many of the claims up to this place were lost to them. Returns whether what was read of the queue is
    /// likely theirs by now.
    pub(super) fn note(&mut self, chosen: usize, lost: usize, up_to: u64) -> bool {
        if self.won + self.lost == 0 {
            self.leads = LEADS * chosen.saturating_sub(lost) >= chosen;
        }
        self.won += chosen.saturating_sub(lost);
        self.lost += lost;
        let [chosen, lost] = [chosen, lost].map(|tasks| u32::try_from(tasks).unwrap_or(u32::MAX));
        let part = f64::from(lost) / f64::from(chosen.max(1));
        let remains = MEMORY.powf(f64::from(chosen));
        self.share = remains * self.share + (1.0 - remains) * part;
        if lost == 0 || self.share < MET {
            self.place = up_to.wrapping_add(1);
            return false;
        }
        // Met for the first time, they are at the head only.
        let is_stale = self.are_about() && self.share > MOST;
        self.place = fastrand::u64(..);
        self.met = Some(Instant::now());
        if is_stale {
            self.share = 0.0;
        }
        is_stale
    }

    /// What was read is used up. Returns for how long to leave the queue to them before more is read, if at all.
    pub(super) fn leave(&mut self) -> Option<Duration> {
        let won = std::mem::take(&mut self.won);
        let lost = std::mem::take(&mut self.lost);
        if lost >= MANY && lost > won && !self.leads {
            let (first, longest) = AWAY;
            let away = first
                .max(self.took.saturating_mul(LOOKS))
                .saturating_mul(2_u32.saturating_pow(self.retreats))
                .min(longest);
            self.retreats += 1;
            // Not in step with whoever else leaves it.
            self.away = Some(Instant::now() + away.mul_f64(0.5 + fastrand::f64()));
        } else if won + lost > 0 {
            self.retreats = 0;
        }
        self.away()
    }

    /// For how long the queue is still left to them.
    pub(super) fn away(&self) -> Option<Duration> {
        let left = self.away?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// How many tasks to read with this much room, where one who is alone would read so many.
    pub(super) fn read(&self, alone: usize, room: usize) -> usize {
        if self.retreats > 0 {
            alone.min(PROBE * (room + 1))
        } else if self.are_about() {
            (CONTENDED * alone).max(LEAST_CONTENDED)
        } else {
            alone
        }
    }
}

/// The place of a task on the ring.
pub(super) fn place_of(stored: &Stored) -> u64 {
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
    fn who_loses_nothing_walks_on_and_keeps_the_order() {
        let mut rivals = Rivals::default();
        assert!(!rivals.note(64, 0, 7));
        assert_eq!((rivals.place(), rivals.are_about()), (8, false));
        assert!(!rivals.may_be_about());
        assert_eq!(rivals.leave(), None);
        assert_eq!(rivals.read(260, 64), 260);
    }

    #[test]
    fn who_loses_many_goes_on_elsewhere_and_then_reads_anew() {
        let mut rivals = Rivals::default();
        assert!(!rivals.note(64, 64, 7), "they are met for the first time");
        assert!(rivals.are_about());
        assert_ne!(rivals.place(), 8, "all who lost are there");
        assert_eq!(rivals.read(65, 64), 1040);
        assert!(!rivals.note(64, 0, u64::MAX));
        assert_eq!(rivals.place(), 0, "the ring is closed");
        assert!(!rivals.note(64, 20, 7));
        assert!(rivals.note(64, 60, 7));
        assert!(!rivals.note(64, 0, 7));
    }

    #[test]
    fn who_loses_more_than_it_wins_stays_away_and_longer_each_time() {
        let mut rivals = Rivals::default();
        let (first, longest) = AWAY;
        let mut least = first;
        for _ in 0..8 {
            rivals.note(64, 60, 7);
            let away = rivals.leave().expect("it lost more than it won");
            assert!(
                away > least.mul_f64(0.4) && away < longest.mul_f64(1.5),
                "{away:?}"
            );
            assert_eq!(rivals.read(1024, 64), 130, "a few, to see");
            least = (2 * least).min(longest);
        }
        rivals.away = None;
        rivals.retreats = 0;
        rivals.look_took(longest / LOOKS);
        rivals.note(64, 60, 7);
        assert!(rivals.leave().is_some_and(|away| away > longest.mul_f64(0.4)));
        rivals.away = None;
        rivals.note(64, 10, 7);
        assert_eq!(rivals.leave(), None);
        assert_eq!(rivals.read(1024, 64), 16384, "it wins again");
    }

    #[test]
    fn who_wins_more_than_it_loses_stays() {
        let mut rivals = Rivals::default();
        rivals.note(64, 64, 7);
        rivals.note(64, 0, 7);
        rivals.note(64, 0, 7);
        assert_eq!(rivals.leave(), None);
    }

    #[test]
    fn who_won_where_it_began_stays() {
        let mut rivals = Rivals::default();
        rivals.note(64, 48, 7);
        rivals.note(64, 64, 7);
        assert!(rivals.read_ahead(false), "others use up what was read");
        assert_eq!(rivals.leave(), None);
        rivals.note(64, 49, 7);
        assert!(!rivals.read_ahead(true), "they use up what follows too");
        rivals.note(64, 64, 7);
        assert!(rivals.leave().is_some());
    }

    #[test]
    fn nobody_stays_away_for_the_sake_of_a_few_tasks() {
        let mut rivals = Rivals::default();
        for _ in 0..100 {
            rivals.note(1, 1, 7);
            assert_eq!(rivals.leave(), None);
        }
        assert!(rivals.are_about());
    }

    #[test]
    fn one_that_is_lost_proves_nothing() {
        let mut rivals = Rivals::default();
        rivals.note(1, 1, 7);
        assert!(rivals.may_be_about() && !rivals.are_about());
        assert!((0..10).any(|_| {
            rivals.note(1, 1, 7);
            rivals.are_about()
        }));
    }
}
