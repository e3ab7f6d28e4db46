//! Accessors and standard traits of [`Recurrence`].

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDateTime;

use crate::error::RecurrenceError;
use crate::moment::{LOCAL_FORMAT, Moment};
use crate::policy::{Gap, Missed, Overlap};
use crate::recurrence::{Parts, Recurrence};
use crate::zone::Zone;

impl Recurrence {
    /// Returns the rule as it was written.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.parts().text
    }

    /// Returns the time zone in which the rule is evaluated.
    #[must_use]
    pub fn time_zone(&self) -> Zone {
        self.parts().tz
    }

    /// Returns the local start time, or `None` if no start is set.
    #[must_use]
    pub fn dtstart(&self) -> Option<NaiveDateTime> {
        self.parts().start
    }

    /// Returns the excluded dates in the order in which they were given.
    #[must_use]
    pub fn excluded(&self) -> &[Moment] {
        &self.parts().exdates
    }

    /// Returns the added dates in the order in which they were given.
    #[must_use]
    pub fn added(&self) -> &[Moment] {
        &self.parts().rdates
    }

    /// Returns the policy for local times that the clocks skip.
    #[must_use]
    pub fn gap_policy(&self) -> Gap {
        self.parts().gap
    }

    /// Returns the policy for local times that the clocks show twice.
    #[must_use]
    pub fn overlap_policy(&self) -> Overlap {
        self.parts().overlap
    }

    /// Returns the policy for occurrences that became due while no worker ran.
    #[must_use]
    pub fn missed_policy(&self) -> Missed {
        self.parts().missed
    }
}

/// Parses a rule, as [`Recurrence::new`] does.
impl FromStr for Recurrence {
    type Err = RecurrenceError;

    fn from_str(rule: &str) -> Result<Self, Self::Err> {
        Self::new(rule)
    }
}

impl PartialEq for Recurrence {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Recurrence {}

impl fmt::Debug for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts {
            text,
            rule: _,
            tz,
            start,
            exdates,
            rdates,
            gap,
            overlap,
            missed,
        } = self.parts();
        f.debug_struct("Recurrence")
            .field("rule", text)
            .field("tz", tz)
            .field("dtstart", start)
            .field("exdates", exdates)
            .field("rdates", rdates)
            .field("gap", gap)
            .field("overlap", overlap)
            .field("missed", missed)
            .finish_non_exhaustive()
    }
}

/// Formats the rule, the zone and the dates as readable text, such as
/// `FREQ=DAILY in Europe/Paris from 2026-01-05T09:00:00 without 2026-12-25T09:00:00`.
impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts {
            text,
            tz,
            start,
            exdates,
            rdates,
            ..
        } = self.parts();
        write!(f, "{text} in {tz}")?;
        if let Some(start) = start {
            write!(f, " from {}", start.format(LOCAL_FORMAT))?;
        }
        for (word, dates) in [("with", rdates), ("without", exdates)] {
            for (index, date) in dates.iter().enumerate() {
                if index == 0 {
                    write!(f, " {word} {date}")?;
                } else {
                    write!(f, ", {date}")?;
                }
            }
        }
        Ok(())
    }
}
