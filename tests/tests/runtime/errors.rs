//! Errors and panics: what is stored of them, what policies see of them, and whom they leave alone.

use std::fmt;
use std::time::Duration;

use oncetask::{Attempt, Context, Handler, HandlerConfig, HandlerError, Retry, State, Status};

use crate::on_every_store;
use crate::world::{Dropped, Gate, Work, World, attempts, builder, line, quick, start, work};

on_every_store!(
    the_chain_of_causes_is_stored,
    a_policy_of_ones_own_sees_the_error_itself,
    a_policy_of_ones_own_sees_the_error_of_a_group,
    unlimited_goes_on,
    full_jitter_never_waits_longer,
    a_panic_is_an_error_with_its_message_and_place,
    a_panic_before_the_first_await_too,
    a_panic_leaves_the_others_alone,
    a_panic_of_the_policy_fails_the_task,
    a_panic_of_the_errors_text,
    a_panic_of_the_errors_end,
    a_panic_of_what_is_dropped,
    a_panic_of_an_extractor,
    many_and_long_errors_are_cut,
    an_extractor_of_ones_own,
);

#[derive(Debug)]
struct Outer(Inner);

#[derive(Debug)]
struct Inner(u32);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the charge failed")
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bank said {}", self.0)
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl std::error::Error for Inner {}

fn status(world: &World, task: &oncetask::Task) -> Status {
    task.status(world.client.clock().now())
}

async fn the_chain_of_causes_is_stored(world: World) {
    let handler = Handler::new(|_: Work| async { Err::<(), _>(Outer(Inner(7))) });
    let _worker = world.work(handler.config(attempts(1))).await;
    let task = world.done(&world.create(work("a")).await).await;
    assert_eq!(task.errors()[0].error, "the charge failed: the bank said 7");
}

/// Goes on as long as the bank says numbers below 3.
fn below_three(_: u32, error: &HandlerError) -> Option<Duration> {
    error
        .downcast_ref::<Outer>()
        .filter(|outer| outer.0.0 < 3)
        .map(|_| Duration::ZERO)
}

async fn a_policy_of_ones_own_sees_the_error_itself(world: World) {
    let handler = Handler::new(|job: Attempt<Work>| async move { Err::<(), _>(Outer(Inner(job.attempt))) });
    let _worker = world
        .work(handler.config(HandlerConfig::DEFAULT.retry(Retry::custom(below_three))))
        .await;
    let task = world.done(&world.create(work("a")).await).await;
    assert_eq!((status(&world, &task), task.attempts()), (Status::Failed, 3));
}

async fn a_policy_of_ones_own_sees_the_error_of_a_group(world: World) {
    let handler =
        Handler::new(|jobs: Vec<Attempt<Work>>| async move { Err::<(), _>(Outer(Inner(jobs[0].attempt))) });
    let ids = [
        world.create(work("a").key("k")).await,
        world.create(work("b").key("k")).await,
    ];
    let _worker = world
        .work(handler.config(HandlerConfig::DEFAULT.retry(Retry::custom(below_three))))
        .await;
    for id in &ids {
        assert_eq!(world.done(id).await.attempts(), 3);
    }
}

async fn unlimited_goes_on(world: World) {
    let handler = Handler::new(|job: Attempt<Work>| async move {
        if job.attempt < 12 {
            Err("again")
        } else {
            Ok(job.attempt)
        }
    });
    let _worker = world
        .work(handler.config(HandlerConfig::DEFAULT.retry(quick(1).unlimited())))
        .await;
    let task = world.done(&world.create(work("a")).await).await;
    assert_eq!(task.result::<u32>().expect("a number"), Some(12));
    assert_eq!(task.errors().len(), 11);
}

