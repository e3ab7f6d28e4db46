//! Generators: their occurrences, missed occurrences, cancellation and reset.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::{
    Attempt, Client, Clock, Filter, Handler, HandlerConfig, Missed, Recurrence, Status, Task, TaskId, Worker,
};
use tests::harness::wait::within;
use tests::harness::{Chime, Fixture, Gate, Reporter, Reports, builder, reports, start};
use tests::on_every_store;

on_every_store!(
    an_occurrence_inherits_the_payload_and_the_key,
    missed_one_runs_the_earliest_missed_occurrence,
    missed_all_runs_the_oldest_occurrences_up_to_its_maximum,
    missed_skip_runs_no_missed_occurrence,
    an_occurrence_before_the_next_one_is_due_is_not_missed,
    an_exhausted_generator_completes,
    a_generator_advances_while_its_key_is_busy,
    a_generator_advances_without_a_free_slot,
    two_workers_create_each_occurrence_once,
    a_crash_before_the_advance_creates_no_occurrence_twice,
    a_cancelled_generator_creates_no_more_occurrences,
    a_reset_generator_continues_from_now,
    a_generators_id_leaves_room_for_the_suffix_of_its_occurrences,
);

/// A clock that a test advances. It starts at the system clock's time.
#[derive(Clone)]
struct TestClock(Arc<AtomicI64>);

impl TestClock {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }

    fn client(&self, client: &Client) -> Client {
        let millis = self.0.clone();
        let ahead = move || TimeDelta::milliseconds(millis.load(Ordering::SeqCst));
        client
            .clone()
            .with_clock(Clock::new(move || Utc::now() + ahead()))
    }
}

fn daily() -> Recurrence {
    Recurrence::new("FREQ=DAILY").expect("a rule")
}

fn chime(every: Recurrence) -> Chime {
    Chime {
        name: "c".into(),
        key: None,
        every,
    }
}

/// Returns a handler that reports the ids of its occurrences.
fn id_reporting_handler(reporter: Reporter<TaskId>) -> Handler {
    Handler::new(move |attempt: Attempt<Chime>| {
        let reporter = reporter.clone();
        async move { reporter.report(attempt.id.clone()) }
    })
}

const ID: &str = "chime:c";

async fn create(client: &Client, chime: Chime) -> Task {
    client.create(chime).await.expect("the task can be stored").task
}

async fn occurrences(client: &Client) -> Vec<DateTime<Utc>> {
    let tasks = client
        .list(Filter::new().generator(ID))
        .all()
        .await
        .expect("the store answers");
    let mut instants: Vec<_> = tasks
        .iter()
        .filter_map(|task| Some(task.spec.occurrence.as_ref()?.at))
        .collect();
    instants.sort();
    instants
}

/// Shuts a worker down after its generator has advanced beyond an instant. Returns the generator.
async fn shut_down_beyond(fixture: &Fixture, worker: Worker, instant: DateTime<Utc>) -> Task {
    let task = fixture
        .until(ID, |task| {
            task.state.wait_until > instant && task.state.lease.is_none()
        })
        .await;
    within(worker.shutdown()).await;
    task
}

async fn an_occurrence_inherits_the_payload_and_the_key(fixture: Fixture) {
    let (clock, (reporter, mut received)) = (TestClock::new(), reports());
    let client = clock.client(&fixture.client);
    let generator = create(
        &client,
        Chime {
            key: Some("k".into()),
            ..chime(daily())
        },
    )
    .await;
    clock.advance(TimeDelta::days(1));
    let worker = start(builder(&client).handler(id_reporting_handler(reporter))).await;
    let id = received.next().await;
    let at = generator.state.wait_until.max(generator.spec.created_at);
    let occurrence = fixture.done(&id).await;
    assert_eq!(occurrence.spec.payload, generator.spec.payload);
    assert_eq!(occurrence.spec.resource_key, generator.spec.resource_key);
    let from = occurrence.spec.occurrence.as_ref().expect("an occurrence");
    assert_eq!(from.generator, generator.spec.id);
    assert!(
        id.as_str().starts_with("chime:c_occ_2") && id.as_str().ends_with('Z'),
        "{id}"
    );
    assert!(from.at <= at + TimeDelta::days(1));
    let generator = shut_down_beyond(&fixture, worker, client.clock().now()).await;
    assert_eq!((generator.attempts(), generator.errors().len()), (0, 0));
}

