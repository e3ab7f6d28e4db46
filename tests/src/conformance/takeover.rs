use oncetask::Status;
use oncetask::store::Renewed;
use oncetask::task::transition::{LeaseLost, Phase, Verdict};

use super::rules;
use super::scene::{Scene, at, leased_until, task};

rules!("takeover":
    a_task_whose_lease_has_ended_is_taken_over,
    not_before_the_lease_has_ended,
    an_extended_lease_is_left,
    the_attempt_that_fell_silent_is_noted,
    attempts_and_errors_add_up_after_several,
    the_one_before_may_not_finish,
    the_one_before_may_not_extend,
    a_lease_that_ended_may_be_finished_while_nobody_took_over,
    a_cancelled_one_goes_to_cleanup,
    a_cleanup_that_fell_silent_is_noted_as_one,
);

async fn a_task_whose_lease_has_ended_is_taken_over(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    queue.start(task("a"), at(0)).await;
    let claimed = other.take(at(60)).await;
    assert!(claimed.orphaned);
    assert_eq!(claimed.task.attempts(), 2);
    assert_eq!(leased_until(&claimed.task), Some(at(120)));
    assert_eq!(queue.task("a").await, claimed.task);
}

async fn not_before_the_lease_has_ended(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    queue.start(task("a"), at(0)).await;
    other.assert_idle(at(59)).await;
}

async fn an_extended_lease_is_left(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    let held = queue.start(task("a"), at(0)).await;
    assert_eq!(queue.extend(&held, at(90), at(30)).await, Renewed::Held);
    other.assert_idle(at(60)).await;
    other.assert_idle(at(89)).await;
    other.take(at(90)).await;
}

async fn the_attempt_that_fell_silent_is_noted(scene: Scene) {
    let queue = scene.queue().await;
    queue.start(task("a"), at(0)).await;
    let claimed = queue.take(at(75)).await;
    let [error] = claimed.task.errors() else {
        panic!("{:?}", claimed.task.errors())
    };
    assert_eq!(error.at, at(75));
    assert_eq!(error.attempt, 1);
    assert!(!error.cleanup);
    assert!(
        error.error.contains("worker"),
        "it names the worker: {}",
        error.error
    );
}

async fn attempts_and_errors_add_up_after_several(scene: Scene) {
    let queue = scene.queue().await;
    queue.start(task("a"), at(0)).await;
    queue.take(at(100)).await;
    let last = queue.take(at(200)).await;
    assert_eq!(last.task.attempts(), 3);
    assert_eq!(last.task.errors().len(), 2);
    assert_eq!(queue.finish(&last, Verdict::Exhausted, at(201)).await, Ok(()));
    let task = queue.task("a").await;
    assert_eq!(task.status(at(202)), Status::Failed);
    assert_eq!((task.attempts(), task.errors().len()), (2, 2));
}

async fn the_one_before_may_not_finish(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    let before = queue.start(task("a"), at(0)).await;
    let after = other.take(at(60)).await;
    let late = queue.finish(&before, Verdict::Complete(None), at(61)).await;
    assert_eq!(late, Err(LeaseLost));
    assert_eq!(queue.task("a").await, after.task, "nothing was changed");
    assert_eq!(
        other.finish(&after, Verdict::Complete(None), at(62)).await,
        Ok(())
    );
    assert_eq!(queue.task("a").await.status(at(63)), Status::Completed);
}

async fn the_one_before_may_not_extend(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    let before = queue.start(task("a"), at(0)).await;
    let after = other.take(at(60)).await;
    assert_eq!(queue.extend(&before, at(900), at(61)).await, Renewed::Lost);
    assert_eq!(queue.task("a").await, after.task, "nothing was changed");
}

async fn a_lease_that_ended_may_be_finished_while_nobody_took_over(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    assert_eq!(
        queue.finish(&held, Verdict::Complete(None), at(500)).await,
        Ok(())
    );
    assert_eq!(queue.task("a").await.status(at(501)), Status::Completed);
}

async fn a_cancelled_one_goes_to_cleanup(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    queue.start(task("a"), at(0)).await;
    queue.cancel("a", at(10)).await;
    other.assert_idle(at(59)).await;
    let claimed = other.take(at(60)).await;
    assert!(claimed.orphaned);
    assert_eq!(
        claimed.task.state.lease.as_ref().map(|lease| lease.phase),
        Some(Phase::Cleanup)
    );
    assert_eq!(
        (claimed.task.attempts(), claimed.task.state.cleanup_attempts),
        (1, 1)
    );
    assert!(!claimed.task.errors()[0].cleanup);
}

async fn a_cleanup_that_fell_silent_is_noted_as_one(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a")]).await;
    queue.cancel("a", at(0)).await;
    queue.take(at(0)).await;
    let again = queue.take(at(60)).await;
    assert!(again.orphaned);
    assert_eq!((again.task.attempts(), again.task.state.cleanup_attempts), (0, 2));
    assert!(again.task.errors()[0].cleanup);
}