async fn full_jitter_never_waits_longer(world: World) {
    let handler = Handler::new(|_: Work| async { Err::<(), _>("again") });
    let hour = Retry::fixed(Duration::from_hours(1)).full_jitter();
    let _worker = world
        .work(handler.config(HandlerConfig::DEFAULT.retry(hour).concurrency(8)))
        .await;
    let mut waits = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let id = world.create(work(name)).await;
        let task = world.until(&id, |task| !task.errors().is_empty()).await;
        waits.push(task.state.wait_until - task.errors()[0].at);
    }
    assert!(waits.iter().all(|wait| wait.num_minutes() <= 60), "{waits:?}");
    assert!(
        waits.iter().any(|wait| *wait != waits[0]),
        "all the same: {waits:?}"
    );
}

async fn a_panic_is_an_error_with_its_message_and_place(world: World) {
    let handler = Handler::new(|job: Attempt<Work>| async move {
        tokio::task::yield_now().await;
        assert!(job.attempt != 1, "the disk is on fire");
    });
    let _worker = world.work(handler.config(attempts(2))).await;
    let task = world.done(&world.create(work("a")).await).await;
    assert_eq!(status(&world, &task), Status::Completed);
    let error = &task.errors()[0].error;
    assert!(
        error.contains("the disk is on fire") && error.contains("runtime/errors.rs:"),
        "{error}"
    );
}

async fn a_panic_before_the_first_await_too(world: World) {
    let handler = Handler::new(|task: Work| {
        assert!(task.name.is_empty(), "no future at all");
        std::future::ready(Ok::<_, HandlerError>(()))
    });
    let _worker = world.work(handler.config(attempts(1))).await;
    let task = world.done(&world.create(work("a")).await).await;
    assert_eq!(status(&world, &task), Status::Failed);
    assert!(
        task.errors()[0].error.contains("no future at all"),
        "{:?}",
        task.errors()
    );
}

async fn a_panic_leaves_the_others_alone(world: World) {
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let opened = gate.clone();
    let handler = Handler::new(move |task: Work| {
        let (say, gate) = (say.clone(), opened.clone());
        async move {
            say.say(task.name.clone());
            assert!(task.name != "bad", "only me");
            gate.opened().await;
        }
    });
    let _worker = world.work(handler.config(attempts(1).concurrency(2))).await;
    let good = world.create(work("good")).await;
    assert_eq!(heard.next().await, "good");
    for _ in 0..3 {
        let bad = world.create(work("bad")).await;
        assert_eq!(status(&world, &world.done(&bad).await), Status::Failed);
        world.client.delete(&bad).await.expect("the store answers");
    }
    gate.open();
    assert_eq!(status(&world, &world.done(&good).await), Status::Completed);
}

async fn a_panic_of_the_policy_fails_the_task(world: World) {
    fn panics(_: u32, _: &HandlerError) -> Option<Duration> {
        panic!("division by zero")
    }
    let handler = Handler::new(|_: Work| async { Err::<(), _>("the first reason") });
    let _worker = world
        .work(handler.config(HandlerConfig::DEFAULT.retry(Retry::custom(panics))))
        .await;
    let task = world.done(&world.create(work("a")).await).await;
    assert_eq!((status(&world, &task), task.attempts()), (Status::Failed, 1));
    let error = &task.errors()[0].error;
    assert!(
        error.contains("the first reason") && error.contains("division by zero"),
        "{error}"
    );
}

async fn a_panic_of_the_errors_text(world: World) {
    #[derive(Debug)]
    struct Mute;

    impl fmt::Display for Mute {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("no words")
        }
    }

    impl std::error::Error for Mute {}

    let handler = Handler::new(|_: Work| async { Err::<(), _>(Mute) });
    let _worker = world.work(handler.config(attempts(2))).await;
    let task = world.done(&world.create(work("a")).await).await;
    assert_eq!((status(&world, &task), task.errors().len()), (Status::Failed, 2));
    assert!(task.errors()[0].error.contains("no words"), "{:?}", task.errors());
}

