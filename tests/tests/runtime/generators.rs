//! Generators: their occurrences, what was missed, and their ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::{
    Attempt, Client, Clock, Filter, Handler, HandlerConfig, Missed, Recurrence, Status, Task, TaskId, Worker,
};

use crate::on_every_store;
use crate::world::{Chime, Gate, Heard, Say, World, builder, line, start, within};

on_every_store!(
    an_occurrence_has_the_data_and_the_key_of_its_generator,
    after_a_week_one_of_the_missed_runs,
    after_a_week_some_of_the_missed_run_the_oldest_first,
    after_a_week_none_of_the_missed_runs,
    a_little_late_nothing_is_missed,
    exhausted_it_is_done,
    occurrences_of_a_key_are_serialised_and_the_generator_goes_on,
    the_next_occurrence_does_not_wait_for_a_slot,
    two_workers_spawn_nothing_twice,
    a_crash_before_the_advance_spawns_nothing_twice,
    cancelled_it_spawns_nothing_more,
    reset_it_goes_on_from_now,
    the_id_of_an_occurrence_has_room,
);

/// A clock that a test moves.
#[derive(Clone)]
struct Hands(Arc<AtomicI64>);

impl Hands {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn forward(&self, by: TimeDelta) {
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

/// A handler that says which occurrences it runs.
fn ringing(say: Say<TaskId>) -> Handler {
    Handler::new(move |job: Attempt<Chime>| {
        let say = say.clone();
        async move { say.say(job.id.clone()) }
    })
}

async fn create(client: &Client, chime: Chime) -> Task {
    client.create(chime).await.expect("it can be stored").task
}

async fn occurrences(client: &Client) -> Vec<DateTime<Utc>> {
    let tasks = client
        .list(Filter::new().generator("chime:c"))
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

/// Ends a worker when its generator has moved on beyond an instant.
async fn beyond(world: &World, worker: Worker, instant: DateTime<Utc>) -> Task {
    let task = world
        .until(&"chime:c".into(), |task| {
            task.state.wait_until > instant && task.state.lease.is_none()
        })
        .await;
    within(worker.shutdown()).await;
    task
}

async fn an_occurrence_has_the_data_and_the_key_of_its_generator(world: World) {
    let (hands, (say, mut heard)) = (Hands::new(), line());
    let client = hands.client(&world.client);
    let generator = create(
        &client,
        Chime {
            key: Some("k".into()),
            ..chime(daily())
        },
    )
    .await;
    hands.forward(TimeDelta::days(1));
    let worker = start(builder(&client).handler(ringing(say))).await;
    let id = heard.next().await;
    let at = generator.state.wait_until.max(generator.spec.created_at);
    let occurrence = world.done(&id).await;
    assert_eq!(occurrence.spec.payload, generator.spec.payload);
    assert_eq!(occurrence.spec.resource_key, generator.spec.resource_key);
    let from = occurrence.spec.occurrence.as_ref().expect("it is an occurrence");
    assert_eq!(from.generator, generator.spec.id);
    assert!(
        id.as_str().starts_with("chime:c_occ_2") && id.as_str().ends_with('Z'),
        "{id}"
    );
    assert!(from.at <= at + TimeDelta::days(1));
    let generator = beyond(&world, worker, client.clock().now()).await;
    assert_eq!((generator.attempts(), generator.errors().len()), (0, 0));
}

/// A worker that comes back after a week, and the instants at which the occurrences ran.
async fn after_a_week(world: &World, missed: Missed) -> (Vec<DateTime<Utc>>, DateTime<Utc>, DateTime<Utc>) {
    let (hands, (say, _heard)) = (Hands::new(), line());
    let client = hands.client(&world.client);
    let first = create(&client, chime(daily().missed(missed)))
        .await
        .state
        .wait_until;
    // A minute after the occurrence of seven days later.
    let week = first + TimeDelta::days(7) + TimeDelta::minutes(1) - client.clock().now();
    hands.forward(week);
    let worker = start(builder(&client).handler(ringing(say))).await;
    let now = client.clock().now();
    let next = beyond(world, worker, now).await.state.wait_until;
    (occurrences(&client).await, first, next)
}

async fn after_a_week_one_of_the_missed_runs(world: World) {
    let (ran, first, next) = after_a_week(&world, Missed::One).await;
    assert_eq!(ran, [first], "the earliest");
    assert_eq!(next, first + TimeDelta::days(8));
}

async fn after_a_week_some_of_the_missed_run_the_oldest_first(world: World) {
    let (ran, first, next) = after_a_week(&world, Missed::All { max: 3 }).await;
    assert_eq!(ran, [0, 1, 2].map(|day| first + TimeDelta::days(day)));
    assert_eq!(next, first + TimeDelta::days(8));
}

async fn after_a_week_none_of_the_missed_runs(world: World) {
    let (ran, first, next) = after_a_week(&world, Missed::Skip).await;
    assert!(ran.is_empty(), "{ran:?}");
    assert_eq!(next, first + TimeDelta::days(8));
}

async fn a_little_late_nothing_is_missed(world: World) {
    let (hands, (say, mut heard)) = (Hands::new(), line());
    let client = hands.client(&world.client);
    let first = create(&client, chime(daily().missed(Missed::Skip)))
        .await
        .state
        .wait_until;
    let late = first + TimeDelta::hours(23) - client.clock().now();
    hands.forward(late);
    let _worker = start(builder(&client).handler(ringing(say))).await;
    heard.next().await;
    assert_eq!(occurrences(&client).await, [first]);
}

async fn exhausted_it_is_done(world: World) {
    let (say, mut heard): (_, Heard<TaskId>) = line();
    let every = Recurrence::new("FREQ=SECONDLY;COUNT=2").expect("a rule");
    // So that a machine that is late skips none.
    let every = every.missed(Missed::All { max: 2 });
    let id = create(&world.client, chime(every)).await.spec.id;
    let _worker = world.work(ringing(say)).await;
    let generator = world.done(&id).await;
    assert_eq!(generator.status(world.client.clock().now()), Status::Completed);
    let (first, second) = (heard.next().await, heard.next().await);
    assert_ne!(first, second);
    assert_eq!(occurrences(&world.client).await.len(), 2);
}

async fn occurrences_of_a_key_are_serialised_and_the_generator_goes_on(world: World) {
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let opened = gate.clone();
    let handler = Handler::new(move |job: Attempt<Chime>| {
        let (say, gate) = (say.clone(), opened.clone());
        async move {
            say.say(job.id.clone());
            gate.opened().await;
        }
    });
    let every = Recurrence::new("FREQ=SECONDLY")
        .expect("a rule")
        .missed(Missed::All { max: 9 });
    create(
        &world.client,
        Chime {
            key: Some("k".into()),
            ..chime(every)
        },
    )
    .await;
    let _worker = world
        .work(handler.config(HandlerConfig::DEFAULT.concurrency(4)))
        .await;
    let first = heard.next().await;
    // The generator goes on while its first occurrence holds the key.
    within(async {
        while occurrences(&world.client).await.len() < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(heard.rest().len(), 0, "no other of the key runs beside it");
    world.cancel(&"chime:c".into()).await;
    gate.open();
    world.done(&first).await;
    let second = heard.next().await;
    assert!(second > first);
    world.done(&second).await;
}

/// Waits until nothing is due and nothing runs.
async fn at_rest(client: &Client) {
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

async fn the_next_occurrence_does_not_wait_for_a_slot(world: World) {
    let (gate, (say, mut heard)) = (Gate::closed(), line());
    // On a machine that stands still for a second nothing is to be missed either.
    let every = Recurrence::new("FREQ=SECONDLY")
        .expect("a rule")
        .missed(Missed::All { max: 60 });
    create(&world.client, chime(every)).await;
    let waiting = gate.clone();
    let handler = Handler::new(move |job: Attempt<Chime>| {
        let (say, gate) = (say.clone(), waiting.clone());
        async move {
            say.say(job.id.clone());
            gate.opened().await;
        }
    });
    let worker = world
        .work(handler.config(HandlerConfig::DEFAULT.concurrency(1)))
        .await;
    let first = heard.next().await;
    let due = world.task(&first).await.state.wait_until;
    world
        .until(&"chime:c".into(), |task| {
            task.state.wait_until > due + TimeDelta::seconds(2)
        })
        .await;
    let spawned = occurrences(&world.client).await;
    assert!(spawned.len() >= 3, "each second one is spawned: {spawned:?}");
    assert!(
        spawned
            .windows(2)
            .all(|two| two[1] - two[0] == TimeDelta::seconds(1))
    );
    assert_eq!(heard.rest(), [], "the first has the only slot");
    gate.open();
    within(worker.shutdown()).await;
}

async fn two_workers_spawn_nothing_twice(world: World) {
    let (hands, (say, mut heard)) = (Hands::new(), line());
    let (one, two) = (hands.client(&world.client), hands.client(&world.another().await));
    let every = daily().missed(Missed::All { max: 1000 });
    let first = create(&one, chime(every)).await.state.wait_until;
    let mut workers = Vec::new();
    for client in [&one, &two] {
        let handler = ringing(say.clone()).config(HandlerConfig::DEFAULT.concurrency(8));
        workers.push(start(builder(client).handler(handler)).await);
    }
    for day in [3, 5, 10] {
        // The leases of what runs would end with the jump. The first occurrence is due at once.
        at_rest(&one).await;
        hands.forward(first + TimeDelta::days(day) + TimeDelta::minutes(1) - one.clock().now());
        // A clock that is set rings nobody; this does.
        one.create(Chime {
            name: format!("{day}"),
            ..chime(daily())
        })
        .await
        .expect("it can be stored");
    }
    at_rest(&one).await;
    let expected: Vec<_> = (0..=10).map(|day| first + TimeDelta::days(day)).collect();
    assert_eq!(occurrences(&one).await, expected);
    let mut ran = std::collections::HashSet::new();
    while ran.len() < expected.len() {
        let id = heard.next().await;
        if id.as_str().starts_with("chime:c_") {
            assert!(ran.insert(id), "each runs once");
        }
    }
    for worker in workers {
        within(worker.shutdown()).await;
    }
}

async fn a_crash_before_the_advance_spawns_nothing_twice(mut world: World) {
    let (hands, (say, mut heard)) = (Hands::new(), line());
    let client = hands.client(&world.client);
    let first = create(&client, chime(daily())).await.state.wait_until;
    hands.forward(first - client.clock().now() + TimeDelta::minutes(1));
    world.client = client.clone();
    world
        .claim_and_die(
            <Chime as oncetask::OnceTask>::KIND,
            std::time::Duration::from_millis(100),
        )
        .await;
    let worker = start(builder(&client).handler(ringing(say))).await;
    heard.next().await;
    let generator = beyond(&world, worker, client.clock().now()).await;
    assert_eq!(occurrences(&client).await, [first]);
    assert_eq!(
        (generator.attempts(), generator.errors().len()),
        (0, 0),
        "its claims are no attempts"
    );
}

async fn cancelled_it_spawns_nothing_more(world: World) {
    let (hands, (say, mut heard)) = (Hands::new(), line());
    let client = hands.client(&world.client);
    let first = create(&client, chime(daily())).await.state.wait_until;
    hands.forward(first - client.clock().now() + TimeDelta::minutes(1));
    let worker = start(builder(&client).handler(ringing(say.clone()))).await;
    let ran = heard.next().await;
    beyond(&world, worker, client.clock().now()).await;
    world.cancel(&"chime:c".into()).await;
    hands.forward(TimeDelta::days(3));
    let worker = start(builder(&client).handler(ringing(say))).await;
    // What is created now runs after everything that is due.
    create(
        &client,
        Chime {
            name: "other".into(),
            ..chime(Recurrence::new("FREQ=SECONDLY;COUNT=1").expect("a rule"))
        },
    )
    .await;
    assert!(heard.next().await.as_str().starts_with("chime:other"));
    within(worker.shutdown()).await;
    assert_eq!(occurrences(&client).await, [first]);
    let generator = world.task(&"chime:c".into()).await;
    assert_eq!(generator.status(client.clock().now()), Status::Cancelled);
    assert_eq!(
        world.done(&ran).await.status(client.clock().now()),
        Status::Completed,
        "it lives on"
    );
}

async fn reset_it_goes_on_from_now(world: World) {
    let hands = Hands::new();
    let client = hands.client(&world.client);
    let first = create(&client, chime(daily())).await.state.wait_until;
    let id: TaskId = "chime:c".into();
    world.cancel(&id).await;
    hands.forward(first + TimeDelta::days(5) + TimeDelta::minutes(1) - client.clock().now());
    client.reset(&id).await.expect("the store answers");
    let task = world.task(&id).await;
    assert_eq!(task.state.wait_until, first + TimeDelta::days(6));
    assert_eq!(task.status(client.clock().now()), Status::Waiting);
}

/// What a generator's id may be leaves room for what its occurrences' ids have more.
async fn the_id_of_an_occurrence_has_room(world: World) {
    let named = |bytes: usize| Chime {
        name: "x".repeat(bytes - "chime:".len()),
        ..chime(daily())
    };
    let error = world
        .client
        .create(named(1476))
        .await
        .expect_err("its occurrences could not be stored");
    assert!(error.to_string().contains("1475 is the limit"), "{error}");
    world
        .client
        .create(named(1475))
        .await
        .expect("this is the longest");
}
