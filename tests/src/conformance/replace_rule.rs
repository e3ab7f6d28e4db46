//! Replacing the rule of a generator.

use oncetask::store::Action;
use oncetask::task::transition::{Change, LeaseLost, Verdict};

use super::list_cases;
use super::support::{Backend, at, rule, task};

list_cases!("replace_rule":
    a_generator_follows_the_new_rule,
    the_finish_of_a_claim_under_the_old_rule_is_refused,
    an_ended_generator_is_reported_as_already_done,
    an_unknown_generator_is_reported_as_not_found,
);

fn hourly(seconds: i64) -> Action {
    Action::ReplaceRule {
        rule: rule("FREQ=HOURLY"),
        next: at(seconds),
    }
}

async fn a_generator_follows_the_new_rule(backend: Backend) {
    let store = backend.open().await;
    store
        .create([task("gen").recurring("FREQ=DAILY").due(at(500))])
        .await;
    assert_eq!(store.change(["gen"], hourly(30), at(5)).await, [Change::Applied]);
    let stored = store.task("gen").await;
    assert_eq!(stored.spec.recurrence, Some(rule("FREQ=HOURLY")));
    assert_eq!(stored.state.wait_until, at(30));
    store.assert_nothing_due(at(29)).await;
    assert_eq!(store.claim_one(at(30)).await.task, store.task("gen").await);
}

async fn the_finish_of_a_claim_under_the_old_rule_is_refused(backend: Backend) {
    let store = backend.open().await;
    let claimed = store
        .create_and_claim(task("gen").recurring("FREQ=DAILY").due(at(5)), at(5))
        .await;
    assert_eq!(store.change(["gen"], hourly(30), at(6)).await, [Change::Applied]);
    let advance = Verdict::Advance { next: Some(at(500)) };
    assert_eq!(store.finish(&claimed, advance, at(7)).await, Err(LeaseLost));
    store.claim_one(at(30)).await;
}

async fn an_ended_generator_is_reported_as_already_done(backend: Backend) {
    let store = backend.open().await;
    store.create([task("gen").recurring("FREQ=DAILY")]).await;
    store.cancel("gen", at(1)).await;
    let stored = store.task("gen").await;
    assert_eq!(
        store.change(["gen"], hourly(30), at(6)).await,
        [Change::AlreadyDone]
    );
    assert_eq!(store.task("gen").await, stored);
}

async fn an_unknown_generator_is_reported_as_not_found(backend: Backend) {
    let store = backend.open().await;
    assert_eq!(store.change(["gen"], hourly(30), at(6)).await, [Change::NotFound]);
}
