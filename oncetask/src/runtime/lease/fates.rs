//! What the store said of the tasks of a claim.

use std::collections::BTreeSet;

use crate::store::Renewed;
use crate::task::transition::Phase;

/// The places in a claim of those tasks that are not held as they were. Usually there are none.
#[derive(Debug, Default)]
pub(super) struct Fates {
    cancelled: BTreeSet<usize>,
    lost: BTreeSet<usize>,
    /// Lost, for they were deleted.
    gone: BTreeSet<usize>,
}

impl Fates {
    pub(super) fn note(&mut self, place: usize, renewed: Renewed, phase: Phase) {
        match (renewed, phase) {
            // A cleanup is told nothing of the cancellation that it follows.
            (Renewed::Held, _) | (Renewed::Cancelled, Phase::Cleanup) => {}
            (Renewed::Cancelled, Phase::Run) => {
                self.cancelled.insert(place);
            }
            (Renewed::Lost, _) => {
                self.lost.insert(place);
            }
            (Renewed::Gone, _) => {
                self.lost.insert(place);
                self.gone.insert(place);
            }
        }
    }

    pub(super) fn is_lost(&self, place: usize) -> bool {
        self.lost.contains(&place)
    }

    pub(super) fn lost(&self) -> usize {
        self.lost.len()
    }

    pub(super) fn gone(&self) -> usize {
        self.gone.len()
    }

    /// How many of them the handler need not work on any more.
    pub(super) fn stopped(&self) -> usize {
        self.lost.union(&self.cancelled).count()
    }
}
