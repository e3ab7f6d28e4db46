//! The settings that the operations of a store depend on.

use std::time::Duration;

/// The settings of a store.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The name of the collection that holds the tasks.
    pub(super) collection: String,
    /// True if documents are named as the Go library names them.
    pub(super) shared_ids: bool,
    /// True if the store listens for the changes of other processes.
    pub(super) listen: bool,
    /// The interval between two polls of the queue.
    pub(super) poll_every: Duration,
    pub(super) key_claims: KeyClaims,
}

/// The way in which tasks with resource keys are claimed. Every way but the first is for tests.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyClaims {
    /// Claims the first due task of a key, then verifies that no other worker owns the key.
    #[default]
    Normal,
    /// Claims any due task of a key, then verifies. Workers that claim at random contend more often.
    AtRandom,
    /// Reads first whether a key is free, then claims any due task of it without verifying. Two workers may then
    /// own one key. A test of resource keys must detect that.
    Unverified,
}
