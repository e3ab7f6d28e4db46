use oncetask::Status;
use oncetask::store::{Finish, Renewed};
use oncetask::task::transition::{LeaseLost, Phase, Verdict};
use oncetask::task::{Done, Ending, Json, LeaseToken, Progress};

use super::rules;
use super::scene::{Queue, Scene, at, complete, extension, finish, millis, task};

rules!("finish":
    complete_stores_the_result,
    retry_waits_and_notes_the_error,
    fail_is_the_end,
    cancel_is_the_end_without_cleanup,
    cancel_goes_to_cleanup_if_there_is_one,
    snooze_waits_without_an_attempt,
    release_is_due_at_once_without_an_attempt,
    defer_waits_and_counts_the_deferrals,
    exhausted_fails_after_silence,
    progress_is_stored_with_the_end_of_a_claim,
    also_when_its_lease_has_ended,
    who_says_nothing_of_progress_leaves_it,
    a_foreign_token_is_refused,
    a_second_finish_is_refused,
    of_a_deleted_task_it_is_refused,
    of_an_unknown_task_it_is_refused,
    a_task_cancelled_meanwhile_ends_as_cancelled_and_keeps_its_result,
    a_task_cancelled_meanwhile_is_cleaned_up_after,
    a_failed_cleanup_is_retried,
    a_cleanup_that_gives_up_leaves_the_task_failed,
    a_retried_task_runs_again_under_another_token,
    of_competing_finishes_one_is_accepted,
    the_answers_are_in_the_order_asked,
);

async fn verdict(queue: &Queue, verdict: Verdict, seconds: i64) -> oncetask::Task {
    let held = queue.start(task("a"), at(0)).await;
    assert_eq!(queue.finish(&held, verdict, at(seconds)).await, Ok(()));
    let task = queue.task("a").await;
    assert_eq!(task.state.lease, None);
    task
}

fn done(seconds: i64, how: Ending) -> Done {
    Done::new(at(seconds), how)
}

