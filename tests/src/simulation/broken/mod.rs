//! Variants of the library with one guard removed. The simulation must detect each of them.

mod store;

use std::sync::Arc;

use oncetask::store::{MemoryStore, Store};

use self::store::BrokenStore;

macro_rules! broken {
    ($($(#[$doc:meta])+ $variant:ident $name:literal breaks $invariant:literal),+ $(,)?) => {
        /// A missing guard. It is chosen at run time.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Broken {
            $($(#[$doc])+ $variant,)+
        }

        impl Broken {
            /// Every variant.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Returns the name on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Returns the invariant that the guard protects. Others may be violated too.
            #[must_use]
            pub const fn breaks(self) -> &'static str {
                match self {
                    $(Self::$variant => $invariant,)+
                }
            }
        }
    };
}

broken! {
    /// A finish is accepted with any token.
    CompletionWithoutToken "completion-without-token" breaks "only the active claim of a task writes to it",
    /// A finish that arrives twice is not recognised and ends the claim that is active by then.
    RetryNotRecognised "retry-not-recognised" breaks "a claim ends once",
    /// An expired lease is extended.
    RenewalAfterExpiry "renewal-after-expiry" breaks "an expired lease is never extended",
    /// A renewal that arrives late shortens the lease.
    StaleRenewalShortens "stale-renewal-shortens" breaks "a lease is never shortened",
    /// A renewal without a reply is assumed to have succeeded.
    RenewalAssumed "renewal-assumed" breaks "no handler outlives its stored lease",
    /// Two claims at nearly the same time both get the task.
    ClaimWithoutPrecondition "claim-without-precondition" breaks "no task is claimed before it is due",
    /// The check that a resource key is free is made before the write, and may be outdated by then.
    KeyCheckOutsideTheWrite "key-check-outside-the-write" breaks "no two claims of a resource key overlap",
    /// Only the first task of a group is leased.
    GroupLeasesOnlyItsFirst "group-leases-only-its-first" breaks "every response matches the stored task",
    /// Occurrences are created with random ids before the generator's advance is accepted.
    RandomOccurrenceIds "random-occurrence-ids" breaks "occurrences follow the rule",
    /// An advance and its occurrences are two writes, and a crash happens between them.
    AdvanceInTwoWrites "advance-in-two-writes" breaks "occurrences follow the rule",
    /// A create that arrives twice overwrites the task that the first one stored.
    CreateOverwrites "create-overwrites" breaks "each id is created once",
    /// A create is acknowledged before it is stored.
    AcknowledgedTooEarly "acknowledged-too-early" breaks "no acknowledged task is lost",
    /// The worker counts its lease from the reply instead of the request.
    LeaseFromTheReply "lease-from-the-reply" breaks "no handler outlives its stored lease",
    /// The handler continues after its lease has expired.
    HandlerNotDropped "handler-not-dropped" breaks "handlers of one task or key never overlap",
    /// A cancelled task is due for its cleanup while its handler runs.
    CleanupDuringTheHandler "cleanup-during-the-handler" breaks "handlers of one task or key never overlap",
    /// A cancelled task ends without its cleanup.
    CleanupSkipped "cleanup-skipped" breaks "a cancelled task is cleaned up",
    /// A cancelled task is claimed for its handler.
    CancelledRunsAgain "cancelled-runs-again" breaks "a cancelled task does not run again",
    /// A claim from before a reset is still active after it.
    ResetKeepsTheLease "reset-keeps-the-lease" breaks "a claim ends once",
    /// An orphaned attempt is not counted.
    OrphanNotCounted "orphan-not-counted" breaks "attempts and errors add up",
    /// Two clocks differ by up to a whole margin of the leases, twice the allowed difference.
    ClocksTooFarApart "clocks-too-far-apart" breaks "handlers of one task or key never overlap",
    /// The store does not return the due time of the next task.
    NextDueMissing "next-due-missing" breaks "every task ends once the faults stop",
    /// No wake-up is delivered.
    WakeUpsLost "wake-ups-lost" breaks "every task ends once the faults stop",
}

impl Broken {
    /// Returns the variant with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|broken| broken.name() == name)
    }
}

/// Returns an empty store with every guard or without one.
pub(crate) fn store(broken: Option<Broken>) -> Arc<dyn Store> {
    let correct = MemoryStore::new("SIMULATION");
    match broken {
        None => Arc::new(correct),
        Some(broken) => Arc::new(BrokenStore::new(correct, broken)),
    }
}
