use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use oncetask::Status;
use oncetask::store::{Action, ClaimRequest, Insert};
use oncetask::task::transition::{Change, LeaseLost};

use super::rules;
use super::scene::{Scene, at, complete, ids, room, task, tasks};

rules!("dropped":
    a_create_is_made_or_not_for_each_task,
    what_a_claim_took_is_free_when_its_lease_ends,
    a_finish_is_made_or_not,
    a_change_is_made_or_not_for_each_task,
);

/// Begins a call, and drops it as soon as it waits for something.
async fn begin<T>(call: impl Future<Output = T>) {
    let mut call = pin!(call);
    poll_fn(|cx| {
        let _ = call.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

fn names() -> Vec<String> {
    (0..50).map(|n| n.to_string()).collect()
}

async fn a_create_is_made_or_not_for_each_task(scene: Scene) {
    let queue = scene.queue().await;
    let drafts = || tasks(names()).into_iter().map(Into::into).collect();
    begin(queue.0.create(drafts())).await;
    let inserts = queue.insert(tasks(names())).await;
    for (name, insert) in names().iter().zip(inserts) {
        let stored = queue.task(name).await;
        if insert != Insert::New {
            assert_eq!(insert, Insert::Existing(Box::new(stored)));
        }
    }
    assert_eq!(ids(&queue.claim(room(99), at(1)).await), names());
}

async fn what_a_claim_took_is_free_when_its_lease_ends(scene: Scene) {
    let queue = scene.queue().await;
    queue.create(tasks(names())).await;
    let request = ClaimRequest::new("gone", at(1), vec![room(99)]);
    begin(queue.0.claim(request)).await;
    let claims = queue.claim(room(99), at(61)).await;
    assert_eq!(claims.len(), names().len());
    for held in claims.iter().flat_map(|claim| &claim.tasks) {
        let expected = if held.orphaned { (2, 1) } else { (1, 0) };
        assert_eq!((held.task.attempts(), held.task.errors().len()), expected);
    }
}

async fn a_finish_is_made_or_not(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    begin(queue.0.finish(vec![complete(&held)], at(1))).await;
    // The second one tells which: it is refused if the first was made.
    let second = queue.finish_one(complete(&held), at(2)).await;
    let stored = queue.task("a").await;
    assert_eq!(stored.status(at(3)), Status::Completed);
    let done = stored.state.done.expect("it is done").at;
    assert_eq!(done, if second == Err(LeaseLost) { at(1) } else { at(2) });
}

async fn a_change_is_made_or_not_for_each_task(scene: Scene) {
    let queue = scene.queue().await;
    queue.create(tasks(names())).await;
    let asked = names().into_iter().map(Into::into).collect();
    begin(queue.0.change(asked, Action::Cancel, at(1))).await;
    let changes = queue.change(names(), Action::Cancel, at(2)).await;
    for (name, change) in names().iter().zip(changes) {
        let cancelled = queue.task(name).await.state.cancelled_at;
        let expected = if change == Change::Applied { at(2) } else { at(1) };
        assert_eq!(cancelled, Some(expected), "{change:?}");
    }
}
