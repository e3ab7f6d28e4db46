//! Cleanup handlers: after the handler, never beside it, to their own end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use oncetask::{Attempt, Change, Context, Handler, HandlerConfig, HandlerError, OnceTask as _, Status, Task};

use crate::on_every_store;
use crate::world::{
    Dropped, Gate, Heard, Say, Work, World, builder, line, quick, start, until, with_short_leases, work,
};

on_every_store!(
    a_task_that_waits_is_only_cleaned_up_after,
    never_beside_its_handler,
    after_a_handler_that_failed_its_last_attempt,
    in_backoff_it_comes_at_once,
    after_a_dead_worker_even_if_a_crash_is_the_end,
    after_a_dead_worker_a_policy_is_not_asked_about_attempt_0,
    it_is_retried_by_its_own_policy,
    out_of_attempts_it_leaves_the_task_failed,
    a_crash_of_its_worker_is_one_of_its_attempts,
    the_cancellation_does_not_stop_its_own_cleanup,
    cancelled_late_or_not_the_cleanup_is_not_told,
    a_handler_that_cancels_its_task_is_cleaned_up_after,
    a_panicking_cleanup_is_retried,
    a_shutdown_gives_it_back,
    reset_runs_the_handler_again,
);

/// A handler and a cleanup handler that say what they do; both wait for the gate.
fn pair(say: &Say<&'static str>, gate: &Gate) -> Handler {
    let (run, cancel) = ((say.clone(), gate.clone()), (say.clone(), gate.clone()));
    let run = move |_: Work| {
        let (say, gate) = run.clone();
        async move {
            say.say("run begins");
            gate.opened().await;
            say.say("run ends");
            Ok::<_, HandlerError>("the work")
        }
    };
    let cancel = move |_: Work| {
        let (say, gate) = cancel.clone();
        async move {
            say.say("cleanup begins");
            gate.opened().await;
            say.say("cleanup ends");
            Ok::<_, HandlerError>("the cleanup")
        }
    };
    Handler::new(run).on_cancel(cancel)
}

fn status(world: &World, task: &Task) -> Status {
    task.status(world.client.clock().now())
}

fn open_gate() -> Gate {
    let gate = Gate::closed();
    gate.open();
    gate
}

async fn a_task_that_waits_is_only_cleaned_up_after(world: World) {
    let (say, mut heard) = line();
    let at = world.client.clock().now() + chrono::TimeDelta::days(1);
    let id = world.create(work("a").at(at)).await;
    world.cancel(&id).await;
    let _worker = world.work(pair(&say, &open_gate())).await;
    let task = world.done(&id).await;
    assert_eq!(status(&world, &task), Status::Cancelled);
    assert_eq!((task.attempts(), task.state.cleanup_attempts), (0, 1));
    assert_eq!(heard.rest(), ["cleanup begins", "cleanup ends"]);
}

async fn never_beside_its_handler(world: World) {
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let handler = pair(&say, &gate).config(HandlerConfig::DEFAULT.concurrency(4));
    let _worker = world.work(handler).await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "run begins");
    world.cancel(&id).await;
    // Whatever was created after it has run by then, and been cleaned up after.
    let other = world.create(work("b")).await;
    assert_eq!(heard.next().await, "run begins");
    world.cancel(&other).await;
    gate.open();
    let task = world.done(&id).await;
    world.done(&other).await;
    assert_eq!(status(&world, &task), Status::Cancelled);
    assert_eq!(
        task.result::<String>().expect("text").as_deref(),
        Some("the work")
    );
    let said = heard.rest();
    assert_eq!(said.iter().filter(|said| **said == "cleanup ends").count(), 2);
    assert!(said[0] == "run ends", "no cleanup began before: {said:?}");
}

