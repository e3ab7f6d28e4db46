//! Measures the cost of the next occurrence of rules that started ten years ago.
//!
//! `cargo run --release --example cost`

use std::hint::black_box;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use oncetask_recurrence::{Recurrence, Zone};

const RULES: [&str; 40] = [
    "FREQ=YEARLY",
    "FREQ=YEARLY;INTERVAL=7;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO",
    "FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10",
    "FREQ=YEARLY;BYYEARDAY=366;INTERVAL=3",
    "FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
    "FREQ=MONTHLY",
    "FREQ=MONTHLY;BYMONTHDAY=31",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
    "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13;INTERVAL=5",
    "FREQ=WEEKLY",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE,FR",
    "FREQ=WEEKLY;INTERVAL=53;BYDAY=SU;BYMONTH=2",
    "FREQ=DAILY",
    "FREQ=DAILY;INTERVAL=3;BYHOUR=9,17",
    "FREQ=DAILY;INTERVAL=97;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=DAILY;INTERVAL=1000;BYDAY=MO",
    "FREQ=HOURLY",
    "FREQ=HOURLY;INTERVAL=7",
    "FREQ=HOURLY;INTERVAL=25;BYDAY=MO;BYHOUR=4",
    "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=23",
    "FREQ=MINUTELY",
    "FREQ=MINUTELY;INTERVAL=17",
    "FREQ=MINUTELY;INTERVAL=1441;BYHOUR=9",
    "FREQ=MINUTELY;INTERVAL=1439;BYHOUR=9;BYMINUTE=31;BYDAY=TU",
    "FREQ=MINUTELY;INTERVAL=7;BYMONTH=1;BYDAY=MO;BYHOUR=3;BYMINUTE=1",
    "FREQ=SECONDLY",
    "FREQ=SECONDLY;INTERVAL=90",
    "FREQ=SECONDLY;INTERVAL=7;BYSECOND=3;BYMINUTE=0;BYHOUR=0",
    "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=3;BYMINUTE=4;BYSECOND=5",
    "FREQ=SECONDLY;INTERVAL=86399;BYHOUR=3;BYMINUTE=4;BYSECOND=5",
    "FREQ=SECONDLY;INTERVAL=86399;BYMONTH=2;BYMONTHDAY=29;BYHOUR=3;BYMINUTE=4;BYSECOND=5",
    "FREQ=SECONDLY;INTERVAL=86401;BYDAY=MO;BYHOUR=3",
    "FREQ=SECONDLY;INTERVAL=86413;BYDAY=MO;BYHOUR=3;BYMINUTE=4;BYSECOND=5",
    "FREQ=SECONDLY;INTERVAL=259201;BYDAY=MO;BYHOUR=3;BYMINUTE=4",
    "FREQ=SECONDLY;INTERVAL=1000003;BYDAY=MO;BYMONTH=3",
    "FREQ=SECONDLY;INTERVAL=4294967295",
    "FREQ=SECONDLY;INTERVAL=61;BYMINUTE=7,22;BYSECOND=11;BYDAY=SA",
    "FREQ=HOURLY;BYMINUTE=0,15,30,45;BYSECOND=0;BYSETPOS=2,-1",
    "FREQ=MINUTELY;BYSECOND=0,20,40;BYSETPOS=-1;BYHOUR=8",
];

fn main() {
    let now: DateTime<Utc> = "2026-05-17T10:11:12Z".parse().expect("an instant");
    let mut worst = Duration::ZERO;
    let paris = "Europe/Paris".parse().expect("a time zone");
    for tz in [Zone::UTC, paris] {
        println!(
            "{tz}: nanoseconds of `after`: average over many instants; slowest first call, with preparation"
        );
        for rule in RULES {
            let rule = Recurrence::new(rule)
                .expect("a rule")
                .tz(tz)
                .anchored_at(now - TimeDelta::days(3653));
            let (mean, first) = (average(&rule, now), slowest_first_call(&rule, now));
            worst = worst.max(first);
            println!("{mean:>9} {:>9}  {}", first.as_nanos(), rule.rule());
        }
    }
    println!("slowest single call: {worst:?}");
}

fn average(rule: &Recurrence, now: DateTime<Utc>) -> u128 {
    let calls = 2000;
    let start = Instant::now();
    for minute in 0..calls {
        black_box(rule.after(black_box(now + TimeDelta::minutes(minute))));
    }
    start.elapsed().as_nanos() / u128::from(calls.unsigned_abs())
}

/// Returns the duration of the slowest of 20 first calls, each on a recurrence without cached values. Each
/// call is measured three times and the fastest is taken, to exclude other activity of the machine.
fn slowest_first_call(rule: &Recurrence, now: DateTime<Utc>) -> Duration {
    let measure = |minute: i64| {
        let fresh = rule.clone().missed(rule.missed_policy());
        let start = Instant::now();
        black_box(fresh.after(now + TimeDelta::minutes(minute)));
        start.elapsed()
    };
    let fastest = |minute| (0..3).map(|_| measure(minute)).min().unwrap_or_default();
    (0..20).map(fastest).max().unwrap_or_default()
}
