//! Instants as strings: the Go library stores and compares them in this form.
//!
//! Go writes whole seconds, `…:05Z`. We write milliseconds of fixed width, `…:05.250Z`, so that our strings sort as
//! the instants do. `.` sorts before `Z`: within a second all our instants sort before Go's, although Go's is the first
//! instant of the second. Therefore the upper bound that covers both spellings is the whole [`second`], and the lower
//! bound is the [`exact`] instant. The exact comparison follows after parsing.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::Undecodable;
use crate::task::whole_millis;

/// The beginning of Go's zero time, which means "at once".
const GO_ZERO_YEAR: &str = "0001-01-01T00:00:00";

/// Returns the instant with milliseconds.
pub(in crate::store::firestore) fn exact(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Returns the second that contains the instant. Every spelling of this or an earlier instant sorts at or below it.
pub(in crate::store::firestore) fn second(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Returns the instant rounded up to a whole second. Go must not see a lease end early.
pub(in crate::store::firestore) fn second_up(at: DateTime<Utc>) -> String {
    let up = if at.timestamp_subsec_nanos() == 0 {
        at
    } else {
        at + TimeDelta::seconds(1)
    };
    second(up)
}

/// Parses an instant. Returns `None` if the string is empty or Go's zero time.
pub(super) fn parse(field: &str, text: &str) -> Result<Option<DateTime<Utc>>, Undecodable> {
    if text.is_empty() || text.starts_with(GO_ZERO_YEAR) {
        return Ok(None);
    }
    match DateTime::parse_from_rfc3339(text) {
        Ok(at) => Ok(Some(whole_millis(at.to_utc()))),
        Err(error) => Err(Undecodable(format!(
            "`{field}` is `{text}`, which is not an instant: {error}"
        ))),
    }
}

/// Returns whether this library wrote the string: Go writes no fractions.
pub(super) fn is_ours(text: &str) -> bool {
    text.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    #[test]
    fn a_bound_covers_both_spellings() {
        let now = at("2026-01-02T03:04:05.250Z");
        let (go, ours) = ("2026-01-02T03:04:05Z", exact(now));
        assert!(go <= second(now).as_str() && ours <= second(now));
        assert!(exact("2026-01-02T03:04:05Z".parse().expect("an instant")).as_str() < go);
        assert!(exact(now) < exact(now + TimeDelta::milliseconds(1)));
        assert!(second(now) < exact(now + TimeDelta::seconds(1)));
    }

    #[test]
    fn the_end_of_a_lease_is_rounded_up() {
        assert_eq!(second_up(at("2026-01-02T03:04:05.001Z")), "2026-01-02T03:04:06Z");
        assert_eq!(second_up(at("2026-01-02T03:04:05Z")), "2026-01-02T03:04:05Z");
        assert_eq!(second_up(at("2026-12-31T23:59:59.999Z")), "2027-01-01T00:00:00Z");
    }

    #[test]
    fn instants_that_go_writes_are_parsed() {
        assert_eq!(parse("f", ""), Ok(None));
        assert_eq!(parse("f", "0001-01-01T00:00:00Z"), Ok(None));
        assert_eq!(
            parse("f", "2026-01-02T03:04:05Z"),
            Ok(Some(at("2026-01-02T03:04:05Z")))
        );
        assert_eq!(
            parse("f", "2026-01-02T04:04:05+01:00"),
            Ok(Some(at("2026-01-02T03:04:05Z")))
        );
        assert!(
            parse("f", "tomorrow")
                .unwrap_err()
                .0
                .contains("`f` is `tomorrow`")
        );
    }
}