async fn after_a_handler_that_failed_its_last_attempt(world: World) {
    let ((say, mut heard), gate) = (line(), Gate::closed());
    let (run, cancel) = ((say.clone(), gate.clone()), say.clone());
    let handler = Handler::new(move |_: Work| {
        let (say, gate) = run.clone();
        async move {
            say.say("run");
            gate.opened().await;
            Err::<(), _>(HandlerError::permanent("for good"))
        }
    });
    let handler = handler.on_cancel(move |_: Work| {
        let say = cancel.clone();
        async move { say.say("cleanup") }
    });
    let _worker = world.work(handler).await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "run");
    world.cancel(&id).await;
    gate.open();
    assert_eq!(heard.next().await, "cleanup");
    let task = world.done(&id).await;
    assert_eq!(status(&world, &task), Status::Cancelled);
    assert_eq!(task.errors()[0].error, "for good");
}

async fn in_backoff_it_comes_at_once(world: World) {
    let (say, mut heard) = line();
    let (run, cancel) = (say.clone(), say);
    let handler = Handler::new(move |_: Work| {
        let say = run.clone();
        async move {
            say.say("run");
            Err::<(), _>("not yet")
        }
    });
    let handler = handler.on_cancel(move |_: Work| {
        let say = cancel.clone();
        async move { say.say("cleanup") }
    });
    let patient = oncetask::Retry::fixed(Duration::from_hours(1));
    let _worker = world
        .work(handler.config(HandlerConfig::DEFAULT.retry(patient)))
        .await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "run");
    world.until(&id, |task| task.state.lease.is_none()).await;
    world.cancel(&id).await;
    assert_eq!(heard.next().await, "cleanup");
    assert_eq!(status(&world, &world.done(&id).await), Status::Cancelled);
}

async fn after_a_dead_worker_even_if_a_crash_is_the_end(world: World) {
    let (say, mut heard) = line();
    let id = world.create(work("a")).await;
    world.claim_and_die(Work::KIND, Duration::from_millis(200)).await;
    world.cancel(&id).await;
    let never = HandlerConfig::DEFAULT
        .retry(oncetask::Retry::never())
        .on_cancel_retry(oncetask::Retry::never());
    let _worker = world.work(pair(&say, &open_gate()).config(never)).await;
    let task = world.done(&id).await;
    assert_eq!(status(&world, &task), Status::Cancelled);
    assert_eq!(heard.rest(), ["cleanup begins", "cleanup ends"]);
    let [silent] = task.errors() else {
        panic!("one error: {:?}", task.errors())
    };
    assert!(
        silent.error.contains("without a word") && !silent.cleanup,
        "{orphaned:?}"
    );
}

async fn after_a_dead_worker_a_policy_is_not_asked_about_attempt_0(world: World) {
    fn picky(attempt: u32, _: &HandlerError) -> Option<Duration> {
        matches!(attempt, 1 | 2).then_some(Duration::ZERO)
    }
    let (say, mut heard) = line();
    let id = world.create(work("a")).await;
    world.claim_and_die(Work::KIND, Duration::from_millis(200)).await;
    world.cancel(&id).await;
    let config = HandlerConfig::DEFAULT.on_cancel_retry(oncetask::Retry::custom(picky));
    let _worker = world.work(pair(&say, &open_gate()).config(config)).await;
    assert_eq!(status(&world, &world.done(&id).await), Status::Cancelled);
    assert_eq!(heard.rest(), ["cleanup begins", "cleanup ends"]);
}

