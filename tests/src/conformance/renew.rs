use oncetask::store::{Renewal, Renewed};
use oncetask::task::transition::Verdict;
use oncetask::task::{LeaseToken, Progress};

use super::rules;
use super::scene::{Scene, at, extension, leased_until, millis, task, token};

rules!("renew":
    a_lease_is_extended,
    a_late_extension_does_not_set_it_back,
    again_and_again,
    a_foreign_token_is_refused,
    after_the_end_of_the_lease_it_is_lost,
    of_a_finished_task_it_is_lost,
    of_a_released_task_it_is_lost,
    of_a_deleted_task_it_is_gone,
    of_an_unknown_task_it_is_gone,
    a_cancellation_is_told_and_the_claim_holds,
    progress_is_stored,
    progress_alone_extends_nothing,
    progress_under_a_foreign_token_is_refused,
    the_answers_are_in_the_order_asked,
);

fn progress(fraction: f64, message: &str) -> Progress {
    Progress::new(fraction, message, millis(10_250))
}

async fn a_lease_is_extended(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    assert_eq!(queue.extend(&held, at(90), at(30)).await, Renewed::Held);
    let mut expected = held.task.clone();
    expected
        .state
        .lease
        .as_mut()
        .expect("a claimed task is leased")
        .until = at(90);
    assert_eq!(queue.task("a").await, expected, "nothing else is changed");
}

async fn a_late_extension_does_not_set_it_back(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    for (until, now) in [(90, 30), (119, 59), (90, 30)] {
        assert_eq!(queue.extend(&held, at(until), at(now)).await, Renewed::Held);
    }
    assert_eq!(leased_until(&queue.task("a").await), Some(at(119)));
}

async fn again_and_again(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    for n in 1..5 {
        assert_eq!(
            queue.extend(&held, at(n * 30 + 60), at(n * 30)).await,
            Renewed::Held
        );
    }
    assert_eq!(leased_until(&queue.task("a").await), Some(at(180)));
    assert_eq!(
        queue.finish(&held, Verdict::Complete(None), at(179)).await,
        Ok(())
    );
}

async fn a_foreign_token_is_refused(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let mut foreign = extension(&held, at(90));
    foreign.token = LeaseToken::random();
    assert_eq!(queue.renew(foreign, at(30)).await, Renewed::Lost);
    assert_eq!(queue.task("a").await, held.task);
}

async fn after_the_end_of_the_lease_it_is_lost(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    assert_eq!(queue.extend(&held, at(120), at(60)).await, Renewed::Lost);
    assert_eq!(queue.task("a").await, held.task);
}

async fn of_a_finished_task_it_is_lost(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    assert_eq!(queue.finish(&held, Verdict::Complete(None), at(1)).await, Ok(()));
    assert_eq!(queue.extend(&held, at(90), at(2)).await, Renewed::Lost);
    assert!(queue.task("a").await.is_done());
}

async fn of_a_released_task_it_is_lost(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    assert_eq!(queue.finish(&held, Verdict::Release, at(1)).await, Ok(()));
    assert_eq!(queue.extend(&held, at(90), at(2)).await, Renewed::Lost);
}

async fn of_a_deleted_task_it_is_gone(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    queue.delete("a").await;
    assert_eq!(queue.extend(&held, at(90), at(2)).await, Renewed::Gone);
    assert_eq!(queue.find("a").await, None);
}

async fn of_an_unknown_task_it_is_gone(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let mut unknown = extension(&held, at(90));
    unknown.id = "b".into();
    assert_eq!(queue.renew(unknown, at(2)).await, Renewed::Gone);
    assert_eq!(queue.find("b").await, None);
}

async fn a_cancellation_is_told_and_the_claim_holds(scene: Scene) {
    let (queue, other) = (scene.queue().await, scene.queue().await);
    let held = queue.start(task("a"), at(0)).await;
    other.cancel("a", at(10)).await;
    assert_eq!(queue.extend(&held, at(90), at(30)).await, Renewed::Cancelled);
    assert_eq!(leased_until(&queue.task("a").await), Some(at(90)));
}

async fn progress_is_stored(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    for said in [progress(0.25, "a quarter"), progress(1.0, "")] {
        let renewal = extension(&held, at(90)).progress(Some(said.clone()));
        assert_eq!(queue.renew(renewal, at(30)).await, Renewed::Held);
        assert_eq!(queue.task("a").await.state.progress, Some(said));
    }
    assert_eq!(queue.extend(&held, at(99), at(40)).await, Renewed::Held);
    assert_eq!(
        queue.task("a").await.state.progress,
        Some(progress(1.0, "")),
        "an extension that says nothing of it leaves it"
    );
}

async fn progress_alone_extends_nothing(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let renewal = Renewal::new("a".into(), token(&held), None).progress(Some(progress(0.5, "half")));
    assert_eq!(queue.renew(renewal, at(30)).await, Renewed::Held);
    let task = queue.task("a").await;
    assert_eq!(leased_until(&task), Some(at(60)));
    assert_eq!(task.state.progress, Some(progress(0.5, "half")));
}

async fn progress_under_a_foreign_token_is_refused(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue.start(task("a"), at(0)).await;
    let renewal = Renewal::new("a".into(), LeaseToken::random(), None).progress(Some(progress(0.5, "half")));
    assert_eq!(queue.renew(renewal, at(30)).await, Renewed::Lost);
    assert_eq!(queue.task("a").await, held.task);
}

async fn the_answers_are_in_the_order_asked(scene: Scene) {
    let queue = scene.queue().await;
    let mut held = Vec::new();
    for id in ["a", "b", "c", "d"] {
        held.push(queue.start(task(id), at(0)).await);
    }
    queue.delete("a").await;
    queue.cancel("c", at(1)).await;
    let mut renewals: Vec<_> = held.iter().map(|held| extension(held, at(90))).collect();
    renewals[3].token = LeaseToken::random();
    assert_eq!(
        queue.renew_all(renewals, at(2)).await,
        [Renewed::Gone, Renewed::Held, Renewed::Cancelled, Renewed::Lost]
    );
    assert_eq!(queue.renew_all(Vec::new(), at(2)).await, []);
}
