//! Others who claim from the same queue.
//!
//! Who is alone takes tasks in the order in which they are due. Several who all did that would want the same
//! few and lose most of their claims to each other. So whoever loses many goes round a ring for a while: every
//! process sees the tasks of the queue's head at the same places of it, by the hash of their names, and walks
//! from a place of its own. Nobody meets another before it has come to where that one began; then it goes on
//! from somewhere else. A resource key's tasks are at one place, so that they stay in their order.

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

/// Whether others were met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    None,
    /// For the first time in a while.
    First,
    Here,
    /// What was read of the queue is likely theirs by now.
    Everywhere,
}

/// What is known of them.
#[derive(Debug)]
pub(super) struct Rivals {
    /// Which part of our claims they were faster with, lately.
    lost: f64,
    met: Option<Instant>,
    /// Where on the ring we are.
    place: u64,
}

impl Default for Rivals {
    fn default() -> Self {
        Self {
            lost: 0.0,
            met: None,
            place: fastrand::u64(..),
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
        self.lost > MET / 4.0 || self.are_about()
    }

    pub(super) fn place(&self) -> u64 {
        self.place
    }

    /// Notes how many of the claims up to this place were lost to them.
    pub(super) fn note(&mut self, chosen: usize, lost: usize, up_to: u64) -> Meeting {
        let [chosen, lost] = [chosen, lost].map(|tasks| u32::try_from(tasks).unwrap_or(u32::MAX));
        let part = f64::from(lost) / f64::from(chosen.max(1));
        let remains = MEMORY.powf(f64::from(chosen));
        self.lost = remains * self.lost + (1.0 - remains) * part;
        if self.lost < MET {
            self.place = up_to.wrapping_add(1);
            return Meeting::None;
        }
        let is_first = !self.are_about();
        self.place = fastrand::u64(..);
        self.met = Some(Instant::now());
        if is_first {
            Meeting::First
        } else if self.lost > MOST {
            self.lost = 0.0;
            Meeting::Everywhere
        } else {
            Meeting::Here
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
        assert_eq!(rivals.note(64, 0, 7), Meeting::None);
        assert_eq!((rivals.place(), rivals.are_about()), (8, false));
        assert!(!rivals.may_be_about());
    }

    #[test]
    fn who_loses_many_goes_on_elsewhere_and_then_reads_anew() {
        let mut rivals = Rivals::default();
        assert_eq!(rivals.note(64, 64, 7), Meeting::First);
        assert!(rivals.are_about());
        assert_ne!(rivals.place(), 8, "all who lost are there");
        assert_eq!(rivals.note(64, 0, u64::MAX), Meeting::None);
        assert_eq!(rivals.place(), 0, "the ring is closed");
        assert_eq!(rivals.note(64, 20, 7), Meeting::Here);
        assert_eq!(rivals.note(64, 60, 7), Meeting::Everywhere);
        assert_eq!(rivals.note(64, 0, 7), Meeting::None);
    }

    #[test]
    fn one_that_is_lost_proves_nothing() {
        let mut rivals = Rivals::default();
        assert_eq!(rivals.note(1, 1, 7), Meeting::None);
        assert!(rivals.may_be_about() && !rivals.are_about());
        let last = (0..10)
            .map(|_| rivals.note(1, 1, 7))
            .find(|met| *met != Meeting::None);
        assert_eq!(last, Some(Meeting::First));
    }
}
