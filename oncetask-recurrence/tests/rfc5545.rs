//! The examples of RFC 5545, section 3.8.5.3, in its order and with its dates, at 9:00 in New York.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use oncetask_recurrence::{Recurrence, Zone};

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Parses dates in the form `1997 Sep 2-11 Oct 7,14`.
fn dates(text: &str) -> Vec<NaiveDate> {
    let (mut year, mut month, mut dates) = (0, 0, Vec::new());
    for word in text.split_whitespace() {
        if word.len() == 4 && word.parse::<i32>().is_ok() {
            year = word.parse().unwrap();
        } else if let Some(index) = MONTHS.iter().zip(1..).find(|(name, _)| **name == word) {
            month = index.1;
        } else {
            for days in word.split(',') {
                let (first, last) = days.split_once('-').unwrap_or((days, days));
                for day in first.parse::<u32>().unwrap()..=last.parse().unwrap() {
                    dates.push(NaiveDate::from_ymd_opt(year, month, day).unwrap());
                }
            }
        }
    }
    dates
}

fn local_times(rule: &str, start: NaiveDateTime, number: usize) -> Vec<NaiveDateTime> {
    let tz: Zone = "America/New_York".parse().unwrap();
    let recurrence = Recurrence::new(rule).unwrap().tz(tz).starting_at(start);
    recurrence.validate().unwrap();
    let all = recurrence.iter_after(DateTime::<Utc>::MIN_UTC);
    all.take(number)
        .map(|instant| instant.with_timezone(&tz).naive_local())
        .collect()
}

/// Checks the occurrences of a rule. `...` at the end of `expected` stands for later occurrences.
#[track_caller]
fn check(start: &str, rule: &str, expected: &str) {
    let (expected, open) = expected
        .strip_suffix("...")
        .map_or((expected, false), |expected| (expected, true));
    let nine = |date: NaiveDate| date.and_hms_opt(9, 0, 0).unwrap();
    let expected: Vec<_> = dates(expected).into_iter().map(nine).collect();
    let start = nine(dates(start)[0]);
    let found = local_times(rule, start, expected.len() + usize::from(!open));
    assert_eq!(found, expected, "{rule}");
}

/// Checks that a rule has these times on each of the days from 2 September 1997.
#[track_caller]
fn check_times(rule: &str, expected: &str, days: u32) {
    let day = |day| NaiveDate::from_ymd_opt(1997, 9, day).unwrap();
    let at = |text: &str| {
        let (hour, minute) = text.split_once(':').unwrap();
        (hour.parse().unwrap(), minute.parse().unwrap())
    };
    let times: Vec<(u32, u32)> = expected.split_whitespace().map(at).collect();
    let on = |date| {
        times
            .iter()
            .map(move |(hour, minute)| day(date).and_hms_opt(*hour, *minute, 0).unwrap())
    };
    let expected: Vec<_> = (2..2 + days).flat_map(on).collect();
    assert_eq!(
        local_times(rule, day(2).and_hms_opt(9, 0, 0).unwrap(), expected.len()),
        expected,
        "{rule}"
    );
}

#[test]
fn daily_rules_match_the_rfc() {
    let start = "1997 Sep 2";
    check(start, "FREQ=DAILY;COUNT=10", "1997 Sep 2-11");
    check(
        start,
        "FREQ=DAILY;UNTIL=19971224T000000Z",
        "1997 Sep 2-30 Oct 1-31 Nov 1-30 Dec 1-23",
    );
    check(
        start,
        "FREQ=DAILY;INTERVAL=2",
        "1997 Sep 2,4,6,8,10,12,14,16,18,20,22,24,26,28,30 \
         Oct 2,4,6,8,10,12,14,16,18,20,22,24,26,28,30 Nov 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29 Dec 1,3 ...",
    );
    check(
        start,
        "FREQ=DAILY;INTERVAL=10;COUNT=5",
        "1997 Sep 2,12,22 Oct 2,12",
    );
    for rule in [
        "FREQ=YEARLY;UNTIL=20000131T140000Z;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA",
        "FREQ=DAILY;UNTIL=20000131T140000Z;BYMONTH=1",
    ] {
        check("1998 Jan 1", rule, "1998 Jan 1-31 1999 Jan 1-31 2000 Jan 1-31");
    }
}

