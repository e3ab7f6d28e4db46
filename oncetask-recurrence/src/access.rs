//! What a recurrence says of itself.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDateTime;
use chrono_tz::Tz;

use crate::error::RecurrenceError;
use crate::moment::{LOCAL, Moment};
use crate::policy::{Gap, Missed, Overlap};
use crate::recurrence::{Parts, Recurrence};

impl Recurrence {
    /// The rule as it was written.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.parts().text
    }

    /// The zone whose clocks the rule follows.
    #[must_use]
    pub fn time_zone(&self) -> Tz {
        self.parts().tz
    }

    /// The start, in local time; `None` until there is one.
    #[must_use]
    pub fn dtstart(&self) -> Option<NaiveDateTime> {
        self.parts().start
    }

    /// The occurrences left out, as they were given.
    #[must_use]
    pub fn excluded(&self) -> &[Moment] {
        &self.parts().exdates
    }

    /// The occurrences added, as they were given.
    #[must_use]
    pub fn added(&self) -> &[Moment] {
        &self.parts().rdates
    }

    /// What becomes of a local time that the clocks skip.
    #[must_use]
    pub fn gap_policy(&self) -> Gap {
        self.parts().gap
    }

    /// What becomes of a local time that the clocks show twice.
    #[must_use]
    pub fn overlap_policy(&self) -> Overlap {
        self.parts().overlap
    }

    /// What becomes of occurrences that came due while nobody was there to run them.
    #[must_use]
    pub fn missed_policy(&self) -> Missed {
        self.parts().missed
    }
}

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
            write!(f, " from {}", start.format(LOCAL))?;
        }
        for (word, dates) in [("with", rdates), ("without", exdates)] {
            for (date, index) in dates.iter().zip(0..) {
                let separator = if index == 0 {
                    format!(" {word} ")
                } else {
                    ", ".to_owned()
                };
                write!(f, "{separator}{date}")?;
            }
        }
        Ok(())
    }
}
