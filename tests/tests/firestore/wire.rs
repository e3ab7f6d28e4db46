//! The documents, in the format of the Go library: both libraries read and write them.

use chrono::Utc;
use oncetask::store::{Action, Filter, Insert, Renewed, Store as _};
use oncetask::task::transition::{Change, LeaseLost};
use oncetask::{Client, Status};
use serde_json::{Value, json};
use tests::harness::claims::{claim, complete, extension, keyed_task, task};
use tests::harness::firestore::Project;

crate::tests! {
    documents_of_the_go_library_are_read,
    tasks_created_by_the_go_library_are_run,
    the_go_library_reads_our_documents,
    a_claim_taken_over_by_the_go_library_is_lost,
    a_key_leased_by_the_go_library_is_busy,
    damaged_documents_do_not_block_the_queue,
    shared_ids_never_overwrite_each_other,
    environments_are_separate,
    too_large_tasks_and_results_are_refused,
}

/// Reads documents that the Go library wrote.
macro_rules! go_documents {
    ($file:literal) => {
        serde_json::from_str::<Vec<Value>>(include_str!(concat!("../../fixtures/go-wire/", $file)))
            .expect("JSON")
    };
}

/// Puts documents into the collection. Returns their names.
fn put(project: &Project, documents: &[Value]) -> Vec<String> {
    let put = |document: &Value| {
        let name = document["documentId"].as_str().expect("a name");
        project.put(name, &document["fields"], &[]);
        name.to_owned()
    };
    documents.iter().map(put).collect()
}

async fn documents_of_the_go_library_are_read() {
    let expected = [
        (go_documents!("created.json"), Status::Pending),
        (go_documents!("keyed.json"), Status::Pending),
        (go_documents!("scheduled.json"), Status::Waiting),
        (go_documents!("leased.json"), Status::Leased),
        (go_documents!("waiting-for-retry.json"), Status::Waiting),
        (go_documents!("failed.json"), Status::Failed),
        (go_documents!("completed.json"), Status::Completed),
        (
            go_documents!("cancellation-pending.json"),
            Status::CancellationPending,
        ),
        (go_documents!("generator.json"), Status::Pending),
    ];
    let project = Project::new();
    let store = project.connect().await;
    let now = "2026-11-23T16:12:00Z".parse().expect("an instant");
    for (documents, status) in expected {
        for name in put(&project, &documents) {
            let found = store
                .get(vec![name.as_str().into()])
                .await
                .expect("the store answers")
                .remove(0);
            assert_eq!(found.expect("a task").status(now), status, "{name}");
        }
    }
    let listed = Client::new(store)
        .list(Filter::new())
        .all()
        .await
        .expect("the store answers");
    assert_eq!(listed.len(), 11);
}

async fn tasks_created_by_the_go_library_are_run() {
    let project = Project::new();
    let store = project.connect().await;
    for documents in [go_documents!("created.json"), go_documents!("keyed.json")] {
        let names = put(&project, &documents);
        let kind = documents[0]["fields"]["type"]["stringValue"]
            .as_str()
            .expect("a kind");
        for _ in &names {
            let claimed = claim(&store, kind, 1).await.remove(0);
            assert_eq!(claimed.task.attempts(), 1);
            let finished = store.finish(vec![complete(&claimed)], Utc::now()).await;
            assert_eq!(finished.expect("the store answers"), [Ok(())]);
            let stored = project.document(claimed.task.id().as_str()).expect("a document");
            assert_eq!(status_in_go(&stored["fields"]), "completed");
            assert_eq!(stored["fields"]["leasedUntil"]["stringValue"], "");
        }
        assert!(claim(&store, kind, 9).await.is_empty());
    }
}

/// Returns the status that the Go library derives from a document.
fn status_in_go(fields: &Value) -> &'static str {
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

