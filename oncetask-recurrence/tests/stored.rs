//! The stored form of a recurrence.

use oncetask_recurrence::{Gap, Missed, Moment, Overlap, Recurrence};
use serde_json::{from_value, json, to_value};

#[test]
fn defaults_are_omitted() {
    let recurrence = Recurrence::new("FREQ=DAILY").unwrap();
    assert_eq!(to_value(&recurrence).unwrap(), json!({ "rule": "FREQ=DAILY" }));
    assert_eq!(from_value::<Recurrence>(json!("FREQ=DAILY")).unwrap(), recurrence);
}

#[test]
fn a_recurrence_with_every_field_is_restored() {
    let recurrence = Recurrence::new("FREQ=DAILY;BYHOUR=9")
        .unwrap()
        .tz("Europe/Paris".parse().unwrap())
        .starting_at("2026-01-05T09:00:00".parse().unwrap())
        .exdate("2026-12-25T09:00:00".parse::<Moment>().unwrap())
        .rdate("2026-12-26T09:00:00+01:00".parse::<Moment>().unwrap())
        .gap(Gap::Shift)
        .overlap(Overlap::Both)
        .missed(Missed::All { max: 5 });
    let stored = json!({
        "rule": "FREQ=DAILY;BYHOUR=9",
        "tz": "Europe/Paris",
        "dtstart": "2026-01-05T09:00:00",
        "exdates": ["2026-12-25T09:00:00"],
        "rdates": ["2026-12-26T08:00:00Z"],
        "gap": "shift",
        "overlap": "both",
        "missed": { "all": { "max": 5 } },
    });
    assert_eq!(to_value(&recurrence).unwrap(), stored);
    assert_eq!(from_value::<Recurrence>(stored).unwrap(), recurrence);
}

#[test]
fn an_invalid_stored_recurrence_is_rejected() {
    for (stored, message) in [
        (
            json!("FREQ=FORTNIGHTLY"),
            "`FORTNIGHTLY` is not a valid frequency",
        ),
        (
            json!({ "rule": "FREQ=DAILY", "tz": "Europe/Pariss" }),
            "did you mean `Europe/Paris`?",
        ),
        (
            json!({ "rule": "FREQ=DAILY", "dtstart": "tomorrow" }),
            "`dtstart` is `tomorrow`",
        ),
        (
            json!({ "rule": "FREQ=DAILY", "exdates": ["Christmas"] }),
            "`exdates[0]` is `Christmas`",
        ),
        (
            json!({ "rule": "FREQ=DAILY", "timezone": "UTC" }),
            "unknown field `timezone`",
        ),
        (json!({ "tz": "UTC" }), "missing field `rule`"),
        (json!(7), "expected a recurrence"),
        (
            json!({ "rule": "FREQ=DAILY;UNTIL=20250101", "dtstart": "2026-01-01T00:00:00" }),
            "`UNTIL` is before `dtstart`",
        ),
    ] {
        let error = from_value::<Recurrence>(stored).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_local_time_that_the_zone_no_longer_has_is_accepted() {
    let stored = json!({ "rule": "FREQ=DAILY", "tz": "Europe/Paris", "dtstart": "2026-03-29T02:30:00" });
    let recurrence = from_value::<Recurrence>(stored).unwrap();
    assert!(recurrence.validate().is_err());
    assert_eq!(recurrence.first(), Some("2026-03-30T00:30:00Z".parse().unwrap()));
}

#[test]
fn a_recurrence_is_displayed_for_people() {
    let recurrence = Recurrence::new("FREQ=DAILY")
        .unwrap()
        .tz("Europe/Paris".parse().unwrap())
        .starting_at("2026-01-05T09:00:00".parse().unwrap())
        .exdates(["2026-12-25T09:00:00", "2026-12-26T09:00:00"].map(|date| date.parse::<Moment>().unwrap()));
    assert_eq!(
        recurrence.to_string(),
        "FREQ=DAILY in Europe/Paris from 2026-01-05T09:00:00 without 2026-12-25T09:00:00, 2026-12-26T09:00:00"
    );
}
