//! Mutated rules: whatever the text, an answer comes soon, and never a panic.
//!
//! `FUZZ=1000000 cargo test --release --test fuzz` tries that many.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use oncetask_recurrence::{Gap, Overlap, Recurrence, Tz};

/// A linear congruential generator with the constants of Knuth's MMIX; its upper bits are used.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let upper = usize::try_from(self.0 >> 33).unwrap();
        upper % bound
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const FREQUENCIES: [&str; 7] = [
    "YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY",
];

const PARTS: [&str; 46] = [
    "INTERVAL=2",
    "INTERVAL=7",
    "INTERVAL=60",
    "INTERVAL=97",
    "INTERVAL=1439",
    "INTERVAL=3601",
    "INTERVAL=86399",
    "INTERVAL=86401",
    "INTERVAL=604801",
    "INTERVAL=2629800",
    "INTERVAL=31556952",
    "INTERVAL=4294967295",
    "COUNT=1",
    "COUNT=20",
    "COUNT=100000",
    "UNTIL=20300101",
    "UNTIL=20260601T120000",
    "UNTIL=20260601T120000Z",
    "UNTIL=99991231T235959Z",
    "BYMONTH=2",
    "BYMONTH=1,3,5,7,9,11",
    "BYWEEKNO=53",
    "BYWEEKNO=1,-1,-53",
    "BYYEARDAY=366",
    "BYYEARDAY=1,100,-366",
    "BYMONTHDAY=29",
    "BYMONTHDAY=31,-31",
    "BYMONTHDAY=15",
    "BYDAY=MO",
    "BYDAY=5MO,-5TU",
    "BYDAY=SA,1SU",
    "BYDAY=53FR",
    "BYHOUR=3",
    "BYHOUR=0,2,4,6,23",
    "BYMINUTE=4",
    "BYMINUTE=0,15,30,45,59",
    "BYSECOND=5",
    "BYSECOND=60",
    "BYSECOND=0,2,4,6,8,10,12,14,16,18,20",
    "BYSETPOS=1",
    "BYSETPOS=-1",
    "BYSETPOS=366,-366",
    "WKST=SU",
    "WKST=TH",
    "X-PART=1",
    "COUNT=0",
];

const NOISE: [&str; 16] = [
    "",
    ";",
    "=",
    ",",
    "-",
    "+",
    "0",
    "9",
    "99999999999999999999",
    "é",
    "\u{0}",
    " ",
    "BY",
    "T",
    "Z",
    "MO",
];

const ZONES: [Tz; 6] = [
    Tz::UTC,
    Tz::Europe__Paris,
    Tz::America__New_York,
    Tz::Australia__Lord_Howe,
    Tz::Pacific__Apia,
    Tz::Africa__Casablanca,
];

fn rule(random: &mut Random) -> String {
    let mut parts = vec![format!("FREQ={}", random.pick(&FREQUENCIES))];
    for _ in 0..random.below(6) {
        parts.push(random.pick(&PARTS).to_owned());
    }
    let mut text = parts.join(";");
    if random.below(3) == 0 {
        for _ in 0..=random.below(3) {
            mutate(random, &mut text);
        }
    }
    text
}

fn mutate(random: &mut Random, text: &mut String) {
    let places: Vec<_> = text
        .char_indices()
        .map(|(place, _)| place)
        .chain([text.len()])
        .collect();
    let (a, b) = (
        places[random.below(places.len())],
        places[random.below(places.len())],
    );
    let noise = random.pick(&NOISE);
    let end = if random.below(4) == 0 { a.max(b) } else { a.min(b) };
    text.replace_range(a.min(b)..end, noise);
}

/// Follows the rule from some instants; gives back how long the slowest answer took.
fn follow(recurrence: &Recurrence, random: &mut Random) -> Duration {
    let mut slowest = Duration::ZERO;
    let instants = [
        "1969-12-31T23:59:59Z",
        "2011-12-30T09:59:59Z",
        "2026-03-29T00:59:59Z",
        "9999-12-31T00:00:00Z",
    ];
    let shift = TimeDelta::seconds(i64::try_from(random.below(1 << 30)).unwrap());
    let extremes = [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC];
    let instants = instants
        .iter()
        .map(|text| text.parse::<DateTime<Utc>>().unwrap() - shift)
        .chain(extremes);
    for instant in instants {
        let mut last = instant;
        let mut occurrences = recurrence.iter_after(instant);
        for _ in 0..8 {
            let asked = Instant::now();
            let next = occurrences.next();
            slowest = slowest.max(asked.elapsed());
            let Some(next) = next else { break };
            assert!(next > last, "{recurrence}: {next} after {last}");
            last = next;
        }
        // Asked from the middle, the answer is the same.
        if last > instant && recurrence.dtstart().is_some() {
            assert_eq!(
                recurrence.after(last - TimeDelta::nanoseconds(1)),
                Some(last),
                "{recurrence}"
            );
        }
    }
    slowest
}

#[test]
fn any_text_is_answered() {
    let number = std::env::var("FUZZ").map_or(20_000, |number| number.parse().unwrap());
    let seed = std::env::var("FUZZ_SEED").map_or(5545, |seed| seed.parse().unwrap());
    let mut random = Random(seed);
    let (mut rules, mut counted) = (0, (Duration::ZERO, String::new()));
    let mut endless = counted.clone();
    for _ in 0..number {
        let text = rule(&mut random);
        let asked = Instant::now();
        let read = Recurrence::new(&text);
        let mut took = asked.elapsed();
        let recurrence = match read {
            Ok(recurrence) => recurrence,
            Err(error) => {
                assert!(
                    error.span().is_none_or(|span| text.get(span).is_some()),
                    "{error}"
                );
                continue;
            }
        };
        let seconds = i64::try_from(random.below(1 << 31)).unwrap();
        let start = DateTime::from_timestamp(seconds, 0).unwrap();
        let recurrence = recurrence
            .tz(ZONES[random.below(ZONES.len())])
            .gap(if random.below(2) == 0 {
                Gap::Skip
            } else {
                Gap::Shift
            })
            .overlap(if random.below(2) == 0 {
                Overlap::First
            } else {
                Overlap::Both
            })
            .anchored_at(start);
        let asked = Instant::now();
        let valid = recurrence.validate().is_ok();
        took = took.max(asked.elapsed());
        assert!(
            !valid || recurrence.first().is_some(),
            "{recurrence} is valid, but has no occurrence"
        );
        took = took.max(follow(&recurrence, &mut random));
        let slowest = if recurrence.rule().contains("COUNT") {
            &mut counted
        } else {
            &mut endless
        };
        if took > slowest.0 {
            *slowest = (took, recurrence.to_string());
        }
        rules += 1;
    }
    println!("{number} texts, {rules} of them rules; the slowest answers with and without COUNT:");
    println!("{:?} {}\n{:?} {}", counted.0, counted.1, endless.0, endless.1);
    assert!(rules > number / 10);
    assert!(counted.0.max(endless.0) < Duration::from_secs(5));
}