async fn the_go_library_reads_our_documents() {
    let project = Project::new();
    let store = project.connect().await;
    let status = || status_in_go(&project.document("a").expect("a document")["fields"]);
    store
        .create(vec![keyed_task("a", "K", "k")])
        .await
        .expect("the store answers");
    let created = project.document("a").expect("a document")["fields"].clone();
    for (name, value) in go_documents!("keyed.json")[0]["fields"]
        .as_object()
        .expect("fields")
    {
        let kind = |value: &Value| value.as_object().and_then(|of| of.keys().next().cloned());
        assert_eq!(kind(&created[name]), kind(value), "`{name}` is {}", created[name]);
    }
    assert_eq!(status(), "pending");
    let claimed = claim(&store, "K", 1).await.remove(0);
    assert_eq!(status(), "leased");
    store
        .change(vec!["a".into()], Action::Cancel, Utc::now())
        .await
        .expect("the store answers");
    assert_eq!(status(), "cancellation-pending");
    store
        .finish(vec![complete(&claimed)], Utc::now())
        .await
        .expect("the store answers");
    assert_eq!(status(), "cancelled");
    let reset = store.change(vec!["a".into()], Action::Reset, Utc::now()).await;
    assert_eq!(reset.expect("the store answers"), [Change::Applied]);
    assert_eq!(status(), "pending");
}

async fn a_claim_taken_over_by_the_go_library_is_lost() {
    let project = Project::new();
    let store = project.connect().await;
    store
        .create(vec![task("a", "K")])
        .await
        .expect("the store answers");
    let claimed = claim(&store, "K", 1).await.remove(0);
    // The write of a Go worker that takes over an expired lease.
    let until = (Utc::now() + chrono::TimeDelta::minutes(10))
        .format("%FT%TZ")
        .to_string();
    let taken = json!({"leasedUntil": {"stringValue": until}, "attempts": {"integerValue": "2"}});
    project.put("a", &taken, &["leasedUntil", "attempts"]);
    let renewal = extension(&claimed, Utc::now() + chrono::TimeDelta::minutes(1));
    let renewed = store.renew(vec![renewal], Utc::now()).await;
    assert_eq!(renewed.expect("the store answers"), [Renewed::Lost]);
    let finished = store.finish(vec![complete(&claimed)], Utc::now()).await;
    assert_eq!(finished.expect("the store answers"), [Err(LeaseLost)]);
    assert_eq!(
        project.document("a").expect("a document")["fields"]["leasedUntil"]["stringValue"],
        until
    );
}

async fn a_key_leased_by_the_go_library_is_busy() {
    let project = Project::new();
    let store = project.connect().await;
    let [first, second] = &go_documents!("keyed.json")[..] else {
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
        "the refused claim changed the task"
    );
    project.put(
        "keyed-000000",
        &json!({"leasedUntil": {"stringValue": ""}}),
        &["leasedUntil"],
    );
    assert_eq!(claim(&store, "keyed", 5).await.len(), 1);
}

