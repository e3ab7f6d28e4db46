//! The policies for clock changes and for missed occurrences.

use serde::{Deserialize, Serialize};

/// The treatment of a local time that the clocks skip, when daylight saving time begins.
///
/// # Examples
///
/// ```
/// use oncetask_recurrence::{Gap, Recurrence};
///
/// // On 29 March 2026 the clocks in Paris go from 02:00 to 03:00.
/// let nightly = Recurrence::new("FREQ=DAILY")?
///     .tz("Europe/Paris".parse()?)
///     .starting_at("2026-03-28T02:30:00".parse()?);
/// let first = Some("2026-03-28T01:30:00Z".parse()?);
/// assert_eq!(nightly.first(), first);
/// assert_eq!(nightly.after(first.unwrap()), Some("2026-03-30T00:30:00Z".parse()?));
/// assert_eq!(nightly.gap(Gap::Shift).after(first.unwrap()), Some("2026-03-29T01:30:00Z".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// This enum is closed, so that programs can match it exhaustively. A further variant would be a breaking change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// The time has no occurrence, as RFC 5545 (3.3.10) requires. `COUNT` does not count it.
    #[default]
    Skip,
    /// The occurrence is later by as much as the clocks are put forward: 02:30 becomes 03:30.
    Shift,
}

/// The treatment of a local time that the clocks show twice, when daylight saving time ends.
///
/// # Examples
///
/// ```
/// use oncetask_recurrence::{Overlap, Recurrence};
///
/// // On 25 October 2026 the clocks in Paris go from 03:00 back to 02:00.
/// let nightly = Recurrence::new("FREQ=DAILY")?
///     .tz("Europe/Paris".parse()?)
///     .starting_at("2026-10-25T02:30:00".parse()?);
/// let first = Some("2026-10-25T00:30:00Z".parse()?);
/// assert_eq!(nightly.first(), first);
/// assert_eq!(nightly.after(first.unwrap()), Some("2026-10-26T01:30:00Z".parse()?));
/// assert_eq!(nightly.overlap(Overlap::Both).after(first.unwrap()), Some("2026-10-25T01:30:00Z".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// This enum is closed, so that programs can match it exhaustively. A further variant would be a breaking change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The time has one occurrence, when the clocks show it first, as RFC 5545 (3.3.5) requires.
    #[default]
    First,
    /// The time has two occurrences. `COUNT` counts them as one.
    Both,
}

/// The treatment of occurrences that became due while no worker ran.
///
/// This policy does not change the occurrences that a [`Recurrence`](crate::Recurrence) computes. The program
/// that runs them applies it.
///
/// # Examples
///
/// ```
/// use oncetask_recurrence::{Missed, Recurrence};
///
/// let hourly = Recurrence::new("FREQ=HOURLY")?.missed(Missed::All { max: 24 });
/// assert_eq!(hourly.missed_policy(), Missed::All { max: 24 });
/// # Ok::<(), oncetask_recurrence::RecurrenceError>(())
/// ```
///
/// This enum is closed, so that programs can match it exhaustively. A further variant would be a breaking change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// The earliest missed occurrence runs late. The others are dropped.
    #[default]
    One,
    /// Missed occurrences run, the oldest first. Those beyond `max` are dropped.
    All {
        /// The maximum number of missed occurrences that run, at least 1.
        max: u32,
    },
    /// No missed occurrence runs.
    Skip,
}
