use oncetask::store::{Action, Filter, Renewed};
use oncetask::task::transition::{Change, LeaseLost, Verdict};

use super::rules;
use super::scene::{Scene, at, rule, task};

rules!("environments":
    one_id_in_two_is_two_tasks,
    each_finds_its_own,
    each_claims_its_own,
    each_has_its_own_keys,
    what_belongs_to_another_is_not_changed,
    what_is_held_in_another_is_not_written,
    what_both_have_is_changed_in_one,
    environments_may_have_any_name,
);

async fn one_id_in_two_is_two_tasks(scene: Scene) {
    let (red, blue) = (scene.queue_in("red").await, scene.queue_in("blue").await);
    red.create([task("a").payload(r#"{"n":1}"#)]).await;
    blue.create([task("a").payload(r#"{"n":2}"#)]).await;
    assert_eq!(red.task("a").await.spec.payload.as_str(), r#"{"n":1}"#);
    assert_eq!(blue.task("a").await.spec.payload.as_str(), r#"{"n":2}"#);
    assert_eq!(red.0.env(), "red");
    assert_eq!(blue.0.env(), "blue");
}

async fn each_finds_its_own(scene: Scene) {
    let (red, blue) = (scene.queue_in("red").await, scene.queue_in("blue").await);
    red.create([task("a").key("k"), task("b").kind("Red").key("k")])
        .await;
    blue.create([task("c").key("k")]).await;
    assert_eq!(blue.get(["a", "b"]).await, [None, None]);
    assert_eq!(blue.list(Filter::new(), at(9)).await, ["c"]);
    assert_eq!(blue.list(Filter::new().resource_key("k"), at(9)).await, ["c"]);
    assert_eq!(blue.count(Filter::new(), at(9)).await, 1);
    assert_eq!(red.count(Filter::new(), at(9)).await, 2);
    assert_eq!(blue.kinds().await, ["Work"]);
    assert_eq!(red.kinds().await, ["Red", "Work"]);
}

async fn each_claims_its_own(scene: Scene) {
    let (red, blue) = (scene.queue_in("red").await, scene.queue_in("blue").await);
    red.create([task("a")]).await;
    blue.assert_idle(at(9)).await;
    let claimed = blue.claim_all(vec![super::scene::room(9)], at(9)).await;
    assert_eq!(claimed.next_due, [None]);
    assert_eq!(red.take(at(9)).await.task.id().as_str(), "a");
}

async fn each_has_its_own_keys(scene: Scene) {
    let (red, blue) = (scene.queue_in("red").await, scene.queue_in("blue").await);
    red.start(task("a").key("k"), at(0)).await;
    blue.start(task("b").key("k"), at(0)).await;
}

async fn what_belongs_to_another_is_not_changed(scene: Scene) {
    let (red, blue) = (scene.queue_in("red").await, scene.queue_in("blue").await);
    red.complete(task("done"), at(0)).await;
    red.create([task("open"), task("gen").recurring("FREQ=DAILY")])
        .await;
    let ids = ["done", "open", "gen", "missing"];
    let stored = red.get(ids).await;
    let follow = Action::ReplaceRule {
        rule: rule("FREQ=HOURLY"),
        next: at(30),
    };
    for action in [Action::Cancel, Action::Reset, Action::Delete, follow] {
        let changes = blue.change(ids, action.clone(), at(5)).await;
        let other = Change::OtherEnvironment;
        assert_eq!(changes, [other, other, other, Change::NotFound], "{action:?}");
        assert_eq!(red.get(ids).await, stored, "{action:?}");
    }
    assert_eq!(blue.count(Filter::new(), at(9)).await, 0);
}

async fn what_is_held_in_another_is_not_written(scene: Scene) {
    let (red, blue) = (scene.queue_in("red").await, scene.queue_in("blue").await);
    let held = red.start(task("a"), at(0)).await;
    let finished = blue.finish(&held, Verdict::Complete(None), at(1)).await;
    assert_eq!(finished, Err(LeaseLost));
    let renewed = blue.extend(&held, at(90), at(1)).await;
    assert!(matches!(renewed, Renewed::Gone | Renewed::Lost), "{renewed:?}");
    assert_eq!(red.task("a").await, held.task);
    assert_eq!(blue.find("a").await, None);
}

async fn what_both_have_is_changed_in_one(scene: Scene) {
    let (red, blue) = (scene.queue_in("red").await, scene.queue_in("blue").await);
    red.create([task("a"), task("b")]).await;
    blue.create([task("a"), task("b")]).await;
    assert_eq!(blue.cancel("a", at(1)).await, Change::Applied);
    assert_eq!(blue.delete("b").await, Change::Applied);
    assert_eq!(red.task("a").await, task("a").into());
    assert_eq!(red.task("b").await, task("b").into());
}

async fn environments_may_have_any_name(scene: Scene) {
    let names = ["DEFAULT", "default", "a~b", "a/b", "it's", "Größe ✓"];
    for name in names {
        scene
            .queue_in(name)
            .await
            .create([task("a").kind(&format!("of {name}"))])
            .await;
    }
    for name in names {
        let queue = scene.queue_in(name).await;
        assert_eq!(queue.0.env(), name);
        assert_eq!(queue.kinds().await, [format!("of {name}")]);
        assert_eq!(queue.task("a").await.kind(), format!("of {name}"));
    }
}
