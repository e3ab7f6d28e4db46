//! The error for each mistake in a recurrence.

use oncetask_recurrence::{Argument, Draft, Gap, Missed, Recurrence};

/// Returns the reason of the error for an invalid rule, without the common prefix, and the invalid text in
/// brackets.
fn of_rule(rule: &str) -> String {
    let error = Recurrence::new(rule).expect_err(rule);
    assert_eq!(error.argument(), Argument::Rule);
    let reason = error.reason().to_owned();
    match error.span() {
        Some(span) => format!(
            "{} [{}]",
            reason.replace("invalid RFC 5545 recurrence rule: ", ""),
            &rule[span]
        ),
        None => reason,
    }
}

#[test]
fn a_rule_with_invalid_syntax_is_rejected() {
    for (rule, message) in [
        (
            "RRULE:FREQ=DAILY",
            "expected only the rule, such as `FREQ=DAILY`, without `RRULE:` or `DTSTART`",
        ),
        (
            "DTSTART:20260101T000000\nRRULE:FREQ=DAILY",
            "expected only the rule, such as `FREQ=DAILY`, without `RRULE:` or `DTSTART`",
        ),
        (
            "every monday",
            "`every monday` is not of the form `NAME=value` [every monday]",
        ),
        ("", "`` is not of the form `NAME=value` []"),
        ("FREQ=DAILY;", "`` is not of the form `NAME=value` []"),
        (
            "INTERVAL=2",
            "`FREQ` is missing; add a frequency, such as `FREQ=DAILY` []",
        ),
        (
            "FREQ=DAILY;BYHOURS=9",
            "`BYHOURS` is not a rule part; did you mean `BYHOUR`? [BYHOURS]",
        ),
        (
            "FREQ=DAILY;BYHOUR=9;BYHOUR=10",
            "`BYHOUR` is given twice; separate values with commas [BYHOUR]",
        ),
    ] {
        assert_eq!(of_rule(rule), message);
    }
    assert!(
        of_rule("FREQ=YEARLY;BYEASTER=0")
            .starts_with("`BYEASTER` is not a rule part; the rule parts are FREQ")
    );
}

#[test]
fn an_invalid_value_is_rejected_with_the_expected_values() {
    for (rule, message) in [
        (
            "FREQ=FORTNIGHTLY",
            "`FORTNIGHTLY` is not a valid frequency; the frequencies are YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY, \
             MINUTELY, SECONDLY [FORTNIGHTLY]",
        ),
        (
            "FREQ=DAILY;BYHOUR=9,25",
            "`25` is not a valid `BYHOUR`; expected numbers from 0 to 23, separated by commas [25]",
        ),
        (
            "FREQ=MONTHLY;BYMONTHDAY=0",
            "`0` is not a valid `BYMONTHDAY`; expected numbers from 1 to 31, or from -31 to -1, separated by commas [0]",
        ),
        (
            "FREQ=DAILY;INTERVAL=0",
            "`0` is not a valid `INTERVAL`; expected a number from 1 to 4294967295 [0]",
        ),
        (
            "FREQ=DAILY;COUNT=1000000",
            "`1000000` is not a valid `COUNT`; expected a number from 1 to 100000; end a longer rule with `UNTIL` \
             [1000000]",
        ),
        (
            "FREQ=WEEKLY;BYDAY=MON",
            "`MON` is not a valid `BYDAY`; expected weekdays such as `MO,WE`, `1MO` or `-1FR` [MON]",
        ),
        (
            "FREQ=WEEKLY;WKST=M",
            "`M` is not a weekday; the weekdays are MO, TU, WE, TH, FR, SA, SU [M]",
        ),
        (
            "FREQ=DAILY;UNTIL=2026-12-24",
            "`2026-12-24` is not a valid `UNTIL`; expected an instant such as `20261224T180000Z`, or a \
             local time such as `20261224T180000` [2026-12-24]",
        ),
    ] {
        assert_eq!(of_rule(rule), message);
    }
}