/// Runs a worker a week after the generator was created. Returns the occurrences that it created, the first due
/// time and the next one.
async fn after_a_week(
    fixture: &Fixture,
    missed: Missed,
) -> (Vec<DateTime<Utc>>, DateTime<Utc>, DateTime<Utc>) {
    let (clock, (reporter, _received)) = (TestClock::new(), reports());
    let client = clock.client(&fixture.client);
    let first = create(&client, chime(daily().missed(missed)))
        .await
        .state
        .wait_until;
    // One minute after the eighth occurrence.
    let week = first + TimeDelta::days(7) + TimeDelta::minutes(1) - client.clock().now();
    clock.advance(week);
    let worker = start(builder(&client).handler(id_reporting_handler(reporter))).await;
    let now = client.clock().now();
    let next = shut_down_beyond(fixture, worker, now).await.state.wait_until;
    (occurrences(&client).await, first, next)
}

async fn missed_one_runs_the_earliest_missed_occurrence(fixture: Fixture) {
    let (ran, first, next) = after_a_week(&fixture, Missed::One).await;
    assert_eq!(ran, [first], "the earliest");
    assert_eq!(next, first + TimeDelta::days(8));
}

async fn missed_all_runs_the_oldest_occurrences_up_to_its_maximum(fixture: Fixture) {
    let (ran, first, next) = after_a_week(&fixture, Missed::All { max: 3 }).await;
    assert_eq!(ran, [0, 1, 2].map(|day| first + TimeDelta::days(day)));
    assert_eq!(next, first + TimeDelta::days(8));
}

async fn missed_skip_runs_no_missed_occurrence(fixture: Fixture) {
    let (ran, first, next) = after_a_week(&fixture, Missed::Skip).await;
    assert!(ran.is_empty(), "{ran:?}");
    assert_eq!(next, first + TimeDelta::days(8));
}

async fn an_occurrence_before_the_next_one_is_due_is_not_missed(fixture: Fixture) {
    let (clock, (reporter, mut received)) = (TestClock::new(), reports());
    let client = clock.client(&fixture.client);
    let first = create(&client, chime(daily().missed(Missed::Skip)))
        .await
        .state
        .wait_until;
    let late = first + TimeDelta::hours(23) - client.clock().now();
    clock.advance(late);
    let _worker = start(builder(&client).handler(id_reporting_handler(reporter))).await;
    received.next().await;
    assert_eq!(occurrences(&client).await, [first]);
}

async fn an_exhausted_generator_completes(fixture: Fixture) {
    let (reporter, mut received): (_, Reports<TaskId>) = reports();
    let every = Recurrence::new("FREQ=SECONDLY;COUNT=2").expect("a rule");
    // On a slow machine both may be late, and none must be skipped.
    let every = every.missed(Missed::All { max: 2 });
    let id = create(&fixture.client, chime(every)).await.spec.id;
    let _worker = fixture.work(id_reporting_handler(reporter)).await;
    let generator = fixture.done(&id).await;
    assert_eq!(generator.status(fixture.client.clock().now()), Status::Completed);
    let (first, second) = (received.next().await, received.next().await);
    assert_ne!(first, second);
    assert_eq!(occurrences(&fixture.client).await.len(), 2);
}

