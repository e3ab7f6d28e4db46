//! Random and mutated rules: every text gets an answer in bounded time, without a panic.
//!
//! `FUZZ=1000000 cargo test --release --test fuzz` tests that many texts. `FUZZ_SEED=7` selects other texts.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use oncetask_recurrence::{Gap, Overlap, Recurrence};

/// A linear congruential generator with the constants of Knuth's MMIX. Only the upper bits are used.
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

const ZONES: [&str; 6] = [
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
];

/// Returns a random rule, valid or not.
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

/// Inserts noise at a random position. In one of four cases the noise replaces the text up to another
/// position.
fn mutate(random: &mut Random, text: &mut String) {
    let boundaries: Vec<_> = text
        .char_indices()
        .map(|(index, _)| index)
        .chain([text.len()])
        .collect();
    let (a, b) = (
        boundaries[random.below(boundaries.len())],
        boundaries[random.below(boundaries.len())],
    );
    let noise = random.pick(&NOISE);
    let end = if random.below(4) == 0 { a.max(b) } else { a.min(b) };
    text.replace_range(a.min(b)..end, noise);
}

/// Computes occurrences after several instants, checks their order, and returns the duration of the slowest
/// call.
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
            let started = Instant::now();
            let next = occurrences.next();
            slowest = slowest.max(started.elapsed());
            let Some(next) = next else { break };
            assert!(next > last, "{recurrence}: {next} after {last}");
            last = next;
        }
        // The result does not depend on the instant from which the iteration started.
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

/// Returns a recurrence of this rule with a random zone, random policies and a random start.
fn with_random_options(rule: Recurrence, random: &mut Random) -> Recurrence {
    let seconds = i64::try_from(random.below(1 << 31)).unwrap();
    let start = DateTime::from_timestamp(seconds, 0).unwrap();
    let zone = random.pick(&ZONES).parse().unwrap();
    let gap = [Gap::Skip, Gap::Shift][random.below(2)];
    let overlap = [Overlap::First, Overlap::Both][random.below(2)];
    rule.tz(zone).gap(gap).overlap(overlap).anchored_at(start)
}

/// Parses, validates and evaluates a rule. Returns the duration of the slowest call with the recurrence, or
/// `None` if the text is not a rule.
fn check(text: &str, random: &mut Random) -> Option<(Duration, Recurrence)> {
    let started = Instant::now();
    let parsed = Recurrence::new(text);
    let parsing = started.elapsed();
    let rule = match parsed {
        Ok(rule) => rule,
        Err(error) => {
            assert!(
                error.span().is_none_or(|span| text.get(span).is_some()),
                "{error}"
            );
            return None;
        }
    };
    let recurrence = with_random_options(rule, random);
    let started = Instant::now();
    let valid = recurrence.validate().is_ok();
    let validation = started.elapsed();
    assert!(
        !valid || recurrence.first().is_some(),
        "{recurrence} is valid, but has no occurrence"
    );
    let slowest = parsing.max(validation).max(follow(&recurrence, random));
    Some((slowest, recurrence))
}

#[test]
fn every_text_gets_an_answer_in_bounded_time() {
    let number = std::env::var("FUZZ").map_or(20_000, |number| number.parse().unwrap());
    let seed = std::env::var("FUZZ_SEED").map_or(5545, |seed| seed.parse().unwrap());
    let mut random = Random(seed);
    let (mut rules, mut counted) = (0, (Duration::ZERO, String::new()));
    let mut unlimited = counted.clone();
    for _ in 0..number {
        let text = rule(&mut random);
        let Some((duration, recurrence)) = check(&text, &mut random) else {
            continue;
        };
        let slowest = if recurrence.rule().contains("COUNT") {
            &mut counted
        } else {
            &mut unlimited
        };
        if duration > slowest.0 {
            *slowest = (duration, recurrence.to_string());
        }
        rules += 1;
    }
    println!("{number} texts, {rules} of them rules; the slowest calls with and without COUNT:");
    println!("{:?} {}\n{:?} {}", counted.0, counted.1, unlimited.0, unlimited.1);
    assert!(rules > number / 10);
    assert!(counted.0.max(unlimited.0) < Duration::from_secs(5));
}
