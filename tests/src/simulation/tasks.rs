//! The task types of a simulation.

use chrono::{DateTime, Utc};
use oncetask::{OnceTask, Recurrence};
use serde::{Deserialize, Serialize};

use super::clock::Millis;

/// The task types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// Has a cleanup handler.
    Careful,
    /// Has a resource key and a cleanup handler.
    Keyed,
    Grouped,
    /// Recurs.
    Tick,
}

/// The behaviour of a task's handlers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Script {
    /// The number of effects of each attempt.
    pub(crate) steps: u32,
    /// The time before each effect, in milliseconds.
    pub(crate) step: Millis,
    /// True if the handler returns when it is signalled to stop.
    pub(crate) obeys_cancellation: bool,
    /// True if the handler reports its progress.
    pub(crate) reports_progress: bool,
    /// The ends of the attempts in order. Later attempts succeed.
    pub(crate) ends: Vec<End>,
    /// The ends of the attempts of the cleanup handler in order.
    pub(crate) cleanup_ends: Vec<End>,
}

/// The end of an attempt.
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

/// A recurring task of a simulation.
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

/// A task whose payload contains the script of its handlers.
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

    /// Returns whether tasks of this kind have a cleanup handler.
    pub(crate) fn cleans_up(kind: &str) -> bool {
        ["careful", "keyed"].contains(&kind)
    }
}
