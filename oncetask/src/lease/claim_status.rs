//! The store's answers to the renewals of one claim.

use std::collections::BTreeSet;

use crate::store::Renewed;
use crate::task::transition::Phase;

/// The indexes of those tasks of a claim that are cancelled or no longer leased. Usually the sets are empty.
#[derive(Debug, Default)]
pub(super) struct ClaimStatus {
    cancelled: BTreeSet<usize>,
    lost: BTreeSet<usize>,
    /// The subset of the lost tasks that were deleted.
    gone: BTreeSet<usize>,
}

impl ClaimStatus {
    /// Records the store's answer about the task with this index.
    pub(super) fn record(&mut self, index: usize, answer: Renewed, phase: Phase) {
        match (answer, phase) {
            // The cancellation is the reason why a cleanup handler runs, so it does not stop it.
            (Renewed::Held, _) | (Renewed::Cancelled, Phase::Cleanup) => {}
            (Renewed::Cancelled, Phase::Run) => {
                self.cancelled.insert(index);
            }
            (Renewed::Lost, _) => {
                self.lost.insert(index);
            }
            (Renewed::Gone, _) => {
                self.lost.insert(index);
                self.gone.insert(index);
            }
        }
    }

    /// Returns whether the lease of the task with this index is lost.
    pub(super) fn is_lost(&self, index: usize) -> bool {
        self.lost.contains(&index)
    }

    /// Returns the number of tasks whose leases are lost, deleted tasks included.
    pub(super) fn lost(&self) -> usize {
        self.lost.len()
    }

    /// Returns the number of deleted tasks.
    pub(super) fn gone(&self) -> usize {
        self.gone.len()
    }

    /// Returns the number of tasks that the handler no longer needs to work on.
    pub(super) fn stopped(&self) -> usize {
        self.lost.union(&self.cancelled).count()
    }
}
