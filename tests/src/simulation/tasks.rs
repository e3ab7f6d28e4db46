//! The task types of a simulation.

use chrono::{DateTime, Utc};
use oncetask::{OnceTask, Recurrence};
use serde::{Deserialize, Serialize};

use super::clock::Millis;

/// The sorts of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Careful,
    Keyed,
    Grouped,
    Tick,
}

/// What a handler does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Script {
    /// It acts so often,
    pub(crate) steps: u32,
    /// so many milliseconds apart.
    pub(crate) step: Millis,
    /// Whether it stops when it is told to.
    pub(crate) listens: bool,
    /// Whether it says how far it is.
    pub(crate) tells: bool,
    /// How its runs end, one after the other; those after the last succeed.
    pub(crate) ends: Vec<End>,
    /// The same of its cleanup.
    pub(crate) cleanups: Vec<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum End {
    Done,
    Fail,
    Permanent,
    Snooze(Millis),
    RetryAfter(Millis),
    Cancel,
    Panic,
}

macro_rules! task_types {
    ($($type:ident $kind:literal $id:literal),+ $(,)?) => {$(
        /// A task of a simulation.
        #[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
        #[id($id)]
        #[task(kind = $kind)]
        pub(crate) struct $type {
            pub(crate) number: u32,
            #[resource_key]
            pub(crate) key: Option<String>,
            #[run_at]
            pub(crate) at: Option<DateTime<Utc>>,
            pub(crate) script: Script,
        }

        impl Scripted for $type {
            fn script(&self) -> &Script {
                &self.script
            }
        }
    )+};
}

task_types!(
    Plain "plain" "plain-{number}",
    Careful "careful" "careful-{number}",
    Keyed "keyed" "keyed-{number}",
    Grouped "grouped" "grouped-{number}",
);

/// A task of a simulation that recurs.
#[derive(Clone, Debug, Serialize, Deserialize, OnceTask)]
#[id("tick-{number}")]
#[task(kind = "tick")]
pub(crate) struct Tick {
    pub(crate) number: u32,
    #[resource_key]
    pub(crate) key: Option<String>,
    #[recurrence]
    pub(crate) every: Recurrence,
    pub(crate) script: Script,
}

impl Scripted for Tick {
    fn script(&self) -> &Script {
        &self.script
    }
}

/// A task that says what its handler does.
pub(crate) trait Scripted {
    fn script(&self) -> &Script;
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Plain, Self::Careful, Self::Keyed, Self::Grouped, Self::Tick];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Careful => "careful",
            Self::Keyed => "keyed",
            Self::Grouped => "grouped",
            Self::Tick => "tick",
        }
    }

    pub(crate) fn has_key(self) -> bool {
        matches!(self, Self::Keyed | Self::Grouped | Self::Tick)
    }

    /// Whether tasks of this kind are cleaned up after.
    pub(crate) fn cleans_up(kind: &str) -> bool {
        ["careful", "keyed"].contains(&kind)
    }
}