async fn complete_stores_the_result(scene: Scene) {
    let queue = scene.queue().await;
    let result = Json::parse(r#"{"sent":true}"#).expect("JSON");
    let task = verdict(&queue, Verdict::Complete(Some(result.clone())), 5).await;
    assert_eq!(task.state.done, Some(done(5, Ending::Completed)));
    assert_eq!(task.state.result, Some(result));
    assert_eq!((task.attempts(), task.errors().len()), (1, 0));
    queue.assert_idle(at(1000)).await;
}

async fn retry_waits_and_notes_the_error(scene: Scene) {
    let queue = scene.queue().await;
    let retry = Verdict::Retry {
        at: millis(9_250),
        error: "no answer".into(),
    };
    let task = verdict(&queue, retry, 5).await;
    assert_eq!(task.status(at(9)), Status::Waiting);
    assert_eq!(task.state.wait_until, millis(9_250));
    let [error] = task.errors() else {
        panic!("{:?}", task.errors())
    };
    assert_eq!(
        (error.at, error.attempt, error.cleanup, &error.error[..]),
        (at(5), 1, false, "no answer")
    );
    queue.assert_idle(millis(9_249)).await;
    assert_eq!(queue.take(millis(9_250)).await.task.attempts(), 2);
}

async fn fail_is_the_end(scene: Scene) {
    let queue = scene.queue().await;
    let task = verdict(
        &queue,
        Verdict::Fail {
            error: "broken".into(),
        },
        5,
    )
    .await;
    assert_eq!(task.state.done, Some(done(5, Ending::Failed)));
    assert_eq!(task.errors()[0].error, "broken");
    queue.assert_idle(at(1000)).await;
}

async fn cancel_is_the_end_without_cleanup(scene: Scene) {
    let queue = scene.queue().await;
    let task = verdict(
        &queue,
        Verdict::Cancel {
            reason: "not needed".into(),
        },
        5,
    )
    .await;
    assert_eq!(task.state.done, Some(done(5, Ending::Cancelled)));
    assert_eq!(task.state.cancelled_at, Some(at(5)));
    queue.assert_idle(at(1000)).await;
}

async fn cancel_goes_to_cleanup_if_there_is_one(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let cancel = Verdict::Cancel {
        reason: "not needed".into(),
    };
    assert_eq!(
        queue.finish_one(with_cleanup(finish(&held, cancel)), at(5)).await,
        Ok(())
    );
    let task = queue.task("a").await;
    assert_eq!(task.status(at(5)), Status::CancellationPending);
    let cleanup = queue.take(at(5)).await;
    assert_eq!(
        cleanup.task.state.lease.as_ref().map(|lease| lease.phase),
        Some(Phase::Cleanup)
    );
    assert!(!cleanup.orphaned);
    assert_eq!(
        queue.finish_one(with_cleanup(complete(&cleanup)), at(6)).await,
        Ok(())
    );
    assert_eq!(queue.task("a").await.state.done, Some(done(6, Ending::Cancelled)));
}

fn with_cleanup(finish: Finish) -> Finish {
    finish.cleanup(true)
}

async fn snooze_waits_without_an_attempt(scene: Scene) {
    let queue = scene.queue().await;
    let task = verdict(&queue, Verdict::Snooze { at: at(30) }, 5).await;
    assert_eq!((task.attempts(), task.errors().len()), (0, 0));
    assert_eq!(task.status(at(29)), Status::Waiting);
    queue.assert_idle(at(29)).await;
    assert_eq!(queue.take(at(30)).await.task.attempts(), 1);
}

async fn release_is_due_at_once_without_an_attempt(scene: Scene) {
    let queue = scene.queue().await;
    let task = verdict(&queue, Verdict::Release, 5).await;
    assert_eq!((task.attempts(), task.errors().len()), (0, 0));
    assert_eq!(task.status(at(5)), Status::Pending);
    let again = queue.take(at(5)).await;
    assert!(!again.orphaned);
    assert_eq!(again.task.attempts(), 1);
}

async fn defer_waits_and_counts_the_deferrals(scene: Scene) {
    let queue = scene.queue().await;
    let task = verdict(&queue, Verdict::Defer { at: at(60) }, 5).await;
    assert_eq!((task.attempts(), task.state.deferrals), (0, 1));
    queue.assert_idle(at(59)).await;
    let held = queue.take(at(60)).await;
    assert_eq!(
        queue.finish(&held, Verdict::Defer { at: at(180) }, at(60)).await,
        Ok(())
    );
    assert_eq!(queue.task("a").await.state.deferrals, 2);
    let held = queue.take(at(180)).await;
    assert_eq!(
        queue
            .finish(&held, Verdict::Snooze { at: at(200) }, at(180))
            .await,
        Ok(())
    );
    assert_eq!(queue.task("a").await.state.deferrals, 0, "somebody could read it");
}

async fn exhausted_fails_after_silence(scene: Scene) {
    let queue = scene.queue().await;
    queue.start(task("a"), at(0)).await;
    let held = queue.take(at(60)).await;
    assert_eq!(queue.finish(&held, Verdict::Exhausted, at(60)).await, Ok(()));
    let task = queue.task("a").await;
    assert_eq!(task.state.done, Some(done(60, Ending::Failed)));
    assert_eq!((task.attempts(), task.errors().len()), (1, 1));
}

fn progress(fraction: f64) -> Progress {
    Progress::new(fraction, "so far", at(1))
}

fn saying(finish: Finish, fraction: f64) -> Finish {
    finish.progress(Some(progress(fraction)))
}

async fn progress_is_stored_with_the_end_of_a_claim(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let retry = Verdict::Retry {
        at: at(5),
        error: "no answer".into(),
    };
    let failed = saying(finish(&held, retry), 0.25);
    assert_eq!(queue.finish_one(failed, at(2)).await, Ok(()));
    assert_eq!(queue.task("a").await.state.progress, Some(progress(0.25)));
    let held = queue.take(at(5)).await;
    assert_eq!(held.task.state.progress, Some(progress(0.25)));
    assert_eq!(
        queue.finish_one(saying(complete(&held), 1.0), at(6)).await,
        Ok(())
    );
    let task = queue.task("a").await;
    assert_eq!(task.state.progress, Some(progress(1.0)));
    assert_eq!(task.state.done, Some(done(6, Ending::Completed)));
}

async fn also_when_its_lease_has_ended(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let late = saying(complete(&held), 1.0);
    assert_eq!(queue.finish_one(late, at(600)).await, Ok(()));
    assert_eq!(queue.task("a").await.state.progress, Some(progress(1.0)));
}

async fn who_says_nothing_of_progress_leaves_it(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let renewal = extension(&held, at(90)).progress(Some(progress(0.5)));
    assert_eq!(queue.renew(renewal, at(2)).await, Renewed::Held);
    assert_eq!(queue.finish(&held, Verdict::Release, at(3)).await, Ok(()));
    assert_eq!(queue.task("a").await.state.progress, Some(progress(0.5)));
}

async fn a_foreign_token_is_refused(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let mut foreign = saying(complete(&held), 0.5);
    foreign.token = LeaseToken::random();
    assert_eq!(queue.finish_one(foreign, at(1)).await, Err(LeaseLost));
    assert_eq!(queue.task("a").await, held.task, "nothing was changed");
}

async fn a_second_finish_is_refused(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    assert_eq!(queue.finish(&held, Verdict::Complete(None), at(1)).await, Ok(()));
    let stored = queue.task("a").await;
    for verdict in [
        Verdict::Complete(None),
        Verdict::Fail { error: "late".into() },
        Verdict::Release,
    ] {
        assert_eq!(queue.finish(&held, verdict, at(2)).await, Err(LeaseLost));
    }
    assert_eq!(queue.task("a").await, stored, "nothing was changed");
}

async fn of_a_deleted_task_it_is_refused(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    queue.delete("a").await;
    assert_eq!(
        queue.finish(&held, Verdict::Complete(None), at(1)).await,
        Err(LeaseLost)
    );
    assert_eq!(queue.find("a").await, None);
}

async fn of_an_unknown_task_it_is_refused(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let mut unknown = complete(&held);
    unknown.id = "b".into();
    assert_eq!(queue.finish_one(unknown, at(1)).await, Err(LeaseLost));
    assert_eq!(queue.find("b").await, None);
}

async fn a_task_cancelled_meanwhile_ends_as_cancelled_and_keeps_its_result(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    queue.cancel("a", at(1)).await;
    let result = Json::parse("7").expect("JSON");
    assert_eq!(
        queue
            .finish(&held, Verdict::Complete(Some(result.clone())), at(5))
            .await,
        Ok(())
    );
    let task = queue.task("a").await;
    assert_eq!(task.state.done, Some(done(5, Ending::Cancelled)));
    assert_eq!(task.state.result, Some(result));
}

async fn a_task_cancelled_meanwhile_is_cleaned_up_after(scene: Scene) {
    let verdicts = [
        Verdict::Complete(None),
        Verdict::Fail { error: "no".into() },
        Verdict::Retry {
            at: at(500),
            error: "no".into(),
        },
        Verdict::Snooze { at: at(500) },
        Verdict::Release,
    ];
    let queue = scene.queue().await;
    for (verdict, n) in verdicts.into_iter().zip(0..) {
        let id = n.to_string();
        let held = queue.start(task(&id[..]), at(0)).await;
        queue.cancel(&id, at(1)).await;
        let finish = with_cleanup(finish(&held, verdict.clone()));
        assert_eq!(queue.finish_one(finish, at(5)).await, Ok(()));
        let status = queue.task(&id[..]).await.status(at(5));
        assert_eq!(status, Status::CancellationPending, "{verdict:?}");
        let cleanup = queue.take(at(5)).await;
        assert_eq!(cleanup.task.id().as_str(), id);
        assert_eq!(
            queue.finish_one(with_cleanup(complete(&cleanup)), at(6)).await,
            Ok(())
        );
        let status = queue.task(&id[..]).await.status(at(6));
        assert_eq!(status, Status::Cancelled, "{verdict:?}");
    }
}

async fn a_failed_cleanup_is_retried(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a")]).await;
    queue.cancel("a", at(1)).await;
    let held = queue.take(at(1)).await;
    let retry = Verdict::Retry {
        at: at(20),
        error: "still locked".into(),
    };
    assert_eq!(
        queue.finish_one(with_cleanup(finish(&held, retry)), at(2)).await,
        Ok(())
    );
    queue.assert_idle(at(19)).await;
    let held = queue.take(at(20)).await;
    assert_eq!((held.task.attempts(), held.task.state.cleanup_attempts), (0, 2));
    assert!(held.task.errors()[0].cleanup);
}

async fn a_cleanup_that_gives_up_leaves_the_task_failed(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a")]).await;
    queue.cancel("a", at(1)).await;
    let held = queue.take(at(1)).await;
    let fail = Verdict::Fail {
        error: "still locked".into(),
    };
    assert_eq!(
        queue.finish_one(with_cleanup(finish(&held, fail)), at(2)).await,
        Ok(())
    );
    let task = queue.task("a").await;
    assert_eq!(task.state.done, Some(done(2, Ending::Failed)));
    assert_eq!(task.state.cancelled_at, Some(at(1)));
    assert_eq!(
        (task.errors()[0].cleanup, &task.errors()[0].error[..]),
        (true, "still locked")
    );
}

async fn a_retried_task_runs_again_under_another_token(scene: Scene) {
    let queue = scene.queue().await;
    let first = queue.start(task("a"), at(0)).await;
    let retry = Verdict::Retry {
        at: at(1),
        error: "again".into(),
    };
    assert_eq!(queue.finish(&first, retry, at(1)).await, Ok(()));
    let second = queue.take(at(1)).await;
    assert_eq!(
        queue.finish(&first, Verdict::Complete(None), at(2)).await,
        Err(LeaseLost)
    );
    assert_eq!(
        queue.finish(&second, Verdict::Complete(None), at(2)).await,
        Ok(())
    );
    let task = queue.task("a").await;
    assert_eq!((task.attempts(), task.errors().len()), (2, 1));
}

async fn of_competing_finishes_one_is_accepted(scene: Scene) {
    let queue = scene.queue().await;
    for n in 0..20 {
        let held = queue.start(task(n.to_string()), at(n)).await;
        let [one, other] = [scene.queue().await, scene.queue().await].map(|queue| {
            let complete = complete(&held);
            tokio::spawn(async move { queue.finish_one(complete, at(n)).await })
        });
        let answers = [one.await.expect("answered"), other.await.expect("answered")];
        assert!(
            matches!(answers, [Ok(()), Err(LeaseLost)] | [Err(LeaseLost), Ok(())]),
            "{answers:?}"
        );
    }
}

async fn the_answers_are_in_the_order_asked(scene: Scene) {
    let queue = scene.queue().await;
    let mut held = Vec::new();
    for id in ["a", "b", "c", "d"] {
        held.push(queue.start(task(id), at(0)).await);
    }
    queue.delete("b").await;
    let mut finishes: Vec<_> = held.iter().map(complete).collect();
    finishes[2].token = LeaseToken::random();
    assert_eq!(
        queue.finish_all(finishes, at(1)).await,
        [Ok(()), Err(LeaseLost), Err(LeaseLost), Ok(())]
    );
    assert!(!queue.task("c").await.is_done());
    assert_eq!(queue.finish_all(Vec::new(), at(1)).await, []);
}
