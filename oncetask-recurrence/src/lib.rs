//! Recurrence rules of RFC 5545: read, checked, and followed on the clocks of a time zone.
//!
//! ```
//! use oncetask_recurrence::{Recurrence, parse_tz, preview_after};
//!
//! let report = Recurrence::new("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;BYHOUR=18;BYMINUTE=0;BYSECOND=0")?
//!     .tz(parse_tz("Europe/Paris")?)
//!     .starting_at("2026-01-01T00:00:00".parse()?);
//! report.validate()?;
//!
//! let next = preview_after(&report, "2026-02-01T00:00:00Z".parse()?, 3);
//! let next: Vec<_> = next.iter().map(ToString::to_string).collect();
//! assert_eq!(next, ["2026-02-27 18:00:00 CET", "2026-03-31 18:00:00 CEST", "2026-04-30 18:00:00 CEST"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a rule means
//!
//! A rule is expanded in local time, without regard to clocks, and agrees there with python-dateutil. Each
//! local time is then mapped to an instant. That mapping is the same for rules of every frequency:
//!
//! | the clocks of the zone | default | otherwise |
//! |---|---|---|
//! | show the time once | it happens then | |
//! | skip it ([`Gap`]) | it does not happen, and `COUNT` does not count it | `shift`: it happens as much later as the clocks are put forward |
//! | show it twice ([`Overlap`]) | it happens the first time | `both`: it happens both times, and `COUNT` counts it once |
//!
//! So `FREQ=HOURLY` keeps the beat of the wall clock. When clocks are put forward no hour is missed, since the
//! hour that is skipped does not exist. When they are put back, the hour that comes twice has one occurrence,
//! or two with `both`. A rule that is to keep the beat of real time is followed in UTC, which is the default.
//! Occurrences are always in order, and no instant comes twice, even where two local times map to it.
//!
//! - `dtstart` is an occurrence only if the rule names it. It is a local time of the zone.
//! - `UNTIL` with a `Z` is an instant, without one a local time; a date alone is its first moment. Both ends
//!   are inclusive.
//! - `COUNT`, at most 100,000, counts what the rule names: also what `exdates` leave out, not what `rdates` add.
//! - `exdates` are taken out last, from what the rule names and from `rdates`.
//! - A second of 60, for leap seconds, is the second 59.
//! - Occurrences end with the year 9999. The database knows the clocks of up to 2099; after that each zone keeps
//!   its last offset.
//!
//! # What is refused
//!
//! What RFC 5545 forbids: `COUNT` beside `UNTIL`; a part given twice; `BYWEEKNO` but for `YEARLY`; `BYYEARDAY`
//! for `MONTHLY`, `WEEKLY` and `DAILY`; `BYMONTHDAY` for `WEEKLY`; counted weekdays such as `1MO` but for
//! `MONTHLY` and `YEARLY`, or beside `BYWEEKNO`; `BYSETPOS` without another `BY` part. Also parts that it does
//! not know, such as `BYEASTER`, and rules that never occur.
//!
//! # Where python-dateutil departs from RFC 5545
//!
//! In three places it is not followed:
//!
//! - The first days of January may belong to the last week of the year before. In some years dateutil takes
//!   its week 52 for week 53: of 2011-01-01, for one, which `BYWEEKNO=53` finds there and `BYWEEKNO=52` here.
//! - The last days of December may belong to week 1 of the next year. dateutil does not find them under that
//!   week's negative number, -52 or -53.
//! - `BYDAY=MO,1TU` is a list of alternatives. dateutil finds only what is a Monday and the first Tuesday, so
//!   nothing.
//!
//! Where RFC 5545 leaves room dateutil is followed: `FREQ=YEARLY;BYWEEKNO=20` means every day of that week;
//! `BYSETPOS` counts from the first day of the year or month even if `dtstart` is later, but for `WEEKLY` from
//! `dtstart` in its week.
//!
//! # What it costs
//!
//! The next occurrence takes a fraction of a microsecond for most rules, however long ago they started, and
//! for all but contrived ones well under a millisecond: `cargo run --release --example cost` measures some. A
//! rule with `COUNT` is followed from its start once. No text makes a rule that takes unbounded time or memory.

mod access;
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
mod suggest;
mod wire;

pub use chrono_tz::Tz;

pub use draft::{Draft, parse_tz};
pub use error::{Argument, RecurrenceError};
pub use moment::Moment;
pub use occurrences::{Occurrences, preview, preview_after};
pub use policy::{Gap, Missed, Overlap};
pub use recurrence::Recurrence;
