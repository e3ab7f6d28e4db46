//! A generator's rule in its document: Go's `{rrule, dtstart, exdates}`, whose times are instants, and in addition the
//! whole rule if those cannot represent it: in a time zone other than UTC, with added dates, or with policies.

use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone, Utc};

use super::Undecodable;
use super::instant::{parse, second};
use super::reader::Reader;
use crate::schedule::{Moment, Recurrence, Zone};
use crate::store::firestore::proto::{Fields, ValueType, array, map, null, pb, text};

const RULE: &str = "rrule";
const START: &str = "dtstart";
const EXCLUDED: &str = "exdates";
const DEFINITION: &str = "definition";

pub(super) fn to_value(rule: &Recurrence) -> pb::Value {
    let mut fields = for_go(rule);
    if from_go(fields.clone()).as_ref() != Ok(rule) {
        let definition = serde_json::to_string(rule).expect("a rule consists of texts");
        fields.insert(DEFINITION.to_owned(), text(definition));
    }
    map(fields)
}

/// Returns the rule in a map. The definition counts only if the other fields are those that we write with it.
pub(super) fn from_map(mut fields: Fields) -> Result<Recurrence, Undecodable> {
    let definition = Reader(&mut fields).text(DEFINITION)?;
    let rule = definition.and_then(|definition| serde_json::from_str(&definition).ok());
    match rule.filter(|rule| for_go(rule) == fields) {
        Some(rule) => Ok(rule),
        None => from_go(fields),
    }
}

fn for_go(rule: &Recurrence) -> Fields {
    let tz = rule.time_zone();
    let start = rule.dtstart().map(|start| second(instant_of(start, tz)));
    let excluded = rule.excluded().iter().map(|date| {
        text(second(match date {
            Moment::Instant(at) => *at,
            Moment::Local(local) => instant_of(*local, tz),
        }))
    });
    let excluded: Vec<_> = excluded.collect();
    Fields::from([
        (RULE.to_owned(), text(rule.rule())),
        (START.to_owned(), text(start.unwrap_or_default())),
        (
            EXCLUDED.to_owned(),
            if excluded.is_empty() {
                null()
            } else {
                array(excluded)
            },
        ),
    ])
}

/// Returns the first instant at which the clocks of a time zone show this local time. If they skip it, returns the
/// instant one day after the same local time of the previous day.
fn instant_of(local: NaiveDateTime, tz: Zone) -> DateTime<Utc> {
    const DAY: TimeDelta = TimeDelta::days(1);
    let at = |local: NaiveDateTime| tz.from_local_datetime(&local).earliest();
    match at(local).or_else(|| Some(at(local - DAY)? + DAY)) {
        Some(at) => at.to_utc(),
        None => local.and_utc(),
    }
}

fn from_go(mut fields: Fields) -> Result<Recurrence, Undecodable> {
    let mut reader = Reader(&mut fields);
    let text = reader.required(RULE)?;
    let rule = Recurrence::new(&text)
        .map_err(|error| Undecodable(format!("its rule `{text}` is invalid: {error}")))?;
    let rule = match reader.instant(START)? {
        Some(start) => rule.starting_at(start.naive_utc()),
        None => rule,
    };
    let excluded: Result<Vec<_>, _> = reader.list(EXCLUDED)?.into_iter().map(excluded).collect();
    Ok(rule.exdates(excluded?))
}

fn excluded(value: pb::Value) -> Result<DateTime<Utc>, Undecodable> {
    let at = match value.value_type {
        Some(ValueType::StringValue(text)) => parse(EXCLUDED, &text)?,
        _ => None,
    };
    at.ok_or_else(|| Undecodable(format!("`{EXCLUDED}` contains a value that is not an instant")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(rule: &Recurrence) -> bool {
        let Some(ValueType::MapValue(map)) = to_value(rule).value_type else {
            panic!("a rule is a map")
        };
        assert_eq!(from_map(map.fields.clone()).as_ref(), Ok(rule));
        map.fields.contains_key(DEFINITION)
    }

    #[test]
    fn a_rule_that_go_can_express_is_stored_as_go_stores_it() {
        let start = "2026-01-05T09:30:00".parse().expect("a local time");
        let skipped: DateTime<Utc> = "2026-01-06T09:30:00Z".parse().expect("an instant");
        let daily = Recurrence::new("FREQ=DAILY").expect("a rule").starting_at(start);
        assert!(!round_trip(&daily));
        assert!(!round_trip(&daily.clone().exdate(skipped)));
        assert_eq!(
            for_go(&daily)[START],
            text("2026-01-05T09:30:00Z"),
            "an instant, as Go writes it"
        );
    }

    #[test]
    fn a_rule_that_go_cannot_express_is_stored_in_addition() {
        let daily = Recurrence::new("FREQ=DAILY").expect("a rule");
        let berlin = "Europe/Berlin".parse().expect("a zone");
        let local: NaiveDateTime = "2026-03-29T02:30:00".parse().expect("a local time");
        let zoned = daily.tz(berlin).starting_at(local);
        assert!(round_trip(&zoned));
        assert_eq!(for_go(&zoned)[START], text("2026-03-29T01:30:00Z"));
        assert!(round_trip(&zoned.exdate(local).rdate(local)));
    }

    #[test]
    fn a_definition_that_does_not_match_the_fields_of_go_is_ignored() {
        let berlin = "Europe/Berlin".parse().expect("a zone");
        let start = "2026-01-05T09:30:00".parse().expect("a local time");
        let rule = Recurrence::new("FREQ=DAILY")
            .expect("a rule")
            .tz(berlin)
            .starting_at(start);
        let Some(ValueType::MapValue(mut map)) = to_value(&rule).value_type else {
            panic!("a rule is a map")
        };
        map.fields.insert(RULE.to_owned(), text("FREQ=WEEKLY"));
        let read = from_map(map.fields).expect("a rule");
        assert_eq!(read.rule(), "FREQ=WEEKLY");
    }
}
