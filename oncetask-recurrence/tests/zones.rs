//! Occurrences around every clock change from 2020 to 2035, in every zone of the database, with every policy.
//! The expected occurrences of a daily and an hourly rule are found by reading the wall clock every five
//! minutes.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use oncetask_recurrence::{Gap, Overlap, Recurrence, Zone};

const POLICIES: [(Gap, Overlap); 4] = [
    (Gap::Skip, Overlap::First),
    (Gap::Skip, Overlap::Both),
    (Gap::Shift, Overlap::First),
    (Gap::Shift, Overlap::Both),
];

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn offset(tz: Tz, instant: DateTime<Utc>) -> i32 {
    tz.offset_from_utc_datetime(&instant.naive_utc())
        .fix()
        .local_minus_utc()
}

/// Returns the instants from 2020 to 2035 at which the offset changes.
fn changes(tz: Tz) -> Vec<DateTime<Utc>> {
    let start = instant("2020-01-01T00:00:00Z");
    let mut before = offset(tz, start);
    let mut changes = Vec::new();
    for now in (0..16 * 1461).map(|sixths| start + TimeDelta::hours(6 * sixths)) {
        if offset(tz, now) != before {
            let mut minutes = (0..360).map(|minutes| now - TimeDelta::minutes(359 - minutes));
            changes.extend(minutes.find(|minute| offset(tz, *minute) != before));
            before = offset(tz, now);
        }
    }
    changes
}

/// The times that the wall clock shows in the two days before and the two days after a change.
struct Observation {
    shown: BTreeMap<NaiveDateTime, Vec<DateTime<Utc>>>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    offset_before: i32,
}

impl Observation {
    fn new(tz: Tz, change: DateTime<Utc>) -> Self {
        let rounded = change - TimeDelta::seconds(change.timestamp() % 300);
        let (from, to) = (rounded - TimeDelta::days(2), rounded + TimeDelta::days(2));
        let mut shown = BTreeMap::<_, Vec<_>>::new();
        let mut now = from;
        while now < to {
            shown
                .entry(now.with_timezone(&tz).naive_local())
                .or_default()
                .push(now);
            now += TimeDelta::minutes(5);
        }
        let offset_before = offset(tz, change - TimeDelta::seconds(1));
        Self {
            shown,
            from,
            to,
            offset_before,
        }
    }

    /// Returns the instants to which the local times of a rule are mapped.
    fn expected(
        &self,
        matches: impl Fn(NaiveDateTime) -> bool,
        gap: Gap,
        overlap: Overlap,
    ) -> Vec<DateTime<Utc>> {
        let mut expected = BTreeSet::new();
        let first = *self.shown.first_key_value().unwrap().0;
        let last = *self.shown.last_key_value().unwrap().0;
        let five_minutes = |local: &NaiveDateTime| Some(*local + TimeDelta::minutes(5));
        let every = std::iter::successors(Some(first), five_minutes).take_while(|local| *local <= last);
        for local in every.filter(|local| matches(*local)) {
            match self.shown.get(&local) {
                Some(instants) if overlap == Overlap::Both => expected.extend(instants),
                Some(instants) => expected.extend(instants.first()),
                None if gap == Gap::Shift => {
                    expected.insert(local.and_utc() - TimeDelta::seconds(self.offset_before.into()));
                }
                None => {}
            }
        }
        // A time may be shifted beyond the end of the observation.
        expected
            .into_iter()
            .filter(|instant| *instant < self.to)
            .collect()
    }

    fn check(
        &self,
        tz: Tz,
        policies: &[(Gap, Overlap)],
        rule: &str,
        matches: impl Fn(NaiveDateTime) -> bool,
    ) {
        for &(gap, overlap) in policies {
            let recurrence = Recurrence::new(rule)
                .unwrap()
                .tz(tz.name().parse().unwrap())
                .starting_at("2019-06-01T00:00:00".parse().unwrap())
                .gap(gap)
                .overlap(overlap);
            let found: Vec<_> = recurrence.occurrences_between(self.from, self.to).collect();
            let expected = self.expected(&matches, gap, overlap);
            assert_eq!(found, expected, "{recurrence}, {gap:?}, {overlap:?}");
            let after = recurrence.iter_after(self.from - TimeDelta::seconds(1));
            for (occurrence, again) in after.zip(&expected).step_by(11) {
                assert_eq!(recurrence.after(occurrence - TimeDelta::seconds(1)), Some(*again));
            }
        }
    }
}

/// Checks daily and hourly rules at local times that the change affects, and at one that it does not affect.
fn check_change(tz: Tz, change: DateTime<Utc>, policies: &[(Gap, Overlap)]) {
    let observation = Observation::new(tz, change);
    for ago in [0, -1800, 1800, 80_000] {
        let local = (change - TimeDelta::seconds(ago))
            .with_timezone(&tz)
            .naive_local();
        let (hour, minute) = (local.hour(), local.minute() / 5 * 5);
        let rule = format!("FREQ=DAILY;BYHOUR={hour};BYMINUTE={minute}");
        observation.check(tz, policies, &rule, |local| {
            (local.hour(), local.minute()) == (hour, minute)
        });
    }
    for minute in [0, 30] {
        let rule = format!("FREQ=HOURLY;BYMINUTE={minute}");
        observation.check(tz, policies, &rule, |local| local.minute() == minute);
    }
}

/// Zones with the same offsets and changes as an earlier zone are checked with the default policies only.
#[test]
fn occurrences_match_the_wall_clock_at_every_clock_change() {
    let mut checked = 0;
    let mut known = BTreeSet::new();
    for tz in TZ_VARIANTS {
        let changes = changes(tz);
        let clocks: Vec<_> = changes
            .iter()
            .map(|change| (*change, offset(tz, *change)))
            .collect();
        let start = offset(tz, instant("2020-01-01T00:00:00Z"));
        let policies = if known.insert((start, clocks)) {
            &POLICIES[..]
        } else {
            &POLICIES[..1]
        };
        for change in &changes {
            check_change(tz, *change, policies);
            checked += 1;
        }
    }
    println!(
        "{checked} clock changes in {} zones, {} of them different",
        TZ_VARIANTS.len(),
        known.len()
    );
    assert!(checked > 5000);
}

/// The mapping of local times relies on at most one clock change within 26 hours on either side.
#[test]
fn clock_changes_are_more_than_two_days_apart() {
    const STEP: i64 = 13;
    let start = instant("1970-01-01T00:00:00Z");
    for tz in TZ_VARIANTS {
        let (mut last, mut before) = (DateTime::<Utc>::MIN_UTC, offset(tz, start));
        for now in (0..80 * 8766 / STEP).map(|steps| start + TimeDelta::hours(steps * STEP)) {
            let offset = offset(tz, now);
            if offset != before {
                assert!(now - last > TimeDelta::hours(52), "{tz} at {now}");
                (last, before) = (now, offset);
            }
        }
    }
}

#[test]
fn a_zone_agrees_with_the_database() {
    let now = instant("2026-07-01T12:00:00Z");
    for tz in TZ_VARIANTS {
        let zone: Zone = tz.name().parse().unwrap();
        assert_eq!(zone.to_string(), tz.name());
        let (by_zone, by_tz) = (now.with_timezone(&zone), now.with_timezone(&tz));
        assert_eq!(by_zone.to_string(), by_tz.to_string());
        assert_eq!(by_zone.timezone(), zone);
        let local = by_zone.naive_local();
        assert_eq!(zone.from_local_datetime(&local).earliest(), Some(by_zone));
    }
}
