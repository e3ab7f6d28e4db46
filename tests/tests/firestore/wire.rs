//! Documents that are shared with the Go library.

use chrono::Utc;
use oncetask::store::{Action, Filter, Insert, Renewal, Renewed, Store as _};
use oncetask::task::transition::{Change, LeaseLost};
use oncetask::{Client, Status};
use serde_json::{Value, json};

use crate::world::{Project, claim, complete, keyed, task};

crate::tests! {
    what_go_wrote_is_read,
    what_go_created_is_run,
    what_we_write_go_reads,
    what_go_took_over_is_not_ours,
    a_key_that_go_holds_is_busy,
    what_is_no_task_stops_nothing,
    shared_ids_never_swallow_each_other,
    environments_do_not_meet,
    what_is_too_large_is_refused,
}

macro_rules! go_wrote {
    ($file:literal) => {
        serde_json::from_str::<Vec<Value>>(include_str!(concat!("../../fixtures/go-wire/", $file)))
            .expect("JSON")
    };
}

/// Puts documents that Go wrote into the collection. Returns their names.
fn put(project: &Project, documents: &[Value]) -> Vec<String> {
    let put = |document: &Value| {
        let name = document["documentId"].as_str().expect("a name");
        project.put(name, &document["fields"], &[]);
        name.to_owned()
    };
    documents.iter().map(put).collect()
}

async fn what_go_wrote_is_read() {
    let expected = [
        (go_wrote!("created.json"), Status::Pending),
        (go_wrote!("keyed.json"), Status::Pending),
        (go_wrote!("scheduled.json"), Status::Waiting),
        (go_wrote!("leased.json"), Status::Leased),
        (go_wrote!("waiting-for-retry.json"), Status::Waiting),
        (go_wrote!("failed.json"), Status::Failed),
        (go_wrote!("completed.json"), Status::Completed),
        (
            go_wrote!("cancellation-pending.json"),
            Status::CancellationPending,
        ),
        (go_wrote!("generator.json"), Status::Pending),
    ];
    let project = Project::new();
    let store = project.connect().await;
    let now = "2026-11-23T16:12:00Z".parse().expect("an instant");
    for (documents, status) in expected {
        for name in put(&project, &documents) {
            let found = store
                .get(vec![name.as_str().into()])
                .await
                .expect("read")
                .remove(0);
            assert_eq!(found.expect("a task").status(now), status, "{name}");
        }
    }
    let listed = Client::new(store)
        .list(Filter::new())
        .all()
        .await
        .expect("listed");
    assert_eq!(listed.len(), 11);
}

async fn what_go_created_is_run() {
    let project = Project::new();
    let store = project.connect().await;
    for documents in [go_wrote!("created.json"), go_wrote!("keyed.json")] {
        let names = put(&project, &documents);
        let kind = documents[0]["fields"]["type"]["stringValue"]
            .as_str()
            .expect("a kind");
        for _ in &names {
            let held = claim(&store, kind, 1).await.remove(0);
            assert_eq!(held.task.attempts(), 1);
            let finished = store.finish(vec![complete(&held)], Utc::now()).await;
            assert_eq!(finished.expect("finished"), [Ok(())]);
            let stored = project.document(held.task.id().as_str()).expect("a document");
            assert_eq!(for_go(&stored["fields"]), "completed");
            assert_eq!(stored["fields"]["leasedUntil"]["stringValue"], "");
        }
        assert!(claim(&store, kind, 9).await.is_empty());
    }
}

/// The status as the Go library derives it.
fn for_go(fields: &Value) -> &'static str {
    let text = |name: &str| fields[name]["stringValue"].as_str().expect("text").to_owned();
    let errors = fields["errors"]["arrayValue"]["values"]
        .as_array()
        .map_or(0, Vec::len);
    let attempts: usize = fields["attempts"]["integerValue"]
        .as_str()
        .and_then(|attempts| attempts.parse().ok())
        .expect("an integer");
    match (
        text("doneAt").as_str(),
        fields["isCancelled"]["booleanValue"] == true,
    ) {
        ("", true) => "cancellation-pending",
        ("", false) if text("leasedUntil") > Utc::now().format("%FT%TZ").to_string() => "leased",
        ("", false) => "pending",
        (_, true) => "cancelled",
        (_, false) if attempts > errors => "completed",
        (_, false) => "failed",
    }
}

