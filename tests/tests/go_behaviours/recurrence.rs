//! Recurring tasks. A type with a schedule and a recurrence does not compile; see the UI test `run_at_and_recurrence`.

use chrono::{DateTime, NaiveDateTime, SecondsFormat, TimeDelta, Utc};
use oncetask::schedule::Missed;
use oncetask::{Change, Context, Filter, Handler, Recurrence, Status};
use tests::harness::{Chime, Fixture, Reporter, reports};
use tests::on_every_store;

on_every_store! {
    a_due_generator_creates_an_occurrence_and_waits_for_the_next,
    the_first_due_time_follows_from_the_rule,
    a_rule_with_a_count_ends_its_generator,
    a_cancelled_generator_creates_no_more_occurrences,
    an_endless_rule_of_every_second_is_one_task,
}

/// Returns a handler that reports the ids of its tasks.
fn id_reporting_handler(reporter: Reporter<String>) -> Handler {
    Handler::new(move |_: Chime, cx: Context| {
        let reporter = reporter.clone();
        async move {
            let id = cx.id().expect("one task").to_string();
            reporter.report(id);
        }
    })
}

fn chime(name: &str, every: Recurrence) -> Chime {
    Chime {
        name: name.into(),
        key: None,
        every,
    }
}

fn rule(text: &str) -> Recurrence {
    Recurrence::new(text).expect("a rule")
}

/// Returns an instant this number of days ago, plus an hour, in whole seconds.
fn days_ago(days: i64) -> DateTime<Utc> {
    let ago = Utc::now() - TimeDelta::days(days) + TimeDelta::hours(1);
    DateTime::from_timestamp(ago.timestamp(), 0).expect("an instant")
}

fn occurrence(generator: &str, at: DateTime<Utc>) -> String {
    format!(
        "{generator}_occ_{}",
        at.to_rfc3339_opts(SecondsFormat::Secs, true)
    )
}

async fn a_due_generator_creates_an_occurrence_and_waits_for_the_next(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let first = days_ago(1);
    fixture
        .create_many([chime("a", rule("FREQ=DAILY").starting_at(first.naive_utc()))])
        .await;
    let before = fixture.task("chime:a").await;
    let _worker = fixture.work(id_reporting_handler(reporter)).await;
    let id = occurrence("chime:a", first);
    assert_eq!(received.next().await, id);

    let spawned = fixture.done(&id[..]).await;
    let origin = spawned.spec.occurrence.expect("an occurrence");
    assert_eq!((origin.generator.as_str(), origin.at), ("chime:a", first));
    let generator = fixture.task("chime:a").await;
    assert_eq!(generator.spec, before.spec, "with its rule");
    assert_eq!(generator.status(Utc::now()), Status::Waiting);
    assert_eq!(generator.state.wait_until, first + TimeDelta::days(1));
    assert_eq!(generator.attempts(), 0);
}

/// Checks the rules of the Go library's tests and their first occurrences.
async fn the_first_due_time_follows_from_the_rule(fixture: Fixture) {
    // The start is a Thursday.
    let start: NaiveDateTime = "2026-01-01T09:00:00".parse().expect("a local time");
    let rules = [
        (rule("FREQ=DAILY").starting_at(start), "2026-01-01T09:00:00Z"),
        (
            rule("FREQ=WEEKLY;BYDAY=MO").starting_at(start),
            "2026-01-05T09:00:00Z",
        ),
        (
            rule("FREQ=DAILY;COUNT=3").starting_at(start),
            "2026-01-01T09:00:00Z",
        ),
        (
            rule("FREQ=DAILY").starting_at(start).exdate(start),
            "2026-01-02T09:00:00Z",
        ),
        (
            rule("FREQ=MONTHLY;BYMONTHDAY=15").starting_at(start),
            "2026-01-15T09:00:00Z",
        ),
    ];
    for (n, (rule, first)) in rules.into_iter().enumerate() {
        fixture.create_many([chime(&n.to_string(), rule)]).await;
        let first: DateTime<Utc> = first.parse().expect("an instant");
        assert_eq!(
            fixture.task(format!("chime:{n}")).await.state.wait_until,
            first,
            "rule {n}"
        );
    }
}

async fn a_rule_with_a_count_ends_its_generator(fixture: Fixture) {
    let (reporter, mut received) = reports();
    let first = days_ago(10);
    let daily = rule("FREQ=DAILY;COUNT=3").starting_at(first.naive_utc());
    fixture
        .create_many([chime("a", daily.missed(Missed::All { max: 10 }))])
        .await;
    let _worker = fixture.work(id_reporting_handler(reporter)).await;
    for day in 0..3 {
        let id = occurrence("chime:a", first + TimeDelta::days(day));
        assert_eq!(received.next().await, id);
        fixture.done(&id[..]).await;
    }
    assert_eq!(
        fixture.done("chime:a").await.status(Utc::now()),
        Status::Completed
    );
    let occurrences = Filter::new().generator("chime:a");
    assert_eq!(
        fixture
            .client
            .count(occurrences)
            .await
            .expect("the store answers"),
        3
    );
}

async fn a_cancelled_generator_creates_no_more_occurrences(fixture: Fixture) {
    let (reporter, mut received) = reports();
    fixture.create_many([chime("a", rule("FREQ=SECONDLY"))]).await;
    let worker = fixture.work(id_reporting_handler(reporter)).await;
    received.next().await;
    let change = fixture.client.cancel("chime:a").await.expect("the store answers");
    assert_eq!(change, Change::Applied);
    assert_eq!(
        fixture.task("chime:a").await.status(Utc::now()),
        Status::Cancelled
    );
    let occurrences = Filter::new().generator("chime:a");
    let spawned = fixture
        .client
        .count(occurrences.clone())
        .await
        .expect("the store answers");
    received.drain();
    worker.shutdown().await;
    assert!(
        received.drain().len() <= 1,
        "at most the occurrence in flight still runs"
    );
    assert_eq!(
        fixture
            .client
            .count(occurrences)
            .await
            .expect("the store answers"),
        spawned
    );
}

/// The Go library creates every occurrence at once and runs out of memory.
async fn an_endless_rule_of_every_second_is_one_task(fixture: Fixture) {
    let start = days_ago(365).naive_utc();
    fixture
        .create_many([chime("a", rule("FREQ=SECONDLY").starting_at(start))])
        .await;
    assert_eq!(
        fixture
            .client
            .count(Filter::new())
            .await
            .expect("the store answers"),
        1
    );
    let (reporter, mut received) = reports();
    let _worker = fixture.work(id_reporting_handler(reporter)).await;
    assert_eq!(
        received.next().await,
        occurrence("chime:a", start.and_utc()),
        "the late occurrence runs once"
    );
    let next = fixture.task("chime:a").await.state.wait_until;
    assert!(
        next > Utc::now() - TimeDelta::minutes(1),
        "the others are skipped: {next}"
    );
}