#[test]
fn weekly_rules_match_the_rfc() {
    let start = "1997 Sep 2";
    check(
        start,
        "FREQ=WEEKLY;COUNT=10",
        "1997 Sep 2,9,16,23,30 Oct 7,14,21,28 Nov 4",
    );
    check(
        start,
        "FREQ=WEEKLY;UNTIL=19971224T000000Z",
        "1997 Sep 2,9,16,23,30 Oct 7,14,21,28 Nov 4,11,18,25 Dec 2,9,16,23",
    );
    check(
        start,
        "FREQ=WEEKLY;INTERVAL=2;WKST=SU",
        "1997 Sep 2,16,30 Oct 14,28 Nov 11,25 Dec 9,23 1998 Jan 6,20 Feb 3,17 ...",
    );
    for rule in [
        "FREQ=WEEKLY;UNTIL=19971007T000000Z;WKST=SU;BYDAY=TU,TH",
        "FREQ=WEEKLY;COUNT=10;WKST=SU;BYDAY=TU,TH",
    ] {
        check(start, rule, "1997 Sep 2,4,9,11,16,18,23,25,30 Oct 2");
    }
    check(
        "1997 Sep 1",
        "FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR",
        "1997 Sep 1,3,5,15,17,19,29 Oct 1,3,13,15,17,27,29,31 Nov 10,12,14,24,26,28 Dec 8,10,12,22",
    );
    check(
        start,
        "FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH",
        "1997 Sep 2,4,16,18,30 Oct 2,14,16",
    );
}

#[test]
fn monthly_rules_by_weekday_match_the_rfc() {
    check(
        "1997 Sep 5",
        "FREQ=MONTHLY;COUNT=10;BYDAY=1FR",
        "1997 Sep 5 Oct 3 Nov 7 Dec 5 1998 Jan 2 Feb 6 Mar 6 Apr 3 May 1 Jun 5",
    );
    check(
        "1997 Sep 5",
        "FREQ=MONTHLY;UNTIL=19971224T000000Z;BYDAY=1FR",
        "1997 Sep 5 Oct 3 Nov 7 Dec 5",
    );
    check(
        "1997 Sep 7",
        "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU",
        "1997 Sep 7,28 Nov 2,30 1998 Jan 4,25 Mar 1,29 May 3,31",
    );
    check(
        "1997 Sep 22",
        "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO",
        "1997 Sep 22 Oct 20 Nov 17 Dec 22 1998 Jan 19 Feb 16",
    );
    check(
        "1997 Sep 2",
        "FREQ=MONTHLY;INTERVAL=2;BYDAY=TU",
        "1997 Sep 2,9,16,23,30 Nov 4,11,18,25 1998 Jan 6,13,20,27 Mar 3,10,17,24,31 ...",
    );
}

#[test]
fn monthly_rules_by_day_match_the_rfc() {
    check(
        "1997 Sep 28",
        "FREQ=MONTHLY;BYMONTHDAY=-3",
        "1997 Sep 28 Oct 29 Nov 28 Dec 29 1998 Jan 29 Feb 26 ...",
    );
    check(
        "1997 Sep 2",
        "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15",
        "1997 Sep 2,15 Oct 2,15 Nov 2,15 Dec 2,15 1998 Jan 2,15",
    );
    check(
        "1997 Sep 30",
        "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1",
        "1997 Sep 30 Oct 1,31 Nov 1,30 Dec 1,31 1998 Jan 1,31 Feb 1",
    );
    check(
        "1997 Sep 10",
        "FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15",
        "1997 Sep 10-15 1999 Mar 10-13",
    );
    // Invalid dates are ignored.
    check(
        "2007 Jan 15",
        "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5",
        "2007 Jan 15,30 Feb 15 Mar 15,30",
    );
}