async fn a_panic_of_the_errors_end(world: World) {
    #[derive(Debug)]
    struct Unstable;

    impl fmt::Display for Unstable {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("it went wrong")
        }
    }

    impl std::error::Error for Unstable {}

    impl Drop for Unstable {
        fn drop(&mut self) {
            panic!("it cannot go");
        }
    }

    let handler = Handler::new(|_: Work| async { Err::<(), _>(Unstable) });
    let _worker = world.work(handler.config(attempts(2))).await;
    let task = world.done(&world.create(work("a")).await).await;
    let errors: Vec<_> = task.errors().iter().map(|error| error.error.as_str()).collect();
    assert_eq!(errors, ["it went wrong"; 2]);
}

/// What a handler holds panics when its future is dropped at a shutdown: the claim is given back all the same.
async fn a_panic_of_what_is_dropped(world: World) {
    struct Bomb(Dropped);

    impl Drop for Bomb {
        fn drop(&mut self) {
            let Dropped(say) = &self.0;
            say.say("the bomb");
            panic!("it went off");
        }
    }

    let (say, mut heard) = line();
    let handler = Handler::new(move |_: Work| {
        let say = say.clone();
        async move {
            let bomb = Bomb(Dropped(say.clone()));
            say.say("began");
            std::future::pending::<()>().await;
            drop(bomb);
        }
    });
    let worker = start(builder(&world.client).grace(Duration::ZERO).handler(handler)).await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "began");
    worker.shutdown().await;
    assert_eq!(heard.next().await, "the bomb");
    let task = world.task(&id).await;
    assert_eq!((task.attempts(), &task.state.lease), (0, &None));
}

struct Fickle;

impl oncetask::handler::FromContext for Fickle {
    fn from_context(_: &Context) -> Self {
        panic!("nothing to extract")
    }
}

async fn a_panic_of_an_extractor(world: World) {
    let handler = Handler::new(|_: Work, _: Fickle| async {});
    let _worker = world.work(handler.config(attempts(1))).await;
    let task = world.done(&world.create(work("a")).await).await;
    assert!(
        task.errors()[0].error.contains("nothing to extract"),
        "{:?}",
        task.errors()
    );
}

async fn many_and_long_errors_are_cut(world: World) {
    let handler = Handler::new(|job: Attempt<Work>| async move {
        Err::<(), _>(format!("{} {}", job.attempt, "x".repeat(9000)))
    });
    let _worker = world.work(handler.config(attempts(103))).await;
    let task = world.done(&world.create(work("a")).await).await;
    let numbers: Vec<_> = task.errors().iter().map(|error| error.attempt).collect();
    let expected: Vec<_> = std::iter::once(1).chain(5..=103).collect();
    assert_eq!(numbers, expected, "the first and the last 99");
    assert!(task.errors().iter().all(|error| error.error.len() <= 4096));
}

#[derive(Clone)]
struct Pool(&'static str);

struct Connection(&'static str, u32);

impl oncetask::handler::FromContext for Connection {
    fn from_context(cx: &Context) -> Self {
        Self(State::<Pool>::from_context(cx).0.0, cx.attempt())
    }

    fn needs(needs: &mut oncetask::handler::Needs) {
        needs.state::<Pool>();
    }
}

async fn an_extractor_of_ones_own(world: World) {
    let handler = || {
        Handler::new(
            |_: Work, connection: Connection, State(pool): State<Pool>| async move {
                Ok::<_, HandlerError>(format!("{} {} {}", connection.0, connection.1, pool.0))
            },
        )
    };
    let missing = builder(&world.client).handler(handler()).start().await;
    let missing = missing.expect_err("the pool is not given").to_string();
    assert!(
        missing.contains("Pool") && missing.contains("runtime/errors.rs:"),
        "{missing}"
    );
    let _worker = start(builder(&world.client).state(Pool("the pool")).handler(handler())).await;
    let task = world.done(&world.create(work("a")).await).await;
    assert_eq!(
        task.result::<String>().expect("text").as_deref(),
        Some("the pool 1 the pool")
    );
}