#[test]
fn a_combination_that_the_rfc_forbids_is_rejected() {
    for (rule, message) in [
        (
            "FREQ=DAILY;COUNT=2;UNTIL=20300101",
            "a rule can have `COUNT` or `UNTIL`, but not both [UNTIL=20300101]",
        ),
        (
            "FREQ=MONTHLY;BYWEEKNO=1",
            "`BYWEEKNO` is not allowed with `FREQ=MONTHLY`; use it with `FREQ=YEARLY` [BYWEEKNO=1]",
        ),
        (
            "FREQ=DAILY;BYYEARDAY=1",
            "`BYYEARDAY` is not allowed with `FREQ=DAILY`; use it with `FREQ=YEARLY`, `FREQ=HOURLY`, `FREQ=MINUTELY` or \
             `FREQ=SECONDLY` [BYYEARDAY=1]",
        ),
        (
            "FREQ=WEEKLY;BYMONTHDAY=1",
            "`BYMONTHDAY` is not allowed with `FREQ=WEEKLY`; use it with another frequency, such as `FREQ=MONTHLY` \
             [BYMONTHDAY=1]",
        ),
        (
            "FREQ=WEEKLY;BYDAY=1MO",
            "numbered weekdays are allowed only with `FREQ=MONTHLY` or `FREQ=YEARLY`; with `FREQ=WEEKLY` write `MO` \
             [BYDAY=1MO]",
        ),
        (
            "FREQ=YEARLY;BYWEEKNO=1;BYDAY=1MO",
            "numbered weekdays are not allowed together with `BYWEEKNO`; write `MO` [BYDAY=1MO]",
        ),
        (
            "FREQ=DAILY;BYSETPOS=1",
            "`BYSETPOS` needs another part to select from, such as `BYDAY=MO,TU` [BYSETPOS=1]",
        ),
    ] {
        assert_eq!(of_rule(rule), message);
    }
}

#[test]
fn a_rule_that_never_occurs_is_rejected() {
    for rule in [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MONTHLY;BYMONTH=4;BYMONTHDAY=31",
        "FREQ=YEARLY;BYWEEKNO=10;BYMONTH=12",
        "FREQ=YEARLY;BYDAY=53MO;BYMONTH=1",
        "FREQ=MONTHLY;BYDAY=6MO",
        "FREQ=HOURLY;BYMINUTE=1,2;BYSETPOS=3",
        "FREQ=WEEKLY;BYDAY=MO,TU;BYSETPOS=3",
        "FREQ=SECONDLY;BYYEARDAY=366;BYMONTH=1",
    ] {
        assert_eq!(of_rule(rule), "this rule never occurs");
    }
}

/// Returns the reasons of the errors for an invalid draft, each with its argument.
fn of_draft(draft: &Draft<'_>) -> Vec<(Argument, String)> {
    let errors = draft.read().expect_err("a draft with mistakes");
    errors
        .iter()
        .map(|error| (error.argument(), error.reason().to_owned()))
        .collect()
}

#[test]
fn every_invalid_argument_is_reported() {
    let draft = Draft {
        rule: "FREQ=FORTNIGHTLY;BYHOUR=25",
        tz: Some("Mars/Olympus"),
        dtstart: Some("tomorrow"),
        exdates: vec!["2026-12-25T00:00:00", "Christmas"],
        rdates: vec!["Easter"],
        ..Draft::default()
    };
    let errors = of_draft(&draft);
    let arguments: Vec<_> = errors.iter().map(|(argument, _)| *argument).collect();
    let expected = [
        Argument::Rule,
        Argument::Rule,
        Argument::TimeZone,
        Argument::Start,
        Argument::Exdate(1),
        Argument::Rdate(0),
    ];
    assert_eq!(arguments, expected);
    let zone =
        "unknown time zone `Mars/Olympus`; expected a name from the IANA database, such as `Europe/Paris`";
    assert_eq!(errors[2].1, zone);
    let date = "expected a local date and time such as `\"2026-01-05T09:00:00\"`; `tz` sets its time zone";
    assert_eq!(errors[3].1, date);
}

