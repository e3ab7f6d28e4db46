//! What to do at the edges: where clocks change, and after a pause.

use serde::{Deserialize, Serialize};

/// What becomes of a local time that the clocks skip, when daylight saving begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// Nothing happens, as RFC 5545 (3.3.10) has it; `COUNT` does not count the time.
    #[default]
    Skip,
    /// It happens later by as much as the clocks are put forward: 02:30 becomes 03:30.
    Shift,
}

/// What becomes of a local time that the clocks show twice, when daylight saving ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It happens the first time only, as RFC 5545 (3.3.5) has it.
    #[default]
    First,
    /// It happens both times; `COUNT` counts it once.
    Both,
}

/// What becomes of the occurrences that came due while nobody was there to run them.
///
/// The rule itself is not concerned: whoever follows it asks for this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// The earliest of them runs, late; the others are dropped.
    #[default]
    One,
    /// They run, the oldest first, `max` of them at most; the others are dropped.
    All {
        /// How many, from 1.
        max: u32,
    },
    /// None of them runs.
    Skip,
}