async fn what_we_write_go_reads() {
    let project = Project::new();
    let store = project.connect().await;
    let status = || for_go(&project.document("a").expect("a document")["fields"]);
    store.create(vec![keyed("a", "K", "k")]).await.expect("created");
    let created = project.document("a").expect("a document")["fields"].clone();
    for (name, value) in go_wrote!("keyed.json")[0]["fields"].as_object().expect("fields") {
        let kind = |value: &Value| value.as_object().and_then(|of| of.keys().next().cloned());
        assert_eq!(kind(&created[name]), kind(value), "`{name}` is {}", created[name]);
    }
    assert_eq!(status(), "pending");
    let held = claim(&store, "K", 1).await.remove(0);
    assert_eq!(status(), "leased");
    store
        .change(vec!["a".into()], Action::Cancel, Utc::now())
        .await
        .expect("cancelled");
    assert_eq!(status(), "cancellation-pending");
    store
        .finish(vec![complete(&held)], Utc::now())
        .await
        .expect("finished");
    assert_eq!(status(), "cancelled");
    let reset = store.change(vec!["a".into()], Action::Reset, Utc::now()).await;
    assert_eq!(reset.expect("reset"), [Change::Applied]);
    assert_eq!(status(), "pending");
}

async fn what_go_took_over_is_not_ours() {
    let project = Project::new();
    let store = project.connect().await;
    store.create(vec![task("a", "K")]).await.expect("created");
    let held = claim(&store, "K", 1).await.remove(0);
    // What a Go worker writes when it takes a lease that has ended.
    let until = (Utc::now() + chrono::TimeDelta::minutes(10))
        .format("%FT%TZ")
        .to_string();
    let taken = json!({"leasedUntil": {"stringValue": until}, "attempts": {"integerValue": "2"}});
    project.put("a", &taken, &["leasedUntil", "attempts"]);
    let renewal = Renewal {
        id: "a".into(),
        token: complete(&held).token,
        until: Some(Utc::now() + chrono::TimeDelta::minutes(1)),
        progress: None,
    };
    let renewed = store.renew(vec![renewal], Utc::now()).await;
    assert_eq!(renewed.expect("answered"), [Renewed::Lost]);
    let finished = store.finish(vec![complete(&held)], Utc::now()).await;
    assert_eq!(finished.expect("answered"), [Err(LeaseLost)]);
    assert_eq!(
        project.document("a").expect("a document")["fields"]["leasedUntil"]["stringValue"],
        until
    );
}

async fn a_key_that_go_holds_is_busy() {
    let project = Project::new();
    let store = project.connect().await;
    let [first, second] = &go_wrote!("keyed.json")[..] else {
        panic!("two documents")
    };
    put(&project, &[first.clone(), second.clone()]);
    let until = (Utc::now() + chrono::TimeDelta::minutes(10))
        .format("%FT%TZ")
        .to_string();
    project.put(
        "keyed-000000",
        &json!({"leasedUntil": {"stringValue": until}}),
        &["leasedUntil"],
    );
    assert!(claim(&store, "keyed", 5).await.is_empty());
    let untouched = project.document("keyed-000001").expect("a document");
    assert_eq!(
        untouched["fields"]["attempts"]["integerValue"], "0",
        "as if it had not been tried"
    );
    project.put(
        "keyed-000000",
        &json!({"leasedUntil": {"stringValue": ""}}),
        &["leasedUntil"],
    );
    assert_eq!(claim(&store, "keyed", 5).await.len(), 1);
}

async fn what_is_no_task_stops_nothing() {
    let project = Project::new();
    let store = project.connect().await;
    let go = go_wrote!("created.json")[0]["fields"].clone();
    let broken = [
        (
            "soon",
            "waitUntil",
            json!({"stringValue": "2025-13-01T00:00:00Z"}),
        ),
        ("never", "createdAt", json!({"stringValue": "yesterday"})),
        ("bytes", "data", json!({"bytesValue": "AQID"})),
        (
            "place",
            "data",
            json!({"mapValue": {"fields": {"at": {"geoPointValue": {"latitude": 1, "longitude": 2}}}}}),
        ),
        ("many", "attempts", json!({"stringValue": "three"})),
    ];
    for (name, field, value) in &broken {
        let mut fields = go.clone();
        fields["id"] = json!({"stringValue": name});
        fields[field] = value.clone();
        project.put(name, &fields, &[]);
    }
    project.put(
        "stranger",
        &json!({"env": {"stringValue": "DEFAULT"}, "createdAt": {"stringValue": "2026"}}),
        &[],
    );
    put(&project, &go_wrote!("created.json"));
    assert_eq!(claim(&store, "created", 10).await.len(), 2, "the queue goes on");
    let client = Client::new(store.clone());
    let listed = client.list(Filter::new()).all().await.expect("listed");
    assert_eq!(listed.len(), 2);
    assert_eq!(client.get(&"soon".into()).await.expect("read"), None);
    assert_eq!(
        client.cancel(&"soon".into()).await.expect("answered"),
        Change::NotFound
    );
    let inserted = store
        .create(vec![task("soon", "K")])
        .await
        .expect("answered")
        .remove(0);
    assert!(
        matches!(&inserted, Insert::Refused(why) if why.contains("not an instant")),
        "{inserted:?}"
    );
}