async fn damaged_documents_do_not_block_the_queue() {
    let project = Project::new();
    let store = project.connect().await;
    let go = go_documents!("created.json")[0]["fields"].clone();
    let broken = [
        (
            "soon",
            "waitUntil",
            json!({"stringValue": "2025-13-01T00:00:00Z"}),
        ),
        ("never", "createdAt", json!({"stringValue": "yesterday"})),
        ("bytes", "data", json!({"bytesValue": "AQID"})),
        (
            "point",
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
        "foreign",
        &json!({"env": {"stringValue": "DEFAULT"}, "createdAt": {"stringValue": "2026"}}),
        &[],
    );
    put(&project, &go_documents!("created.json"));
    assert_eq!(
        claim(&store, "created", 10).await.len(),
        2,
        "the other tasks are claimed"
    );
    let client = Client::new(store.clone());
    let listed = client.list(Filter::new()).all().await.expect("the store answers");
    assert_eq!(listed.len(), 2);
    assert_eq!(client.get("soon").await.expect("the store answers"), None);
    assert_eq!(
        client.cancel("soon").await.expect("the store answers"),
        Change::NotFound
    );
    let inserted = store
        .create(vec![task("soon", "K")])
        .await
        .expect("the store answers")
        .remove(0);
    assert!(
        matches!(&inserted, Insert::Refused(why) if why.contains("not an instant")),
        "{inserted:?}"
    );
}

async fn shared_ids_never_overwrite_each_other() {
    let project = Project::new();
    let shared = |env: &'static str| project.options().shared_ids(true).open(env);
    let (blue, green) = (
        shared("BLUE").await.expect("the emulator answers"),
        shared("GREEN").await.expect("the emulator answers"),
    );
    assert_eq!(
        blue.create(vec![task("a", "K")])
            .await
            .expect("the store answers"),
        [Insert::New]
    );
    assert!(
        project.document("a").is_some(),
        "not named as the Go library names it"
    );
    let refused = green
        .create(vec![task("a", "K")])
        .await
        .expect("the store answers")
        .remove(0);
    assert!(
        matches!(&refused, Insert::Refused(why) if why.contains("`BLUE`")),
        "{refused:?}"
    );
    assert_eq!(
        green.get(vec!["a".into()]).await.expect("the store answers"),
        [None]
    );
    let changed = green.change(vec!["a".into()], Action::Delete, Utc::now()).await;
    assert_eq!(changed.expect("the store answers"), [Change::OtherEnvironment]);
    // `/` is encoded and `%` is not, so two ids may have the same name.
    assert_eq!(
        blue.create(vec![task("x/y", "K")])
            .await
            .expect("the store answers"),
        [Insert::New]
    );
    let refused = blue
        .create(vec![task("x%2Fy", "K")])
        .await
        .expect("the store answers")
        .remove(0);
    assert!(
        matches!(&refused, Insert::Refused(why) if why.contains("`x/y`")),
        "{refused:?}"
    );
}

async fn environments_are_separate() {
    let project = Project::new();
    let default = project.connect().await;
    let staging = default.in_env("STAGING");
    assert_eq!(
        staging
            .create(vec![task("a/b", "K")])
            .await
            .expect("the store answers"),
        [Insert::New]
    );
    assert_eq!(
        default
            .create(vec![task("a/b", "K")])
            .await
            .expect("the store answers"),
        [Insert::New]
    );
    assert_eq!(
        default
            .create(vec![task("STAGING~a/b", "K")])
            .await
            .expect("the store answers"),
        [Insert::New],
        "an id that looks like a name of another environment is accepted"
    );
    for name in ["a%2Fb", "STAGING~a%2Fb", "STAGING%7Ea%2Fb"] {
        assert!(project.document(name).is_some(), "{name}");
    }
    assert_eq!(claim(&staging, "K", 9).await.len(), 1);
    assert_eq!(claim(&default, "K", 9).await.len(), 2);
}

async fn too_large_tasks_and_results_are_refused() {
    let project = Project::new();
    let store = project.connect().await;
    let mut large = task("large", "K");
    large.spec.payload = oncetask::task::Json::from(json!({"text": "x".repeat(1_040_000)}));
    let refused = store
        .create(vec![large, task("small", "K")])
        .await
        .expect("the store answers");
    assert!(
        matches!(&refused[0], Insert::Refused(why) if why.contains("1048576")),
        "{:?}",
        refused[0]
    );
    assert_eq!(refused[1], Insert::New, "the others are stored");
    // A document with this payload has no space for the result, so the attempt fails.
    let mut half = task("half", "L");
    half.spec.payload = oncetask::task::Json::from(json!({"text": "x".repeat(700_000)}));
    store.create(vec![half]).await.expect("the store answers");
    let claimed = claim(&store, "L", 1).await.remove(0);
    let mut finish = complete(&claimed);
    let result = oncetask::task::Json::from(json!("y".repeat(700_000)));
    finish.verdict = oncetask::task::transition::Verdict::Complete(Some(result));
    let finished = store.finish(vec![finish], Utc::now()).await;
    assert_eq!(finished.expect("the store answers"), [Ok(())]);
    let stored = store
        .get(vec!["half".into()])
        .await
        .expect("the store answers")
        .remove(0)
        .expect("a task");
    assert_eq!(stored.status(Utc::now()), Status::Failed);
    assert!(stored.errors()[0].error.contains("700002 bytes"));
}
