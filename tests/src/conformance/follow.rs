use oncetask::store::Action;
use oncetask::task::transition::{Change, LeaseLost, Verdict};

use super::rules;
use super::scene::{Scene, at, rule, task};

rules!("follow":
    a_generator_goes_on_by_the_new_rule,
    a_claim_under_the_old_rule_is_refused,
    a_generator_that_ended_is_told_so,
    an_unknown_generator_is_told_so,
);

fn hourly(seconds: i64) -> Action {
    Action::ReplaceRule {
        rule: rule("FREQ=HOURLY"),
        next: at(seconds),
    }
}

async fn a_generator_goes_on_by_the_new_rule(scene: Scene) {
    let queue = scene.queue().await;
    queue
        .create([task("gen").recurring("FREQ=DAILY").due(at(500))])
        .await;
    assert_eq!(queue.change(["gen"], hourly(30), at(5)).await, [Change::Applied]);
    let stored = queue.task("gen").await;
    assert_eq!(stored.spec.recurrence, Some(rule("FREQ=HOURLY")));
    assert_eq!(stored.state.wait_until, at(30));
    queue.assert_idle(at(29)).await;
    assert_eq!(queue.take(at(30)).await.task, queue.task("gen").await);
}

async fn a_claim_under_the_old_rule_is_refused(scene: Scene) {
    let queue = scene.queue().await;
    let held = queue
        .start(task("gen").recurring("FREQ=DAILY").due(at(5)), at(5))
        .await;
    assert_eq!(queue.change(["gen"], hourly(30), at(6)).await, [Change::Applied]);
    let advance = Verdict::Advance { next: Some(at(500)) };
    assert_eq!(queue.finish(&held, advance, at(7)).await, Err(LeaseLost));
    queue.take(at(30)).await;
}

async fn a_generator_that_ended_is_told_so(scene: Scene) {
    let queue = scene.queue().await;
    queue.create([task("gen").recurring("FREQ=DAILY")]).await;
    queue.cancel("gen", at(1)).await;
    let stored = queue.task("gen").await;
    assert_eq!(
        queue.change(["gen"], hourly(30), at(6)).await,
        [Change::AlreadyDone]
    );
    assert_eq!(queue.task("gen").await, stored);
}

async fn an_unknown_generator_is_told_so(scene: Scene) {
    let queue = scene.queue().await;
    assert_eq!(queue.change(["gen"], hourly(30), at(6)).await, [Change::NotFound]);
}
