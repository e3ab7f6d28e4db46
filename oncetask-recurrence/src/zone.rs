//! Time zones of the IANA database.

use std::fmt;
use std::str::FromStr;

use chrono::{FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};

use crate::error::{Argument, RecurrenceError};
use crate::suggest::did_you_mean;

/// A time zone of the IANA database, such as `Europe/Paris`.
///
/// A zone is parsed from its name. It implements [`chrono::TimeZone`], so it also converts instants to local
/// times and back.
///
/// # Examples
///
/// ```
/// use chrono::{DateTime, Utc};
/// use oncetask_recurrence::Zone;
///
/// let paris: Zone = "Europe/Paris".parse()?;
/// let noon: DateTime<Utc> = "2026-07-01T12:00:00Z".parse()?;
/// assert_eq!(noon.with_timezone(&paris).to_string(), "2026-07-01 14:00:00 CEST");
///
/// let error = "Europe/Pariss".parse::<Zone>().unwrap_err();
/// assert_eq!(error.to_string(), "unknown time zone `Europe/Pariss`; did you mean `Europe/Paris`?");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Zone(Tz);

impl Zone {
    /// Coordinated Universal Time, the zone of a recurrence unless another zone is set.
    pub const UTC: Self = Self(Tz::UTC);

    /// Returns the name of the zone in the IANA database.
    ///
    /// # Examples
    ///
    /// ```
    /// use oncetask_recurrence::Zone;
    ///
    /// assert_eq!(Zone::UTC.name(), "UTC");
    /// ```
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }
}

/// Parses a name of the IANA database. Upper and lower case are distinguished.
///
/// # Errors
///
/// Returns an error if the database has no zone of this name. The error suggests a similar name, if there is
/// one.
impl FromStr for Zone {
    type Err = RecurrenceError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        name.parse().map(Self).map_err(|_| unknown(name))
    }
}

fn unknown(name: &str) -> RecurrenceError {
    let hint = match did_you_mean(name, TZ_VARIANTS.iter().map(|tz| tz.name())) {
        Some(similar) => format!("did you mean `{similar}`?"),
        None => "expected a name from the IANA database, such as `Europe/Paris`".to_owned(),
    };
    let reason = format!("unknown time zone `{name}`; {hint}");
    RecurrenceError::new(Argument::TimeZone, name, reason)
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The offset of a [`Zone`] from UTC at some instant. It is displayed as the abbreviation of the zone at that
/// instant, such as `CET` or `CEST`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ZoneOffset(<Tz as TimeZone>::Offset);

impl Offset for ZoneOffset {
    fn fix(&self) -> FixedOffset {
        self.0.fix()
    }
}

impl fmt::Display for ZoneOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for ZoneOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl TimeZone for Zone {
    type Offset = ZoneOffset;

    fn from_offset(offset: &ZoneOffset) -> Self {
        Self(Tz::from_offset(&offset.0))
    }

    fn offset_from_local_date(&self, local: &NaiveDate) -> MappedLocalTime<ZoneOffset> {
        self.0.offset_from_local_date(local).map(ZoneOffset)
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<ZoneOffset> {
        self.0.offset_from_local_datetime(local).map(ZoneOffset)
    }

    fn offset_from_utc_date(&self, utc: &NaiveDate) -> ZoneOffset {
        ZoneOffset(self.0.offset_from_utc_date(utc))
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> ZoneOffset {
        ZoneOffset(self.0.offset_from_utc_datetime(utc))
    }
}
