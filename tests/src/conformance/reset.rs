use oncetask::store::Action;
use oncetask::task::transition::{Change, Verdict};
use oncetask::task::{Json, TaskState};

use super::rules;
use super::scene::{Scene, at, task};

rules!("reset":
    a_completed_task_begins_again,
    a_failed_task_begins_again,
    a_cancelled_task_begins_again,
    what_has_not_ended_is_told_so,
    an_unknown_task_is_told_so,
    the_same_id_twice_is_reset_once,
    a_key_is_respected_again,
    what_was_done_before_is_refused_afterwards,
);

async fn a_completed_task_begins_again(scene: Scene) {
    let queue = scene.queue().await;
    let first = queue.start(task("a").payload(r#"{"n":1}"#).key("k"), at(0)).await;
    let result = Json::parse("7").expect("JSON");
    assert_eq!(
        queue.finish(&first, Verdict::Complete(Some(result)), at(1)).await,
        Ok(())
    );

    assert_eq!(queue.reset("a", at(9)).await, Change::Applied);

    let stored = queue.task("a").await;
    assert_eq!(stored.spec, first.task.spec);
    assert_eq!(stored.state, TaskState::waiting_until(at(9)));
    assert_eq!(queue.take(at(9)).await.task.attempts(), 1);
}

async fn a_failed_task_begins_again(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let fail = Verdict::Fail { error: "no".into() };
    assert_eq!(queue.finish(&held, fail, at(1)).await, Ok(()));
    assert_eq!(queue.reset("a", at(9)).await, Change::Applied);
    assert_eq!(
        queue.task("a").await.state,
        TaskState::waiting_until(at(9)),
        "its errors are cleared"
    );
}

async fn a_cancelled_task_begins_again(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    queue.cancel("a", at(1)).await;
    assert_eq!(queue.finish(&held, Verdict::Complete(None), at(2)).await, Ok(()));
    assert_eq!(queue.reset("a", at(9)).await, Change::Applied);
    assert_eq!(queue.task("a").await.state, TaskState::waiting_until(at(9)));
    assert_eq!(queue.cancel("a", at(10)).await, Change::Applied);
}

async fn what_has_not_ended_is_told_so(scene: Scene) {
    let queue = scene.queue().await;
    queue.start(task("leased"), at(0)).await;
    queue
        .create([task("pending"), task("waiting").due(at(500)), task("cancelled")])
        .await;
    queue.cancel("cancelled", at(1)).await;
    for id in ["leased", "pending", "waiting", "cancelled"] {
        let stored = queue.task(id).await;
        assert_eq!(queue.reset(id, at(9)).await, Change::NotDone, "{id}");
        assert_eq!(queue.task(id).await, stored, "{id}");
    }
}

async fn an_unknown_task_is_told_so(scene: Scene) {
    let queue = scene.queue().await;
    assert_eq!(queue.reset("a", at(9)).await, Change::NotFound);
}

async fn the_same_id_twice_is_reset_once(scene: Scene) {
    let queue = scene.queue().await;
    queue.complete(task("a"), at(0)).await;
    queue.complete(task("b"), at(0)).await;
    let changes = queue.change(["a", "b", "a"], Action::Reset, at(9)).await;
    assert_eq!(changes, [Change::Applied, Change::Applied, Change::NotDone]);
}

async fn a_key_is_respected_again(scene: Scene) {
    let queue = scene.queue().await;
    queue.complete(task("a").key("k"), at(0)).await;
    queue.start(task("b").key("k"), at(1)).await;
    assert_eq!(queue.reset("a", at(2)).await, Change::Applied);
    queue.assert_idle(at(3)).await;
}

async fn what_was_done_before_is_refused_afterwards(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    assert_eq!(queue.finish(&held, Verdict::Complete(None), at(1)).await, Ok(()));
    queue.reset("a", at(2)).await;
    let late = queue
        .finish(&held, Verdict::Fail { error: "late".into() }, at(3))
        .await;
    assert!(late.is_err());
    assert_eq!(queue.task("a").await.state, TaskState::waiting_until(at(2)));
}
