//! The duration of the search for the next occurrence of a rule that began long ago.

use std::hint::black_box;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use oncetask::Recurrence;

use super::Result;
use crate::options::Options;
use crate::report::{Line, ProcessUsage};

const RULES: &[&str] = &[
    "FREQ=SECONDLY",
    "FREQ=SECONDLY;INTERVAL=7",
    "FREQ=SECONDLY;BYHOUR=3;BYMINUTE=4;BYSECOND=5",
    "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=3;BYMINUTE=4;BYSECOND=5",
    "FREQ=MINUTELY",
    "FREQ=MINUTELY;INTERVAL=90;BYDAY=MO",
    "FREQ=HOURLY;INTERVAL=5",
    "FREQ=DAILY;BYHOUR=2",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,TH",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
    "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
    "FREQ=YEARLY;INTERVAL=7;BYMONTH=2;BYMONTHDAY=29",
];
const CALLS_PER_RULE: u32 = 200;

/// Measures rules without `COUNT` that began ten years ago.
pub(crate) fn recurrence(options: &Options) -> Result {
    let now = Utc::now();
    let start = (now - TimeDelta::days(3653)).naive_utc();
    for rule in RULES {
        let recurrence = Recurrence::new(rule)?
            .tz("Europe/Paris".parse()?)
            .starting_at(start);
        let before = ProcessUsage::of_this_process();
        let times: Vec<Duration> = (0..CALLS_PER_RULE)
            .map(|call| {
                let began = Instant::now();
                black_box(recurrence.after(black_box(now + TimeDelta::minutes(i64::from(call)))));
                began.elapsed()
            })
            .collect();
        let mut line = Line::new(&options.store, "recurrence", 0)
            .percentiles(times)
            .process_usage(before, ProcessUsage::of_this_process());
        line.store = String::new();
        line.note = Some((*rule).to_owned());
        line.print()?;
    }
    Ok(())
}
