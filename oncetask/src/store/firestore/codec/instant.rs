//! Instants as strings, which is how the Go library keeps and compares them.
//!
//! Go writes whole seconds, `…:05Z`. We write milliseconds of fixed width, `…:05.250Z`, so that our strings
//! sort as the instants do. Between the two `.` sorts before `Z`: within a second all of ours come before
//! Go's, though Go's is the second's first instant. So a bound that must not miss either spelling is the
//! whole [`second`] from above and the [`exact`] instant from below, and the rest is judged after parsing.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::Undecodable;
use crate::task::whole_millis;

/// Go's "at once".
const GO_ZERO_YEAR: &str = "0001-01-01T00:00:00";

/// The instant in milliseconds.
pub(in super::super) fn exact(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The second that an instant lies in: not below any spelling of an instant up to this one.
pub(in super::super) fn second(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The first whole second that is not before the instant: a lease that Go reads must not end early.
pub(in super::super) fn second_up(at: DateTime<Utc>) -> String {
    let up = if at.timestamp_subsec_nanos() == 0 {
        at
    } else {
        at + TimeDelta::seconds(1)
    };
    second(up)
}

/// An instant, or none where the string is empty or Go's zero.
pub(super) fn parse(field: &str, text: &str) -> Result<Option<DateTime<Utc>>, Undecodable> {
    if text.is_empty() || text.starts_with(GO_ZERO_YEAR) {
        return Ok(None);
    }
    match DateTime::parse_from_rfc3339(text) {
        Ok(at) => Ok(Some(whole_millis(at.to_utc()))),
        Err(error) => Err(Undecodable(format!(
            "`{field}` is `{text}`, which is no instant: {error}"
        ))),
    }
}

/// Whether the string was written by us: Go writes no fractions.
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
    fn a_bound_holds_for_both_spellings() {
        let now = at("2026-01-02T03:04:05.250Z");
        let (go, ours) = ("2026-01-02T03:04:05Z", exact(now));
        assert!(go <= second(now).as_str() && ours <= second(now));
        assert!(exact("2026-01-02T03:04:05Z".parse().expect("an instant")).as_str() < go);
        assert!(exact(now) < exact(now + TimeDelta::milliseconds(1)));
        assert!(second(now) < exact(now + TimeDelta::seconds(1)));
    }

    #[test]
    fn a_lease_is_rounded_up_and_never_down() {
        assert_eq!(second_up(at("2026-01-02T03:04:05.001Z")), "2026-01-02T03:04:06Z");
        assert_eq!(second_up(at("2026-01-02T03:04:05Z")), "2026-01-02T03:04:05Z");
        assert_eq!(second_up(at("2026-12-31T23:59:59.999Z")), "2027-01-01T00:00:00Z");
    }

    #[test]
    fn what_go_writes_is_read() {
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
