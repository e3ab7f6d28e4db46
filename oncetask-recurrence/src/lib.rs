//! Recurrence rules of RFC 5545: parsing, validation, and the calculation of occurrences in a time zone.
//!
//! ```
//! use oncetask_recurrence::{Recurrence, preview_after};
//!
//! let report = Recurrence::new("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;BYHOUR=18;BYMINUTE=0;BYSECOND=0")?
//!     .tz("Europe/Paris".parse()?)
//!     .starting_at("2026-01-01T00:00:00".parse()?);
//! report.validate()?;
//!
//! let next = preview_after(&report, "2026-02-01T00:00:00Z".parse()?, 3);
//! let next: Vec<_> = next.iter().map(ToString::to_string).collect();
//! assert_eq!(next, ["2026-02-27 18:00:00 CET", "2026-03-31 18:00:00 CEST", "2026-04-30 18:00:00 CEST"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Meaning of a rule
//!
//! A rule is expanded to local times, without regard to clock changes. The local times are those that
//! python-dateutil computes. Each local time is then mapped to an instant. The mapping is the same for rules
//! of every frequency:
//!
//! | the clocks of the zone show the local time | default | alternative |
//! |---|---|---|
//! | once | one occurrence | |
//! | never ([`Gap`]) | no occurrence, and `COUNT` does not count the time | `shift`: one occurrence, later by as much as the clocks are put forward |
//! | twice ([`Overlap`]) | one occurrence, when the clocks show it first | `both`: two occurrences, which `COUNT` counts as one |
//!
//! `FREQ=HOURLY` therefore follows the hours of the wall clock. When the clocks are put forward, the skipped
//! hour has no occurrence, because it does not exist. When they are put back, the repeated hour has one
//! occurrence, or two with `both`. For a constant interval in real time, use UTC, which is the default.
//! Occurrences are in order, and no instant occurs twice, even if two local times map to it.
//!
//! - `dtstart` is a local time of the zone. It is an occurrence only if it matches the rule.
//! - `UNTIL` with a `Z` is an instant, and without a `Z` a local time. A date without a time stands for its
//!   midnight. `dtstart` and `UNTIL` are both inclusive.
//! - `COUNT` is at most 100,000. It counts the occurrences of the rule, including those that `exdates`
//!   excludes, but not those that `rdates` adds.
//! - `exdates` is applied last. It also excludes dates that `rdates` adds.
//! - The second 60, a leap second, is treated as second 59.
//! - The last occurrence is in the year 9999. The time zone database covers clock changes up to 2099. After
//!   that each zone keeps its last offset.
//!
//! # Rejected rules
//!
//! The combinations that RFC 5545 forbids are rejected:
//!
//! - `COUNT` together with `UNTIL`;
//! - a part that is given twice;
//! - `BYWEEKNO` with a frequency other than `YEARLY`;
//! - `BYYEARDAY` with `MONTHLY`, `WEEKLY` or `DAILY`;
//! - `BYMONTHDAY` with `WEEKLY`;
//! - numbered weekdays such as `1MO` with a frequency other than `MONTHLY` or `YEARLY`, or together with
//!   `BYWEEKNO`;
//! - `BYSETPOS` without another `BY` part.
//!
//! Parts that RFC 5545 does not define, such as `BYEASTER`, and rules that never occur are rejected too.
//!
//! # Differences from python-dateutil
//!
//! This crate follows RFC 5545 in the three cases in which python-dateutil deviates from it:
//!
//! - The first days of January can belong to the last week of the previous year. In some years
//!   python-dateutil counts week 52 as week 53. An example is 2011-01-01, which belongs to week 52.
//! - The last days of December can belong to week 1 of the next year. python-dateutil does not find them by
//!   the negative number of that week, -52 or -53.
//! - `BYDAY=MO,1TU` is a list of alternatives. python-dateutil requires a day to match all of them, and finds
//!   none.
//!
//! This crate follows python-dateutil in the cases in which RFC 5545 is ambiguous: `FREQ=YEARLY;BYWEEKNO=20` selects every
//! day of that week. `BYSETPOS` counts from the first day of the year or month even if `dtstart` is later;
//! with `WEEKLY` it counts from `dtstart` in the week of `dtstart`.
//!
//! # Cost
//!
//! The next occurrence of most rules takes a fraction of a microsecond, independent of the distance to the
//! start. For all but contrived rules it takes much less than a millisecond. A rule with `COUNT` is expanded
//! once from its start. No rule takes unbounded time or memory. The example `cost` prints measurements:
//! `cargo run --release --example cost`.

mod accessors;
mod check;
mod clock;
mod draft;
mod error;
#[doc(hidden)]
pub mod limits;
mod local;
mod moment;
mod occurrences;
mod plan;
mod policy;
mod recurrence;
mod rule;
mod stored;
#[doc(hidden)]
pub mod suggest;
mod zone;

pub use draft::Draft;
pub use error::{Argument, RecurrenceError};
pub use moment::Moment;
pub use occurrences::{Occurrences, preview, preview_after};
pub use policy::{Gap, Missed, Overlap};
pub use recurrence::Recurrence;
pub use zone::{Zone, ZoneOffset};
