//! A schedule and a recurrence together are a compile error: see the UI test `run_at_and_recurrence`.

use chrono::{DateTime, NaiveDateTime, SecondsFormat, TimeDelta, Utc};
use oncetask::schedule::Missed;
use oncetask::{Change, Context, Filter, Handler, Recurrence, Status};
use tokio::sync::mpsc::UnboundedSender;

use super::on_every_store;
use super::world::{Chime, World, line};

on_every_store! {
    a_due_generator_spawns_an_occurrence_which_runs_and_stays_due_next,
    the_first_due_time_follows_from_the_rule,
    a_rule_with_a_count_ends_its_generator,
    cancelling_the_generator_ends_it,
    a_rule_of_every_second_without_an_end_is_one_task,
}

/// A handler that says the ids of the tasks that it completes.
fn chiming(say: UnboundedSender<String>) -> Handler {
    Handler::new(move |_: Chime, cx: Context| {
        let say = say.clone();
        async move {
            let id = cx.id().expect("one task").to_string();
            // The test may have heard enough.
            let _ = say.send(id);
        }
    })
}

fn chime(name: &str, every: Recurrence) -> Chime {
    Chime {
        name: name.into(),
        every,
    }
}

fn rule(text: &str) -> Recurrence {
    Recurrence::new(text).expect("a rule")
}

/// So many days ago, in whole seconds.
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

async fn a_due_generator_spawns_an_occurrence_which_runs_and_stays_due_next(world: World) {
    let (say, mut heard) = line();
    let first = days_ago(1);
    world
        .create([chime("a", rule("FREQ=DAILY").starting_at(first.naive_utc()))])
        .await;
    let before = world.task("chime:a").await;
    let _worker = world.work(chiming(say)).await;
    let id = occurrence("chime:a", first);
    assert_eq!(heard.next().await, id);

    let spawned = world.done(&id[..]).await;
    let origin = spawned.spec.occurrence.expect("it is an occurrence");
    assert_eq!((origin.generator.as_str(), origin.at), ("chime:a", first));
    let generator = world.task("chime:a").await;
    assert_eq!(generator.spec, before.spec, "with its rule");
    assert_eq!(generator.status(Utc::now()), Status::Waiting);
    assert_eq!(generator.state.wait_until, first + TimeDelta::days(1));
    assert_eq!(generator.attempts(), 0);
}

/// The rules that the Go library's tests have, and the instants that follow from them.
async fn the_first_due_time_follows_from_the_rule(world: World) {
    // A Thursday.
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
        world.create([chime(&n.to_string(), rule)]).await;
        let first: DateTime<Utc> = first.parse().expect("an instant");
        assert_eq!(
            world.task(format!("chime:{n}")).await.state.wait_until,
            first,
            "rule {n}"
        );
    }
}

async fn a_rule_with_a_count_ends_its_generator(world: World) {
    let (say, mut heard) = line();
    let first = days_ago(10);
    let daily = rule("FREQ=DAILY;COUNT=3").starting_at(first.naive_utc());
    world
        .create([chime("a", daily.missed(Missed::All { max: 10 }))])
        .await;
    let _worker = world.work(chiming(say)).await;
    for day in 0..3 {
        let id = occurrence("chime:a", first + TimeDelta::days(day));
        assert_eq!(heard.next().await, id);
        world.done(&id[..]).await;
    }
    assert_eq!(world.done("chime:a").await.status(Utc::now()), Status::Completed);
    let occurrences = Filter::new().generator("chime:a");
    assert_eq!(world.client.count(occurrences).await.expect("answered"), 3);
}

async fn cancelling_the_generator_ends_it(world: World) {
    let (say, mut heard) = line();
    world.create([chime("a", rule("FREQ=SECONDLY"))]).await;
    let worker = world.work(chiming(say)).await;
    heard.next().await;
    let change = world.client.cancel(&"chime:a".into()).await.expect("answered");
    assert_eq!(change, Change::Applied);
    assert_eq!(world.task("chime:a").await.status(Utc::now()), Status::Cancelled);
    let occurrences = Filter::new().generator("chime:a");
    let spawned = world.client.count(occurrences.clone()).await.expect("answered");
    heard.rest();
    worker.shutdown().await;
    assert!(heard.rest().len() <= 1, "at most the one in flight still comes");
    assert_eq!(world.client.count(occurrences).await.expect("answered"), spawned);
}

/// In Go it exhausts the memory.
async fn a_rule_of_every_second_without_an_end_is_one_task(world: World) {
    let start = days_ago(365).naive_utc();
    world
        .create([chime("a", rule("FREQ=SECONDLY").starting_at(start))])
        .await;
    assert_eq!(world.client.count(Filter::new()).await.expect("answered"), 1);
    let (say, mut heard) = line();
    let _worker = world.work(chiming(say)).await;
    assert_eq!(
        heard.next().await,
        occurrence("chime:a", start.and_utc()),
        "the late one runs once"
    );
    let next = world.task("chime:a").await.state.wait_until;
    assert!(
        next > Utc::now() - TimeDelta::minutes(1),
        "the others are skipped: {next}"
    );
}