/// A cleanup handler that fails as often as it is told, and the errors' texts.
fn failing_cleanup(times: u32, say: Say<(&'static str, u32)>) -> Handler {
    let run = say.clone();
    let handler = Handler::new(move |job: Attempt<Work>| {
        let say = run.clone();
        async move {
            say.say(("run", job.attempt));
            Err::<(), _>("the run failed")
        }
    });
    handler.on_cancel(move |job: Attempt<Work>| {
        let say = say.clone();
        async move {
            say.say(("cleanup", job.attempt));
            if job.attempt <= times {
                Err(format!("the cleanup failed {}", job.attempt))
            } else {
                Ok(())
            }
        }
    })
}

async fn it_is_retried_by_its_own_policy(world: World) {
    let (say, mut heard) = line();
    let id = world.create(work("a")).await;
    world.cancel(&id).await;
    let config = HandlerConfig::DEFAULT
        .retry(oncetask::Retry::never())
        .on_cancel_retry(quick(4));
    let _worker = world.work(failing_cleanup(3, say).config(config)).await;
    let task = world.done(&id).await;
    assert_eq!(status(&world, &task), Status::Cancelled);
    assert_eq!(heard.rest(), [1, 2, 3, 4].map(|attempt| ("cleanup", attempt)));
    assert_eq!(task.errors().len(), 3);
}

async fn out_of_attempts_it_leaves_the_task_failed(world: World) {
    let (say, mut heard) = line();
    let patient = oncetask::Retry::fixed(Duration::from_hours(1));
    let config = HandlerConfig::DEFAULT.retry(patient).on_cancel_retry(quick(2));
    let _worker = world.work(failing_cleanup(9, say).config(config)).await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, ("run", 1));
    world.until(&id, |task| task.state.lease.is_none()).await;
    world.cancel(&id).await;
    let task = world.done(&id).await;
    assert_eq!(status(&world, &task), Status::Failed);
    let errors = task
        .errors()
        .iter()
        .map(|error| (error.cleanup, error.attempt, error.error.as_str()));
    let expected = [
        (false, 1, "the run failed"),
        (true, 1, "the cleanup failed 1"),
        (true, 2, "the cleanup failed 2"),
    ];
    assert_eq!(errors.collect::<Vec<_>>(), expected);
    assert_eq!(world.cancel(&id).await, Change::AlreadyDone);
}

async fn a_crash_of_its_worker_is_one_of_its_attempts(world: World) {
    let (say, mut heard) = line();
    let id = world.create(work("a")).await;
    world.cancel(&id).await;
    world.claim_and_die(Work::KIND, Duration::from_millis(100)).await;
    let config = HandlerConfig::DEFAULT.on_cancel_retry(quick(2));
    let _worker = world.work(failing_cleanup(9, say).config(config)).await;
    let task = world.done(&id).await;
    assert_eq!(status(&world, &task), Status::Failed);
    assert_eq!(heard.rest(), [("cleanup", 2)]);
    assert!(
        task.errors().iter().all(|error| error.cleanup),
        "{:?}",
        task.errors()
    );
    assert!(task.errors()[0].error.contains("without a word"));
}

/// A cleanup handler that outlives a heartbeat and stops when it is told: nobody tells it.
async fn the_cancellation_does_not_stop_its_own_cleanup(world: World) {
    let (client, knobs) = crate::flaky::flaky(&world.client);
    let (say, mut heard) = line();
    let _worker = start(with_short_leases(&client).handler(obedient_cleanup(&say, {
        let knobs = knobs.clone();
        move || knobs.renewed.lock().expect("no test panics with it").len() >= 2
    })))
    .await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "run");
    world.cancel(&id).await;
    let task = world.done(&id).await;
    assert_eq!(heard.rest(), ["cleanup"]);
    assert_eq!(
        (status(&world, &task), task.state.cleanup_attempts),
        (Status::Cancelled, 1)
    );
}

/// The news of a cancellation may arrive when the cleanup runs already.
async fn cancelled_late_or_not_the_cleanup_is_not_told(world: World) {
    let (say, mut heard) = line();
    let id = world.create(work("a")).await;
    world.cancel(&id).await;
    let gate = Gate::closed();
    let handler = Handler::new(|_: Work| async {}).on_cancel({
        let gate = gate.clone();
        move |_: Work, cx: Context| {
            let (say, gate) = (say.clone(), gate.clone());
            async move {
                say.say("cleanup");
                tokio::select! {
                    () = cx.cancelled() => Err("told to stop"),
                    () = gate.opened() => Ok(()),
                }
            }
        }
    });
    let (client, knobs) = crate::flaky::flaky(&world.client);
    knobs.own_bell.store(true, Ordering::SeqCst);
    // Its heartbeat is so long that the only question is the one about the news.
    let _worker = start(builder(&client).handler(handler)).await;
    assert_eq!(heard.next().await, "cleanup");
    knobs.notifier.notify_stopped(std::slice::from_ref(&id));
    // The worker asks what the news means for this claim.
    until(|| !knobs.renewed.lock().expect("no test panics with it").is_empty()).await;
    gate.open();
    let task = world.done(&id).await;
    assert_eq!(task.errors(), []);
    assert_eq!(status(&world, &task), Status::Cancelled);
}