async fn a_generator_advances_while_its_key_is_busy(fixture: Fixture) {
    let ((reporter, mut received), gate) = (reports(), Gate::closed());
    let opened = gate.clone();
    let handler = Handler::new(move |attempt: Attempt<Chime>| {
        let (reporter, gate) = (reporter.clone(), opened.clone());
        async move {
            reporter.report(attempt.id.clone());
            gate.opened().await;
        }
    });
    let every = Recurrence::new("FREQ=SECONDLY")
        .expect("a rule")
        .missed(Missed::All { max: 9 });
    create(
        &fixture.client,
        Chime {
            key: Some("k".into()),
            ..chime(every)
        },
    )
    .await;
    let _worker = fixture
        .work(handler.config(HandlerConfig::DEFAULT.concurrency(4)))
        .await;
    let first = received.next().await;
    // The generator advances while its first occurrence occupies the key.
    within(async {
        while occurrences(&fixture.client).await.len() < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(received.drain().len(), 0, "two occurrences of the key overlap");
    fixture.cancel(&ID.into()).await;
    gate.open();
    fixture.done(&first).await;
    let second = received.next().await;
    assert!(second > first);
    fixture.done(&second).await;
}

/// Waits until no task is due and none runs.
async fn until_idle(client: &Client) {
    within(async {
        loop {
            let tasks = client.list(Filter::new()).all().await.expect("the store answers");
            let now = client.clock().now();
            if tasks
                .iter()
                .all(|task| matches!(task.status(now), Status::Waiting | Status::Completed))
            {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn a_generator_advances_without_a_free_slot(fixture: Fixture) {
    let (gate, (reporter, mut received)) = (Gate::closed(), reports());
    // A machine that stalls for a second must not miss an occurrence.
    let every = Recurrence::new("FREQ=SECONDLY")
        .expect("a rule")
        .missed(Missed::All { max: 60 });
    create(&fixture.client, chime(every)).await;
    let waiting = gate.clone();
    let handler = Handler::new(move |attempt: Attempt<Chime>| {
        let (reporter, gate) = (reporter.clone(), waiting.clone());
        async move {
            reporter.report(attempt.id.clone());
            gate.opened().await;
        }
    });
    let worker = fixture
        .work(handler.config(HandlerConfig::DEFAULT.concurrency(1)))
        .await;
    let first = received.next().await;
    let due = fixture.task(&first).await.state.wait_until;
    fixture
        .until(ID, |task| task.state.wait_until > due + TimeDelta::seconds(2))
        .await;
    let spawned = occurrences(&fixture.client).await;
    assert!(spawned.len() >= 3, "one occurrence each second: {spawned:?}");
    assert!(
        spawned
            .windows(2)
            .all(|pair| pair[1] - pair[0] == TimeDelta::seconds(1))
    );
    assert_eq!(received.drain().len(), 0, "the first has the only slot");
    gate.open();
    within(worker.shutdown()).await;
}

async fn two_workers_create_each_occurrence_once(fixture: Fixture) {
    let (clock, (reporter, mut received)) = (TestClock::new(), reports());
    let (first_client, second_client) = (
        clock.client(&fixture.client),
        clock.client(&fixture.second_client().await),
    );
    let every = daily().missed(Missed::All { max: 1000 });
    let first = create(&first_client, chime(every)).await.state.wait_until;
    let mut workers = Vec::new();
    for client in [&first_client, &second_client] {
        let handler = id_reporting_handler(reporter.clone()).config(HandlerConfig::DEFAULT.concurrency(8));
        workers.push(start(builder(client).handler(handler)).await);
    }
    for day in [3, 5, 10] {
        // A jump would expire the leases of running tasks. Before the first jump, the first occurrence is due.
        until_idle(&first_client).await;
        clock.advance(first + TimeDelta::days(day) + TimeDelta::minutes(1) - first_client.clock().now());
        // Setting the clock wakes no worker; creating a task does.
        first_client
            .create(Chime {
                name: format!("{day}"),
                ..chime(daily())
            })
            .await
            .expect("the task can be stored");
    }
    until_idle(&first_client).await;
    let expected: Vec<_> = (0..=10).map(|day| first + TimeDelta::days(day)).collect();
    assert_eq!(occurrences(&first_client).await, expected);
    let mut ran = std::collections::HashSet::new();
    while ran.len() < expected.len() {
        let id = received.next().await;
        if id.as_str().starts_with("chime:c_") {
            assert!(ran.insert(id), "an occurrence ran twice");
        }
    }
    for worker in workers {
        within(worker.shutdown()).await;
    }
}

async fn a_crash_before_the_advance_creates_no_occurrence_twice(mut fixture: Fixture) {
    let (clock, (reporter, mut received)) = (TestClock::new(), reports());
    let client = clock.client(&fixture.client);
    let first = create(&client, chime(daily())).await.state.wait_until;
    clock.advance(first - client.clock().now() + TimeDelta::minutes(1));
    fixture.client = client.clone();
    fixture
        .claim_and_crash(
            <Chime as oncetask::OnceTask>::KIND,
            std::time::Duration::from_millis(100),
        )
        .await;
    let worker = start(builder(&client).handler(id_reporting_handler(reporter))).await;
    received.next().await;
    let generator = shut_down_beyond(&fixture, worker, client.clock().now()).await;
    assert_eq!(occurrences(&client).await, [first]);
    assert_eq!(
        (generator.attempts(), generator.errors().len()),
        (0, 0),
        "claims of a generator are not attempts"
    );
}

async fn a_cancelled_generator_creates_no_more_occurrences(fixture: Fixture) {
    let (clock, (reporter, mut received)) = (TestClock::new(), reports());
    let client = clock.client(&fixture.client);
    let first = create(&client, chime(daily())).await.state.wait_until;
    clock.advance(first - client.clock().now() + TimeDelta::minutes(1));
    let worker = start(builder(&client).handler(id_reporting_handler(reporter.clone()))).await;
    let ran = received.next().await;
    shut_down_beyond(&fixture, worker, client.clock().now()).await;
    fixture.cancel(&ID.into()).await;
    clock.advance(TimeDelta::days(3));
    let worker = start(builder(&client).handler(id_reporting_handler(reporter))).await;
    // A task that is created now runs after every task that is due.
    create(
        &client,
        Chime {
            name: "other".into(),
            ..chime(Recurrence::new("FREQ=SECONDLY;COUNT=1").expect("a rule"))
        },
    )
    .await;
    assert!(received.next().await.as_str().starts_with("chime:other"));
    within(worker.shutdown()).await;
    assert_eq!(occurrences(&client).await, [first]);
    let generator = fixture.task(ID).await;
    assert_eq!(generator.status(client.clock().now()), Status::Cancelled);
    assert_eq!(
        fixture.done(&ran).await.status(client.clock().now()),
        Status::Completed,
        "its occurrence is not cancelled"
    );
}

async fn a_reset_generator_continues_from_now(fixture: Fixture) {
    let clock = TestClock::new();
    let client = clock.client(&fixture.client);
    let first = create(&client, chime(daily())).await.state.wait_until;
    let id: TaskId = ID.into();
    fixture.cancel(&id).await;
    clock.advance(first + TimeDelta::days(5) + TimeDelta::minutes(1) - client.clock().now());
    client.reset(&id).await.expect("the store answers");
    let task = fixture.task(&id).await;
    assert_eq!(task.state.wait_until, first + TimeDelta::days(6));
    assert_eq!(task.status(client.clock().now()), Status::Waiting);
}

/// Checks the maximum length of a generator's id. The id of an occurrence is the generator's id with a suffix of up
/// to 25 bytes, and must not exceed 1500 bytes.
async fn a_generators_id_leaves_room_for_the_suffix_of_its_occurrences(fixture: Fixture) {
    let named = |bytes: usize| Chime {
        name: "x".repeat(bytes - "chime:".len()),
        ..chime(daily())
    };
    let error = fixture
        .client
        .create(named(1476))
        .await
        .expect_err("the ids of its occurrences would be too long");
    assert!(error.to_string().contains("1475"), "{error}");
    fixture
        .client
        .create(named(1475))
        .await
        .expect("the longest id of a generator is accepted");
}
