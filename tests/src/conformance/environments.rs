//! The separation of environments.

use oncetask::store::{Action, Filter, Renewed};
use oncetask::task::transition::{Change, LeaseLost, Verdict};

use super::list_cases;
use super::support::{Backend, at, rule, task};

list_cases!("environments":
    one_id_in_two_environments_is_two_tasks,
    each_environment_finds_its_own_tasks,
    each_environment_claims_its_own_tasks,
    each_environment_has_its_own_keys,
    a_task_of_another_environment_is_not_changed,
    a_claim_of_another_environment_is_not_written,
    a_shared_id_is_changed_in_one_environment,
    any_text_is_a_valid_environment,
);

async fn one_id_in_two_environments_is_two_tasks(backend: Backend) {
    let (red, blue) = (backend.open_in("red").await, backend.open_in("blue").await);
    red.create([task("a").payload(r#"{"n":1}"#)]).await;
    blue.create([task("a").payload(r#"{"n":2}"#)]).await;
    assert_eq!(red.task("a").await.spec.payload.as_str(), r#"{"n":1}"#);
    assert_eq!(blue.task("a").await.spec.payload.as_str(), r#"{"n":2}"#);
    assert_eq!(red.0.env(), "red");
    assert_eq!(blue.0.env(), "blue");
}

async fn each_environment_finds_its_own_tasks(backend: Backend) {
    let (red, blue) = (backend.open_in("red").await, backend.open_in("blue").await);
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

async fn each_environment_claims_its_own_tasks(backend: Backend) {
    let (red, blue) = (backend.open_in("red").await, backend.open_in("blue").await);
    red.create([task("a")]).await;
    blue.assert_nothing_due(at(9)).await;
    let claimed = blue.claim_all(vec![super::support::up_to(9)], at(9)).await;
    assert_eq!(claimed.next_due, [None]);
    assert_eq!(red.claim_one(at(9)).await.task.id().as_str(), "a");
}

async fn each_environment_has_its_own_keys(backend: Backend) {
    let (red, blue) = (backend.open_in("red").await, backend.open_in("blue").await);
    red.create_and_claim(task("a").key("k"), at(0)).await;
    blue.create_and_claim(task("b").key("k"), at(0)).await;
}

async fn a_task_of_another_environment_is_not_changed(backend: Backend) {
    let (red, blue) = (backend.open_in("red").await, backend.open_in("blue").await);
    red.create_and_complete(task("done"), at(0)).await;
    red.create([task("open"), task("gen").recurring("FREQ=DAILY")])
        .await;
    let ids = ["done", "open", "gen", "missing"];
    let stored = red.get(ids).await;
    let replace_rule = Action::ReplaceRule {
        rule: rule("FREQ=HOURLY"),
        next: at(30),
    };
    for action in [Action::Cancel, Action::Reset, Action::Delete, replace_rule] {
        let changes = blue.change(ids, action.clone(), at(5)).await;
        let other = Change::OtherEnvironment;
        assert_eq!(changes, [other, other, other, Change::NotFound], "{action:?}");
        assert_eq!(red.get(ids).await, stored, "{action:?}");
    }
    assert_eq!(blue.count(Filter::new(), at(9)).await, 0);
}

async fn a_claim_of_another_environment_is_not_written(backend: Backend) {
    let (red, blue) = (backend.open_in("red").await, backend.open_in("blue").await);
    let claimed = red.create_and_claim(task("a"), at(0)).await;
    let finished = blue.finish(&claimed, Verdict::Complete(None), at(1)).await;
    assert_eq!(finished, Err(LeaseLost));
    let renewed = blue.extend(&claimed, at(90), at(1)).await;
    assert!(matches!(renewed, Renewed::Gone | Renewed::Lost), "{renewed:?}");
    assert_eq!(red.task("a").await, claimed.task);
    assert_eq!(blue.find("a").await, None);
}

async fn a_shared_id_is_changed_in_one_environment(backend: Backend) {
    let (red, blue) = (backend.open_in("red").await, backend.open_in("blue").await);
    red.create([task("a"), task("b")]).await;
    blue.create([task("a"), task("b")]).await;
    assert_eq!(blue.cancel("a", at(1)).await, Change::Applied);
    assert_eq!(blue.delete("b").await, Change::Applied);
    assert_eq!(red.task("a").await, task("a").into());
    assert_eq!(red.task("b").await, task("b").into());
}

async fn any_text_is_a_valid_environment(backend: Backend) {
    let names = ["DEFAULT", "default", "a~b", "a/b", "it's", "Größe ✓"];
    for name in names {
        backend
            .open_in(name)
            .await
            .create([task("a").kind(&format!("of {name}"))])
            .await;
    }
    for name in names {
        let store = backend.open_in(name).await;
        assert_eq!(store.0.env(), name);
        assert_eq!(store.kinds().await, [format!("of {name}")]);
        assert_eq!(store.task("a").await.kind(), format!("of {name}"));
    }
}
