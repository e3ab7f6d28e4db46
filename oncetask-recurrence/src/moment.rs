//! Single dates of a recurrence, and conversions between chrono's types and seconds.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, SubsecRound, TimeZone, Utc};

use crate::local::civil::{Second, UNIX_EPOCH};

/// A single date of a recurrence: a local time of its zone, or an instant.
///
/// As text, `2026-12-25T09:00:00` is a local time. `2026-12-25T09:00:00Z` and `2026-12-25T09:00:00+01:00` are
/// instants. Fractions of a second are dropped.
///
/// # Examples
///
/// ```
/// use oncetask_recurrence::Moment;
///
/// let local: Moment = "2026-12-25T09:00:00".parse()?;
/// assert!(matches!(local, Moment::Local(_)));
/// let instant: Moment = "2026-12-25T09:00:00+01:00".parse()?;
/// assert_eq!(instant.to_string(), "2026-12-25T08:00:00Z");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// This enum is closed, so that programs can match it exhaustively. A further variant would be a breaking change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// A local time of the recurrence's zone. It stands for none, one or two instants.
    Local(NaiveDateTime),
    /// An instant, independent of the zone.
    Instant(DateTime<Utc>),
}

impl From<NaiveDateTime> for Moment {
    fn from(local: NaiveDateTime) -> Self {
        Self::Local(local.trunc_subsecs(0))
    }
}

impl<Z: TimeZone> From<DateTime<Z>> for Moment {
    fn from(instant: DateTime<Z>) -> Self {
        Self::Instant(instant.to_utc().trunc_subsecs(0))
    }
}

/// Parses a local time or an instant.
///
/// # Errors
///
/// Returns chrono's error if the text is neither a local time nor an instant in the format of RFC 3339.
impl FromStr for Moment {
    type Err = chrono::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<NaiveDateTime>() {
            Ok(local) => Ok(local.into()),
            Err(error) => DateTime::parse_from_rfc3339(text)
                .map(Self::from)
                .map_err(|_| error),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(local) => write!(f, "{}", local.format(LOCAL_FORMAT)),
            Self::Instant(instant) => f.write_str(&instant.to_rfc3339_opts(SecondsFormat::Secs, true)),
        }
    }
}

/// The text format of local times.
pub(crate) const LOCAL_FORMAT: &str = "%Y-%m-%dT%H:%M:%S";

pub(crate) fn local_to_second(local: NaiveDateTime) -> Second {
    local.and_utc().timestamp() + UNIX_EPOCH
}

pub(crate) fn instant_to_second(instant: DateTime<Utc>) -> Second {
    instant.timestamp() + UNIX_EPOCH
}

pub(crate) fn second_to_instant(second: Second) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(second.checked_sub(UNIX_EPOCH)?, 0)
}
