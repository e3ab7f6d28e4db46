//! The effects of the policies on local times that the clocks skip or show twice, on `COUNT` and on single
//! dates.

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Utc};
use oncetask_recurrence::{Gap, Moment, Overlap, Recurrence};

fn local(text: &str) -> NaiveDateTime {
    text.parse().unwrap()
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn paris(rule: &str, start: &str) -> Recurrence {
    Recurrence::new(rule)
        .unwrap()
        .tz("Europe/Paris".parse().unwrap())
        .starting_at(local(start))
}

/// Returns the first occurrences, formatted as `day hour:minute` in UTC.
fn first(recurrence: &Recurrence, number: usize) -> Vec<String> {
    let all = recurrence.iter_after(DateTime::<Utc>::MIN_UTC).take(number);
    all.map(|instant| instant.format("%d %H:%M").to_string())
        .collect()
}

#[test]
fn a_skipped_time_is_dropped_or_shifted() {
    let nightly = paris("FREQ=DAILY", "2026-03-28T02:30:00");
    assert_eq!(first(&nightly, 3), ["28 01:30", "30 00:30", "31 00:30"]);
    assert_eq!(
        first(&nightly.gap(Gap::Shift), 3),
        ["28 01:30", "29 01:30", "30 00:30"]
    );
}

#[test]
fn a_repeated_time_occurs_once_or_twice() {
    let nightly = paris("FREQ=DAILY", "2026-10-24T02:30:00");
    assert_eq!(first(&nightly, 3), ["24 00:30", "25 00:30", "26 01:30"]);
    assert_eq!(
        first(&nightly.overlap(Overlap::Both), 4),
        ["24 00:30", "25 00:30", "25 01:30", "26 01:30"]
    );
}

#[test]
fn an_hourly_rule_follows_the_wall_clock() {
    let spring = paris("FREQ=HOURLY", "2026-03-29T00:30:00");
    assert_eq!(
        first(&spring, 4),
        ["28 23:30", "29 00:30", "29 01:30", "29 02:30"]
    );
    assert_eq!(
        first(&spring.gap(Gap::Shift), 4),
        ["28 23:30", "29 00:30", "29 01:30", "29 02:30"]
    );
    let autumn = paris("FREQ=HOURLY", "2026-10-25T01:30:00");
    assert_eq!(first(&autumn, 3), ["24 23:30", "25 00:30", "25 02:30"]);
    assert_eq!(
        first(&autumn.overlap(Overlap::Both), 4),
        ["24 23:30", "25 00:30", "25 01:30", "25 02:30"]
    );
}

#[test]
fn repeated_minutes_occur_in_the_order_of_instants() {
    let every = paris("FREQ=MINUTELY;INTERVAL=20", "2026-10-25T02:00:00").overlap(Overlap::Both);
    let expected = [
        "25 00:00", "25 00:20", "25 00:40", "25 01:00", "25 01:20", "25 01:40", "25 02:00",
    ];
    assert_eq!(first(&every, 7), expected);
    assert_eq!(
        every.after(instant("2026-10-25T00:45:00Z")),
        Some(instant("2026-10-25T01:00:00Z"))
    );
}

#[test]
fn a_day_that_a_zone_skips_has_no_occurrence() {
    let samoa = Recurrence::new("FREQ=DAILY")
        .unwrap()
        .tz("Pacific/Apia".parse().unwrap())
        .starting_at(local("2011-12-28T12:00:00"));
    assert_eq!(first(&samoa, 3), ["28 22:00", "29 22:00", "30 22:00"]);
    // Noon of the 30th is shifted by a day, to the instant of noon of the 31st. Both are one occurrence.
    assert_eq!(
        first(&samoa.gap(Gap::Shift), 3),
        ["28 22:00", "29 22:00", "30 22:00"]
    );
}

#[test]
fn count_includes_only_local_times_that_exist() {
    let thrice = paris("FREQ=DAILY;COUNT=3", "2026-03-28T02:30:00");
    assert_eq!(first(&thrice, 9), ["28 01:30", "30 00:30", "31 00:30"]);
    assert_eq!(
        first(&thrice.gap(Gap::Shift), 9),
        ["28 01:30", "29 01:30", "30 00:30"]
    );
    let twice = paris("FREQ=DAILY;COUNT=2", "2026-10-24T02:30:00").overlap(Overlap::Both);
    assert_eq!(first(&twice, 9), ["24 00:30", "25 00:30", "25 01:30"]);
}

#[test]
fn count_includes_excluded_dates_but_not_added_dates() {
    let rule = paris("FREQ=DAILY;COUNT=3", "2026-01-05T09:00:00");
    assert_eq!(
        first(&rule.clone().exdate(local("2026-01-06T09:00:00")), 9),
        ["05 08:00", "07 08:00"]
    );
    let more = rule
        .rdate(local("2026-01-06T12:00:00"))
        .rdate(local("2026-01-06T09:00:00"));
    assert_eq!(first(&more, 9), ["05 08:00", "06 08:00", "06 11:00", "07 08:00"]);
}

#[test]
fn an_added_date_can_be_excluded() {
    let date = local("2026-01-06T12:00:00");
    let rule = paris("FREQ=DAILY;COUNT=1", "2026-01-05T09:00:00")
        .rdate(date)
        .exdate(date);
    assert_eq!(first(&rule, 9), ["05 08:00"]);
    assert_eq!(rule.unused_exdates(), []);
}

#[test]
fn dates_may_be_local_times_or_instants() {
    let rule = paris("FREQ=DAILY", "2026-01-05T09:00:00");
    let by_clock = rule.clone().exdate(local("2026-01-06T09:00:00"));
    let by_instant = rule.clone().exdate(instant("2026-01-06T08:00:00Z"));
    assert_eq!(first(&by_clock, 5), first(&by_instant, 5));
    let unused = rule.exdate(instant("2026-01-06T09:00:00Z")).unused_exdates();
    assert_eq!(unused, [Moment::Instant(instant("2026-01-06T09:00:00Z"))]);
}

#[test]
fn an_excluded_local_time_is_excluded_each_time_it_occurs() {
    let date = local("2026-10-25T02:30:00");
    let rule = paris("FREQ=DAILY", "2026-10-24T02:30:00").exdate(date);
    assert_eq!(first(&rule, 2), ["24 00:30", "26 01:30"]);
    assert_eq!(first(&rule.overlap(Overlap::Both), 2), ["24 00:30", "26 01:30"]);
}

#[test]
fn until_is_an_instant_or_a_local_time() {
    let last = |until: &str| {
        let rule = paris(&format!("FREQ=DAILY;UNTIL={until}"), "2026-07-01T09:00:00");
        rule.iter_after(DateTime::<Utc>::MIN_UTC).last().unwrap().day()
    };
    assert_eq!(last("20260705T070000Z"), 5);
    assert_eq!(last("20260705T065959Z"), 4);
    assert_eq!(last("20260705T090000"), 5);
    assert_eq!(last("20260705T085959"), 4);
    assert_eq!(last("20260705"), 4);
}

#[test]
fn a_rule_without_a_start_begins_when_it_is_used() {
    let daily = Recurrence::new("FREQ=DAILY;INTERVAL=2")
        .unwrap()
        .tz("Europe/Paris".parse().unwrap());
    let created = instant("2026-01-05T08:15:30.75Z");
    assert_eq!(daily.first(), None);
    assert_eq!(daily.after(created), Some(instant("2026-01-07T08:15:30Z")));
    let anchored = daily.anchored_at(created);
    assert_eq!(anchored.dtstart(), Some(local("2026-01-05T09:15:30")));
    assert_eq!(anchored.first(), Some(instant("2026-01-05T08:15:30Z")));
    assert_eq!(anchored.anchored_at(instant("2030-01-01T00:00:00Z")), anchored);
}

#[test]
fn the_start_is_an_occurrence_only_if_it_matches_the_rule() {
    let mondays = paris("FREQ=WEEKLY;BYDAY=MO", "2026-01-06T09:00:00");
    assert_eq!(mondays.first(), Some(instant("2026-01-12T08:00:00Z")));
}

#[test]
fn a_range_includes_its_first_instant_and_excludes_its_last() {
    let hourly = paris("FREQ=HOURLY", "2026-01-05T09:00:00");
    let between = |from, to| hourly.occurrences_between(instant(from), instant(to)).count();
    assert_eq!(between("2026-01-05T10:00:00Z", "2026-01-05T13:00:00Z"), 3);
    assert_eq!(between("2026-01-05T10:00:00.5Z", "2026-01-05T13:00:00.5Z"), 3);
}

#[test]
fn weeks_are_numbered_as_in_iso_8601() {
    for week in [1, 2, 51, 52, 53, -1, -2, -51, -52, -53] {
        let start = local("1990-01-01T00:00:00");
        let rule = Recurrence::new(&format!("FREQ=YEARLY;BYWEEKNO={week}"))
            .unwrap()
            .starting_at(start);
        let found: Vec<_> = rule
            .occurrences_between(instant("1990-01-01T00:00:00Z"), instant("2401-01-01T00:00:00Z"))
            .collect();
        let days = (0..)
            .map(|days| (start + TimeDelta::days(days)).and_utc())
            .take_while(|day| day.year() <= 2400);
        let in_week = |day: &DateTime<Utc>| {
            let number = i64::from(day.iso_week().week());
            let weeks = i64::from(weeks_of(day.iso_week().year()));
            number == week || number - weeks - 1 == week
        };
        assert_eq!(found, days.filter(in_week).collect::<Vec<_>>(), "week {week}");
    }
}

/// Returns the number of weeks in a year. 28 December is always in the last week.
fn weeks_of(year: i32) -> u32 {
    chrono::NaiveDate::from_ymd_opt(year, 12, 28)
        .unwrap()
        .iso_week()
        .week()
}

#[test]
fn extreme_instants_do_not_cause_a_panic() {
    for rule in [
        "FREQ=YEARLY",
        "FREQ=WEEKLY;WKST=SU",
        "FREQ=SECONDLY",
        "FREQ=DAILY;INTERVAL=4294967295",
    ] {
        for start in [
            NaiveDateTime::MIN,
            NaiveDateTime::MAX,
            local("0001-01-01T00:00:00"),
            local("9999-12-31T23:59:59"),
        ] {
            for tz in ["UTC", "Pacific/Kiritimati", "America/New_York"] {
                let rule = Recurrence::new(rule)
                    .unwrap()
                    .tz(tz.parse().unwrap())
                    .starting_at(start)
                    .rdate(NaiveDateTime::MAX);
                let _ = rule.validate();
                for instant in [
                    DateTime::<Utc>::MIN_UTC,
                    DateTime::<Utc>::MAX_UTC,
                    instant("9999-12-31T23:59:58Z"),
                ] {
                    let _ = (rule.after(instant), rule.anchored_at(instant), rule.first());
                }
            }
        }
    }
}