#[test]
fn yearly_rules_match_the_rfc() {
    check(
        "1997 Jun 10",
        "FREQ=YEARLY;COUNT=10;BYMONTH=6,7",
        "1997 Jun 10 Jul 10 1998 Jun 10 Jul 10 1999 Jun 10 Jul 10 2000 Jun 10 Jul 10 2001 Jun 10 Jul 10",
    );
    check(
        "1997 Mar 10",
        "FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3",
        "1997 Mar 10 1999 Jan 10 Feb 10 Mar 10 2001 Jan 10 Feb 10 Mar 10 2003 Jan 10 Feb 10 Mar 10",
    );
    check(
        "1997 Jan 1",
        "FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200",
        "1997 Jan 1 Apr 10 Jul 19 2000 Jan 1 Apr 9 Jul 18 2003 Jan 1 Apr 10 Jul 19 2006 Jan 1",
    );
    check(
        "1997 May 19",
        "FREQ=YEARLY;BYDAY=20MO",
        "1997 May 19 1998 May 18 1999 May 17 ...",
    );
    check(
        "1997 May 12",
        "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
        "1997 May 12 1998 May 11 1999 May 17 ...",
    );
    check(
        "1997 Mar 13",
        "FREQ=YEARLY;BYMONTH=3;BYDAY=TH",
        "1997 Mar 13,20,27 1998 Mar 5,12,19,26 1999 Mar 4,11,18,25 ...",
    );
    check(
        "1997 Jun 5",
        "FREQ=YEARLY;BYDAY=TH;BYMONTH=6,7,8",
        "1997 Jun 5,12,19,26 Jul 3,10,17,24,31 Aug 7,14,21,28 \
         1998 Jun 4,11,18,25 Jul 2,9,16,23,30 Aug 6,13,20,27 \
         1999 Jun 3,10,17,24 Jul 1,8,15,22,29 Aug 5,12,19,26 ...",
    );
}

#[test]
fn rules_that_combine_parts_match_the_rfc() {
    check(
        "1997 Sep 2",
        "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
        "1998 Feb 13 Mar 13 Nov 13 1999 Aug 13 2000 Oct 13 ...",
    );
    check(
        "1997 Sep 13",
        "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13",
        "1997 Sep 13 Oct 11 Nov 8 Dec 13 1998 Jan 10 Feb 7 Mar 7 Apr 11 May 9 Jun 13 ...",
    );
    check(
        "1996 Nov 5",
        "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
        "1996 Nov 5 2000 Nov 7 2004 Nov 2 ...",
    );
    check(
        "1997 Sep 4",
        "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3",
        "1997 Sep 4 Oct 7 Nov 6",
    );
    check(
        "1997 Sep 29",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
        "1997 Sep 29 Oct 30 Nov 27 Dec 30 1998 Jan 29 Feb 26 Mar 30 ...",
    );
}

#[test]
fn rules_by_hour_and_minute_match_the_rfc() {
    // The RFC gives UNTIL as 17:00 UTC. Erratum 3883 corrects it to 17:00 in New York.
    check_times(
        "FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T210000Z",
        "9:00 12:00 15:00",
        1,
    );
    check_times(
        "FREQ=MINUTELY;INTERVAL=15;COUNT=6",
        "9:00 9:15 9:30 9:45 10:00 10:15",
        1,
    );
    check_times("FREQ=MINUTELY;INTERVAL=90;COUNT=4", "9:00 10:30 12:00 13:30", 1);
    for rule in [
        "FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40",
        "FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16",
    ] {
        check_times(
            rule,
            "9:00 9:20 9:40 10:00 10:20 10:40 11:00 11:20 11:40 12:00 12:20 12:40 \
             13:00 13:20 13:40 14:00 14:20 14:40 15:00 15:20 15:40 16:00 16:20 16:40",
            2,
        );
    }
}

#[test]
fn the_start_of_the_week_affects_the_weeks_of_an_interval() {
    check(
        "1997 Aug 5",
        "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO",
        "1997 Aug 5,10,19,24",
    );
    check(
        "1997 Aug 5",
        "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU",
        "1997 Aug 5,17,19,31",
    );
}