/// A handler that ends when it is told, and a cleanup that fails if it is told before `enough`.
fn obedient_cleanup(
    say: &Say<&'static str>,
    enough: impl Fn() -> bool + Clone + Send + Sync + 'static,
) -> Handler {
    let (run, cancel) = (say.clone(), say.clone());
    let handler = Handler::new(move |_: Work, cx: Context| {
        let say = run.clone();
        async move {
            say.say("run");
            cx.cancelled().await;
        }
    });
    handler.on_cancel(move |_: Work, cx: Context| {
        let (say, enough) = (cancel.clone(), enough.clone());
        async move {
            say.say("cleanup");
            tokio::select! {
                () = cx.cancelled() => Err("told to stop"),
                () = until(enough) => Ok(()),
            }
        }
    })
}

async fn a_handler_that_cancels_its_task_is_cleaned_up_after(world: World) {
    let (say, mut heard) = line();
    let handler = Handler::new(|_: Work| async { Err::<(), _>(HandlerError::cancel("the user left")) });
    let handler = handler.on_cancel(move |_: Work| {
        let say = say.clone();
        async move { say.say("cleanup") }
    });
    let _worker = world.work(handler).await;
    let id = world.create(work("a")).await;
    assert_eq!(heard.next().await, "cleanup");
    let task = world.done(&id).await;
    assert_eq!(status(&world, &task), Status::Cancelled);
    assert_eq!(task.errors()[0].error, "the user left");
}

async fn a_panicking_cleanup_is_retried(world: World) {
    let handler = Handler::new(|_: Work| async {});
    let handler = handler.on_cancel(|job: Attempt<Work>| async move {
        assert!(job.attempt > 1, "the first cleanup panics");
    });
    let id = world.create(work("a")).await;
    world.cancel(&id).await;
    let _worker = world
        .work(handler.config(HandlerConfig::DEFAULT.on_cancel_retry(quick(2))))
        .await;
    let task = world.done(&id).await;
    assert_eq!(status(&world, &task), Status::Cancelled);
    let [error] = task.errors() else {
        panic!("one error: {:?}", task.errors())
    };
    assert!(
        error.cleanup && error.error.contains("the first cleanup panics"),
        "{error:?}"
    );
}

async fn a_shutdown_gives_it_back(world: World) {
    let (say, mut heard): (_, Heard<&'static str>) = line();
    let handler = |say: Say<&'static str>| {
        Handler::new(|_: Work| async {}).on_cancel(move |_: Work| {
            let say = say.clone();
            async move {
                let _dropped = Dropped(say.clone());
                say.say("cleanup");
                std::future::pending::<()>().await;
            }
        })
    };
    let id = world.create(work("a")).await;
    world.cancel(&id).await;
    let worker = start(builder(&world.client).grace(Duration::ZERO).handler(handler(say))).await;
    assert_eq!(heard.next().await, "cleanup");
    worker.shutdown().await;
    assert_eq!(heard.next().await, "dropped");
    let task = world.task(&id).await;
    assert_eq!((task.state.cleanup_attempts, &task.state.lease), (0, &None));
    let (say, mut heard) = line();
    let _worker = world.work(pair(&say, &open_gate())).await;
    world.done(&id).await;
    assert_eq!(heard.rest(), ["cleanup begins", "cleanup ends"]);
}

async fn reset_runs_the_handler_again(world: World) {
    let (say, mut heard) = line();
    let id = world.create(work("a")).await;
    world.cancel(&id).await;
    let _worker = world.work(pair(&say, &open_gate())).await;
    world.done(&id).await;
    assert_eq!(
        world.client.reset(&id).await.expect("the store answers"),
        Change::Applied
    );
    let task = world
        .until(&id, |task| task.attempts() > 0 && task.is_done())
        .await;
    assert_eq!(status(&world, &task), Status::Completed);
    assert_eq!((task.state.cleanup_attempts, task.errors().len()), (0, 0));
    assert_eq!(
        heard.rest(),
        ["cleanup begins", "cleanup ends", "run begins", "run ends"]
    );
}