async fn shared_ids_never_swallow_each_other() {
    let project = Project::new();
    let shared = |env: &'static str| project.options().shared_ids(true).open(env);
    let (blue, green) = (
        shared("BLUE").await.expect("open"),
        shared("GREEN").await.expect("open"),
    );
    assert_eq!(
        blue.create(vec![task("a", "K")]).await.expect("created"),
        [Insert::New]
    );
    assert!(project.document("a").is_some(), "named as Go names it");
    let refused = green
        .create(vec![task("a", "K")])
        .await
        .expect("answered")
        .remove(0);
    assert!(
        matches!(&refused, Insert::Refused(why) if why.contains("`BLUE`")),
        "{refused:?}"
    );
    assert_eq!(green.get(vec!["a".into()]).await.expect("read"), [None]);
    let changed = green.change(vec!["a".into()], Action::Delete, Utc::now()).await;
    assert_eq!(changed.expect("answered"), [Change::OtherEnvironment]);
    // `/` is encoded, `%` is not: two ids may meet in one name.
    assert_eq!(
        blue.create(vec![task("x/y", "K")]).await.expect("created"),
        [Insert::New]
    );
    let refused = blue
        .create(vec![task("x%2Fy", "K")])
        .await
        .expect("answered")
        .remove(0);
    assert!(
        matches!(&refused, Insert::Refused(why) if why.contains("`x/y`")),
        "{refused:?}"
    );
}

async fn environments_do_not_meet() {
    let project = Project::new();
    let default = project.connect().await;
    let staging = default.in_env("STAGING");
    assert_eq!(
        staging.create(vec![task("a/b", "K")]).await.expect("created"),
        [Insert::New]
    );
    assert_eq!(
        default.create(vec![task("a/b", "K")]).await.expect("created"),
        [Insert::New]
    );
    assert_eq!(
        default
            .create(vec![task("STAGING~a/b", "K")])
            .await
            .expect("created"),
        [Insert::New],
        "an id that looks like a name of another environment"
    );
    for name in ["a%2Fb", "STAGING~a%2Fb", "STAGING%7Ea%2Fb"] {
        assert!(project.document(name).is_some(), "{name}");
    }
    assert_eq!(claim(&staging, "K", 9).await.len(), 1);
    assert_eq!(claim(&default, "K", 9).await.len(), 2);
}

async fn what_is_too_large_is_refused() {
    let project = Project::new();
    let store = project.connect().await;
    let mut large = task("large", "K");
    large.spec.payload = oncetask::task::Json::from(json!({"text": "x".repeat(1_040_000)}));
    let refused = store
        .create(vec![large, task("small", "K")])
        .await
        .expect("answered");
    assert!(
        matches!(&refused[0], Insert::Refused(why) if why.contains("1048576")),
        "{:?}",
        refused[0]
    );
    assert_eq!(refused[1], Insert::New, "the others are stored");
    // A payload that fits, and a result that does not any more: the attempt fails, and says so.
    let mut half = task("half", "L");
    half.spec.payload = oncetask::task::Json::from(json!({"text": "x".repeat(700_000)}));
    store.create(vec![half]).await.expect("created");
    let held = claim(&store, "L", 1).await.remove(0);
    let mut finish = complete(&held);
    let result = oncetask::task::Json::from(json!("y".repeat(700_000)));
    finish.verdict = oncetask::task::transition::Verdict::Complete(Some(result));
    let finished = store.finish(vec![finish], Utc::now()).await;
    assert_eq!(finished.expect("answered"), [Ok(())]);
    let stored = store
        .get(vec!["half".into()])
        .await
        .expect("read")
        .remove(0)
        .expect("a task");
    assert_eq!(stored.status(Utc::now()), Status::Failed);
    assert!(stored.errors()[0].error.contains("the result has 700002 bytes"));
}