#[test]
fn a_date_that_does_not_exist_or_is_not_an_occurrence_is_rejected() {
    let draft = Draft {
        rule: "FREQ=DAILY",
        tz: Some("Europe/Paris"),
        ..Draft::default()
    };
    let skipped =
        "the clocks in Europe/Paris skip this local time; choose another time, or set `gap = shift`"
            .to_owned();
    let start = Draft {
        dtstart: Some("2026-03-29T02:30:00"),
        ..draft.clone()
    };
    assert_eq!(of_draft(&start), [(Argument::Start, skipped.clone())]);
    assert!(
        Draft {
            gap: Gap::Shift,
            ..start
        }
        .read()
        .is_ok()
    );
    let added = Draft {
        rdates: vec!["2026-03-28T02:30:00", "2026-03-29T02:30:00"],
        ..draft.clone()
    };
    assert_eq!(of_draft(&added), [(Argument::Rdate(1), skipped)]);
    let unused = Draft {
        dtstart: Some("2026-01-05T09:00:00"),
        exdates: vec!["2026-01-06T09:00:00", "2026-12-25T00:00:00"],
        ..draft
    };
    let message = "`2026-12-25T00:00:00` is not an occurrence of this rule".to_owned();
    assert_eq!(of_draft(&unused), [(Argument::Exdate(1), message)]);
}

#[test]
fn a_start_after_which_the_rule_never_occurs_is_rejected() {
    let reason = |rule: &str, start: &str| {
        let draft = Draft {
            rule,
            dtstart: Some(start),
            ..Draft::default()
        };
        of_draft(&draft)[0].1.clone()
    };
    let start = "2026-01-01T00:00:00"; // a Thursday
    for until in ["20250101T000000Z", "20251231T235959", "20251231"] {
        let rule = format!("FREQ=DAILY;UNTIL={until}");
        assert_eq!(
            reason(&rule, start),
            "this rule never occurs: `UNTIL` is before `dtstart`"
        );
    }
    for rule in [
        "FREQ=WEEKLY;BYDAY=MO;UNTIL=20260104T000000",
        "FREQ=WEEKLY;BYDAY=MO;UNTIL=20260104T000000Z",
    ] {
        assert_eq!(reason(rule, start), "this rule never occurs before its `UNTIL`");
    }
    assert_eq!(
        reason("FREQ=DAILY;INTERVAL=14;BYDAY=MO", start),
        "this rule never occurs in the periods that `INTERVAL=14` selects, counted from its `dtstart`"
    );
    assert_eq!(
        reason("FREQ=MONTHLY;BYMONTH=2", "2026-01-30T00:00:00"),
        "this rule never occurs on or after its `dtstart`"
    );
}

#[test]
fn a_recurrence_without_a_remaining_occurrence_is_rejected() {
    let start = "2026-01-05T09:00:00".parse().unwrap();
    let once = Recurrence::new("FREQ=DAILY;COUNT=1")
        .unwrap()
        .starting_at(start)
        .exdate(start);
    assert_eq!(
        once.validate().unwrap_err().reason(),
        "this rule never occurs: every occurrence is excluded by `exdates` or skipped by the clocks"
    );
    let none = Recurrence::new("FREQ=DAILY")
        .unwrap()
        .missed(Missed::All { max: 0 });
    assert_eq!(none.validate().unwrap_err().argument(), Argument::Missed);
}

#[test]
fn a_message_shows_the_invalid_text() {
    let error = Recurrence::new("FREQ=FORTNIGHTLY").unwrap_err().to_string();
    assert!(
        error.starts_with("invalid RFC 5545 recurrence rule: `FORTNIGHTLY` is not a valid frequency"),
        "{error}"
    );
    assert!(error.ends_with("(at 5..16 of `FREQ=FORTNIGHTLY`)"), "{error}");
    let draft = Draft {
        rule: "FREQ=DAILY",
        dtstart: Some("tomorrow"),
        ..Draft::default()
    };
    let error = draft.read().unwrap_err()[0].to_string();
    assert!(error.ends_with("(`dtstart` is `tomorrow`)"), "{error}");
}
