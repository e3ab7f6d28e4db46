//! Every form of `#[run_at]` and `#[recurrence]`.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, FixedOffset, TimeZone as _, Utc};
use oncetask::{Gap, Missed, OnceTask, Overlap, Recurrence, Schedule};
use serde::{Deserialize, Serialize};

use crate::discovered;

#[derive(Serialize, Deserialize, OnceTask)]
#[id("at:{n}")]
struct At {
    n: u8,
    #[run_at]
    at: DateTime<FixedOffset>,
}

#[derive(Serialize, Deserialize, OnceTask)]
#[id("perhaps:{n}")]
struct Perhaps {
    n: u8,
    #[run_at]
    at: Option<SystemTime>,
}

#[derive(Serialize, Deserialize, OnceTask)]
#[id("computed:{n}")]
#[run_at(with = Self::at)]
struct Computed {
    n: u8,
}

impl Computed {
    fn at(&self) -> Option<DateTime<Utc>> {
        (self.n > 0).then_some(DateTime::UNIX_EPOCH)
    }
}

#[test]
fn run_at_gives_an_instant_or_now() {
    let noon = Utc.with_ymd_and_hms(2026, 1, 5, 12, 0, 0).unwrap();
    let offset = FixedOffset::east_opt(3600).unwrap();
    let at = At {
        n: 1,
        at: noon.with_timezone(&offset),
    };
    assert_eq!(at.schedule(), Schedule::At(noon));
    let in_a_second = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let perhaps = |at| Perhaps { n: 1, at }.schedule();
    assert_eq!(perhaps(None), Schedule::Now);
    assert_eq!(perhaps(Some(in_a_second)), Schedule::At(in_a_second.into()));
    assert_eq!(Computed { n: 0 }.schedule(), Schedule::Now);
    assert_eq!(Computed { n: 1 }.schedule(), Schedule::At(DateTime::UNIX_EPOCH));
}

#[derive(Serialize, Deserialize, OnceTask)]
#[id("nightly")]
#[recurrence(
    "FREQ=DAILY;BYHOUR=2;BYMINUTE=0;BYSECOND=0",
    tz = "Europe/Paris",
    dtstart = "2026-01-05T02:00:00",
    exdates = ["2026-12-25T02:00:00"],
    rdates = ["2026-12-25T04:00:00", "2026-12-26T03:00:00Z"],
    missed = all(max = 3),
    gap = shift,
    overlap = both,
    at_start,
)]
#[handler]
struct Nightly;

impl Nightly {
    async fn run(self) {}
}

#[test]
fn the_attribute_gives_the_rule_and_its_options() {
    let rule = Recurrence::new("FREQ=DAILY;BYHOUR=2;BYMINUTE=0;BYSECOND=0")
        .unwrap()
        .tz("Europe/Paris".parse().unwrap())
        .starting_at("2026-01-05T02:00:00".parse().unwrap())
        .exdate(
            "2026-12-25T02:00:00"
                .parse::<oncetask::schedule::Moment>()
                .unwrap(),
        )
        .rdate(
            "2026-12-25T04:00:00"
                .parse::<oncetask::schedule::Moment>()
                .unwrap(),
        )
        .rdate(
            "2026-12-26T03:00:00Z"
                .parse::<oncetask::schedule::Moment>()
                .unwrap(),
        )
        .missed(Missed::All { max: 3 })
        .gap(Gap::Shift)
        .overlap(Overlap::Both);
    assert_eq!(Nightly.schedule(), Schedule::Recurring(rule));
    assert!(discovered("Nightly").has_handler());
}

#[derive(Serialize, Deserialize, OnceTask)]
#[id("plain")]
#[recurrence("FREQ=HOURLY", missed = one, gap = skip, overlap = first)]
struct Plain;

#[derive(Serialize, Deserialize, OnceTask)]
#[id("report:{region}")]
struct Report {
    region: String,
    #[recurrence]
    every: Option<Recurrence>,
}

#[derive(Serialize, Deserialize, OnceTask)]
#[id("poll:{0}")]
#[recurrence(with = Poll::rule)]
struct Poll(u8);

impl Poll {
    fn rule(&self) -> Recurrence {
        Recurrence::new(&format!("FREQ=MINUTELY;INTERVAL={}", self.0)).unwrap()
    }
}

#[derive(Serialize, Deserialize, OnceTask)]
#[id("tick")]
#[recurrence(with = tick, at_start)]
struct Tick {}

fn tick(_: &Tick) -> Option<Recurrence> {
    None
}

#[test]
fn a_field_or_a_function_gives_the_rule() {
    let hourly = Recurrence::new("FREQ=HOURLY").unwrap();
    assert_eq!(Plain.schedule(), Schedule::Recurring(hourly.clone()));
    let report = |every| Report {
        region: "eu".into(),
        every,
    };
    assert_eq!(report(None).schedule(), Schedule::Now);
    assert_eq!(
        report(Some(hourly.clone())).schedule(),
        Schedule::Recurring(hourly)
    );
    let minutely = Recurrence::new("FREQ=MINUTELY;INTERVAL=5").unwrap();
    assert_eq!(Poll(5).schedule(), Schedule::Recurring(minutely));
    assert_eq!(Tick {}.schedule(), Schedule::Now);
}
