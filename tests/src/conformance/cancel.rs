use oncetask::Status;
use oncetask::store::Action;
use oncetask::task::transition::{Change, Phase, Verdict};
use oncetask::task::{Done, Ending};

use super::rules;
use super::scene::{Scene, at, task};

rules!("cancel":
    a_waiting_task_is_due_at_once_for_its_cleanup,
    a_running_task_is_left_to_its_worker,
    a_task_in_backoff_is_due_at_once,
    a_generator_ends,
    a_cancelled_task_is_told_so,
    a_done_task_is_told_so,
    an_unknown_task_is_told_so,
    the_same_id_twice_is_cancelled_once,
    the_answers_are_in_the_order_asked,
    of_competing_cancellations_one_is_applied,
);

async fn a_waiting_task_is_due_at_once_for_its_cleanup(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a").due(at(500))]).await;
    assert_eq!(queue.cancel("a", at(5)).await, Change::Applied);
    let stored = queue.task("a").await;
    assert_eq!(stored.state.cancelled_at, Some(at(5)));
    assert_eq!(stored.status(at(5)), Status::CancellationPending);
    let held = queue.take(at(5)).await;
    assert_eq!(
        held.task.state.lease.as_ref().map(|lease| lease.phase),
        Some(Phase::Cleanup)
    );
    assert_eq!((held.task.attempts(), held.task.state.cleanup_attempts), (0, 1));
}

async fn a_running_task_is_left_to_its_worker(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    let held = queue.start(task("a"), at(0)).await;
    assert_eq!(other.cancel("a", at(5)).await, Change::Applied);
    let stored = queue.task("a").await;
    assert_eq!(stored.state.lease, held.task.state.lease);
    assert_eq!(stored.status(at(5)), Status::CancellationPending);
    other.assert_idle(at(59)).await;
}

async fn a_task_in_backoff_is_due_at_once(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let retry = Verdict::Retry {
        at: at(500),
        error: "again".into(),
    };
    assert_eq!(queue.finish(&held, retry, at(1)).await, Ok(()));
    assert_eq!(queue.cancel("a", at(2)).await, Change::Applied);
    assert_eq!(queue.take(at(2)).await.task.errors().len(), 1);
}

async fn a_generator_ends(scene: Scene) {
    let queue = scene.queue().await;
    queue
        .create([task("daily").recurring("FREQ=DAILY").due(at(500))])
        .await;
    assert_eq!(queue.cancel("daily", at(5)).await, Change::Applied);
    let expected = Done::new(at(5), Ending::Cancelled);
    assert_eq!(queue.task("daily").await.state.done, Some(expected));
    queue.assert_idle(at(1000)).await;
}

async fn a_cancelled_task_is_told_so(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a")]).await;
    queue.cancel("a", at(5)).await;
    let stored = queue.task("a").await;
    assert_eq!(queue.cancel("a", at(6)).await, Change::AlreadyCancelled);
    assert_eq!(queue.task("a").await, stored);

    let held = queue.take(at(7)).await;
    assert_eq!(queue.cancel("a", at(8)).await, Change::AlreadyCancelled);
    assert_eq!(queue.finish(&held, Verdict::Complete(None), at(9)).await, Ok(()));
    assert_eq!(queue.cancel("a", at(10)).await, Change::AlreadyCancelled);
    assert_eq!(queue.task("a").await.status(at(11)), Status::Cancelled);
}

async fn a_done_task_is_told_so(scene: Scene) {
    let queue = scene.queue().await;
    queue.complete(task("completed"), at(1)).await;
    let held = queue.start(task("failed"), at(1)).await;
    let fail = Verdict::Fail { error: "no".into() };
    assert_eq!(queue.finish(&held, fail, at(1)).await, Ok(()));
    for id in ["completed", "failed"] {
        let stored = queue.task(id).await;
        assert_eq!(queue.cancel(id, at(5)).await, Change::AlreadyDone);
        assert_eq!(queue.task(id).await, stored);
    }
}

async fn an_unknown_task_is_told_so(scene: Scene) {
    let queue = scene.queue().await;
    assert_eq!(queue.cancel("a", at(5)).await, Change::NotFound);
    assert_eq!(queue.find("a").await, None);
}

async fn the_same_id_twice_is_cancelled_once(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("a"), task("b")]).await;
    let changes = queue.change(["a", "b", "a"], Action::Cancel, at(5)).await;
    assert_eq!(
        changes,
        [Change::Applied, Change::Applied, Change::AlreadyCancelled]
    );
}

async fn the_answers_are_in_the_order_asked(scene: Scene) {
    let queue = scene.queue().await;
    queue.complete(task("done"), at(1)).await;
    queue.create([task("open"), task("cancelled")]).await;
    queue.cancel("cancelled", at(2)).await;
    let changes = queue
        .change(["cancelled", "missing", "open", "done"], Action::Cancel, at(5))
        .await;
    assert_eq!(
        changes,
        [
            Change::AlreadyCancelled,
            Change::NotFound,
            Change::Applied,
            Change::AlreadyDone
        ]
    );
    assert_eq!(queue.change([] as [&str; 0], Action::Cancel, at(5)).await, []);
}

async fn of_competing_cancellations_one_is_applied(scene: Scene) {
    let queue = scene.queue().await;
    let all: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    queue.create(all.iter().map(|id| task(&id[..]))).await;
    let mut cancelling = Vec::new();
    for _ in 0..3 {
        let (queue, all) = (scene.queue().await, all.clone());
        cancelling.push(tokio::spawn(async move {
            queue
                .change(all.iter().map(|id| &id[..]), Action::Cancel, at(5))
                .await
        }));
    }
    let mut applied = 0;
    for changes in cancelling {
        let changes = changes.await.expect("the cancelling ends");
        applied += changes
            .iter()
            .filter(|change| **change == Change::Applied)
            .count();
    }
    assert_eq!(applied, all.len());
}
