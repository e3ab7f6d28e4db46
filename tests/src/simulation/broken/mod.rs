//! Guards of the library swapped for broken ones, one at a time: the simulation has to find each of them.

mod store;

use std::sync::Arc;

use oncetask::store::{MemoryStore, Store};

use self::store::BrokenStore;

macro_rules! broken {
    ($($(#[$doc:meta])+ $variant:ident $name:literal breaks $invariant:literal),+ $(,)?) => {
        /// A guard that is missing. Chosen when a simulation is run, not when it is built.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Broken {
            $($(#[$doc])+ $variant,)+
        }

        impl Broken {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The invariant that it breaks, besides others.
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
    /// The end of a claim is accepted under any token.
    CompletionWithoutToken "completion-without-token" breaks "only the claim that holds a task writes to it",
    /// The end of a claim that is sent twice is not recognised: it ends whatever claim there is by then.
    RetryNotRecognised "retry-not-recognised" breaks "a claim ends once",
    /// A lease that has ended is extended.
    RenewalAfterExpiry "renewal-after-expiry" breaks "a lease that has ended is never extended",
    /// An extension that comes late sets the lease back.
    StaleRenewalShortens "stale-renewal-shortens" breaks "a lease is never set back",
    /// An extension that nobody answered is taken for granted.
    RenewalBelieved "renewal-believed" breaks "no handler outlives its stored lease",
    /// Two claims that come close together both get the task.
    ClaimWithoutPrecondition "claim-without-precondition" breaks "nothing is claimed before it is due",
    /// Whether a key is free is looked up before the write, and may be wrong by then.
    KeyCheckOutsideTheWrite "key-check-outside-the-write" breaks "no two claims of a resource key overlap",
    /// Of a group only the first task is leased.
    GroupLeasesItsFirst "group-leases-its-first" breaks "what is answered is stored",
    /// Occurrences are created before the generator's turn is accepted, under ids of their own.
    OccurrenceIdsByChance "occurrence-ids-by-chance" breaks "the occurrences are those of the rule",
    /// The turn and its occurrences are two writes, and a crash comes between.
    TurnInTwoWrites "turn-in-two-writes" breaks "the occurrences are those of the rule",
    /// A create that is sent twice overwrites what the first one stored.
    CreateOverwrites "create-overwrites" breaks "each id is created once",
    /// A create is acknowledged before it is stored.
    AcknowledgedTooEarly "acknowledged-too-early" breaks "no acknowledged task is lost",
    /// The worker counts its lease from the reply, not from the request.
    LeaseFromTheReply "lease-from-the-reply" breaks "no handler outlives its stored lease",
    /// The handler goes on when its lease has ended.
    HandlerNotDropped "handler-not-dropped" breaks "no handler runs beside another of its task or key",
    /// A cancelled task is due for its cleanup while its handler runs.
    CleanupBesideTheHandler "cleanup-beside-the-handler" breaks "no handler runs beside another of its task or key",
    /// A cancelled task ends without its cleanup.
    CleanupForgotten "cleanup-forgotten" breaks "a cancellation ends in a cleanup",
    /// A cancelled task is claimed for its handler.
    CancelledRunsAgain "cancelled-runs-again" breaks "what is cancelled does not run again",
    /// The claim from before a reset is good after it.
    ResetKeepsTheLease "reset-keeps-the-lease" breaks "a claim ends once",
    /// An attempt that fell silent does not count.
    SilentDeathNotCounted "silent-death-not-counted" breaks "attempts and errors add up",
    /// Two clocks differ by up to a whole margin of the leases, twice what is allowed.
    ClocksTooFarApart "clocks-too-far-apart" breaks "no handler runs beside another of its task or key",
    /// The store does not say when the next task is due.
    NextDueForgotten "next-due-forgotten" breaks "every task ends once the faults stop",
    /// Nobody is woken.
    WakeUpsLost "wake-ups-lost" breaks "every task ends once the faults stop",
}

impl Broken {
    /// The one with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|broken| broken.name() == name)
    }
}

/// An empty store, with all of its guards or without one.
pub(crate) fn store(broken: Option<Broken>) -> Arc<dyn Store> {
    let sound = MemoryStore::new("SIMULATION");
    match broken {
        None => Arc::new(sound),
        Some(broken) => Arc::new(BrokenStore::new(sound, broken)),
    }
}
