//! Tests with documents that the Go library wrote, and with our documents as Go would read them.

use serde_json::Value;

use super::instant::second;
use super::{Marks, Stored, changes, decode, encode};
use crate::schedule::Recurrence;
use crate::store::firestore::proto::{
    Fields, ValueType, array, boolean, double, integer, map, null, pb, text,
};
use crate::task::transition::{self, Verdict};
use crate::task::{Ending, Lease, LeaseToken, Status, Task};

macro_rules! go_wrote {
    ($file:literal) => {
        documents(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/fixtures/go-wire/",
            $file
        )))
    };
}

/// Returns the documents in a file, in the order of the file.
fn documents(json: &str) -> Vec<Fields> {
    let documents: Vec<Value> = serde_json::from_str(json).expect("JSON");
    documents
        .iter()
        .map(|document| fields(&document["fields"]))
        .collect()
}

fn fields(json: &Value) -> Fields {
    let members = json.as_object().into_iter().flatten();
    members.map(|(name, json)| (name.clone(), value(json))).collect()
}

/// Returns a value from the REST form of a document.
fn value(json: &Value) -> pb::Value {
    let (kind, json) = json.as_object().and_then(|of| of.iter().next()).expect("a value");
    match (kind.as_str(), json) {
        ("nullValue", _) => null(),
        ("stringValue", Value::String(of)) => text(of.as_str()),
        ("integerValue", Value::String(of)) => integer(of.parse::<i64>().expect("an integer")),
        ("doubleValue", Value::Number(of)) => double(of.as_f64().expect("a double")),
        ("booleanValue", Value::Bool(of)) => boolean(*of),
        ("mapValue", of) => map(fields(&of["fields"])),
        ("arrayValue", of) => array(of["values"].as_array().into_iter().flatten().map(value).collect()),
        other => panic!("unknown value: {other:?}"),
    }
}

fn read(fields: &Fields) -> Stored {
    let document = pb::Document {
        name: "projects/p/databases/d/documents/onceTasks/x".into(),
        fields: fields.clone(),
        ..pb::Document::default()
    };
    decode(document).expect("a task")
}

fn at(text: &str) -> chrono::DateTime<chrono::Utc> {
    text.parse().expect("an instant")
}

#[test]
fn a_task_that_go_created_is_pending() {
    for document in go_wrote!("created.json") {
        let Stored { task, env, .. } = read(&document);
        assert_eq!(env, "DEFAULT");
        assert_eq!(task.kind(), "created");
        assert_eq!(
            task.state.wait_until, task.spec.created_at,
            "due since its creation"
        );
        assert_eq!(task.status(at("2026-11-23T16:11:30Z")), Status::Pending);
        assert_eq!(task.spec.payload.value()["kind"], "created");
    }
}

#[test]
fn a_whole_double_of_go_is_read_as_an_integer() {
    let generator = read(&go_wrote!("generator.json")[0]);
    assert_eq!(generator.task.spec.payload.value()["createdNs"].to_string(), "0");
}

#[test]
fn the_resource_key_and_the_due_time_are_read() {
    for document in go_wrote!("keyed.json") {
        let key = read(&document).task.spec.resource_key;
        assert_eq!(key.expect("a key").as_str(), "keyed-rk-0");
    }
    let scheduled = read(&go_wrote!("scheduled.json")[0]).task;
    assert_eq!(scheduled.state.wait_until, at("2026-11-23T17:11:03Z"));
    assert_eq!(scheduled.status(at("2026-11-23T17:11:02.999Z")), Status::Waiting);
}

#[test]
fn a_lease_of_go_holds_until_it_ends() {
    let mut task = read(&go_wrote!("leased.json")[0]).task;
    assert_eq!(task.status(at("2026-11-23T16:12:30.999Z")), Status::Leased);
    let now = at("2026-11-23T16:12:31Z");
    assert!(transition::is_due(&task.state, now));
    let lease = Lease {
        token: LeaseToken::random(),
        until: at("2026-11-23T16:13:31Z"),
        owner: "us".into(),
        phase: transition::next_phase(&task.state),
    };
    assert!(
        transition::claim(&mut task, lease, now),
        "the attempt is orphaned"
    );
    assert_eq!((task.attempts(), task.errors().len()), (2, 1));
}

#[test]
fn the_end_of_a_task_that_go_wrote_is_read() {
    let completed = read(&go_wrote!("completed.json")[0]).task;
    assert_eq!(completed.state.done.map(|done| done.how), Some(Ending::Completed));
    assert_eq!(
        completed.result::<String>().expect("text").as_deref(),
        Some("{\"ok\":true}")
    );
    let failed = read(&go_wrote!("failed.json")[0]).task;
    assert_eq!(failed.state.done.map(|done| done.how), Some(Ending::Failed));
    assert_eq!(failed.errors()[0].error, "asked to fail");
    assert_eq!(failed.errors()[0].at, at("2026-11-23T16:11:05Z"));
    let cancelled = read(&go_wrote!("cancelled.json")[0]).task;
    assert_eq!(cancelled.state.done.map(|done| done.how), Some(Ending::Cancelled));
}

#[test]
fn unfinished_tasks_of_go_are_read() {
    let now = at("2026-11-23T16:12:00Z");
    let retry = read(&go_wrote!("waiting-for-retry.json")[0]).task;
    assert_eq!((retry.status(now), retry.attempts()), (Status::Waiting, 1));
    let cancelled = read(&go_wrote!("cancellation-pending.json")[0]).task;
    assert_eq!(cancelled.status(now), Status::CancellationPending);
    assert!(transition::is_due(&cancelled.state, now));
    let reset = read(&go_wrote!("reset.json")[0]).task;
    assert_eq!((reset.status(now), reset.attempts()), (Status::Pending, 0));
}

#[test]
fn a_generator_of_go_and_its_occurrence_are_read() {
    let all = go_wrote!("generator-and-occurrence.json");
    let [generator, occurrence] = &all[..] else {
        panic!("two documents")
    };
    let generator = read(generator).task;
    let rule = generator.spec.recurrence.expect("a rule");
    assert_eq!(
        rule.after(at("2026-11-23T17:00:00Z")),
        Some(at("2026-11-24T16:11:08Z"))
    );
    assert_eq!(generator.state.wait_until, at("2026-11-24T16:11:08Z"));
    let occurrence = read(occurrence).task;
    let of = occurrence.spec.occurrence.expect("an occurrence");
    assert_eq!(of.generator.as_str(), "rec-FREQDAILY");
    assert_eq!(of.at, at("2026-11-13T16:11:08Z"));
    assert_eq!(
        occurrence.state.done.map(|done| done.how),
        Some(Ending::Completed)
    );
}

/// Checks that a document of Go that we write again keeps each of Go's fields in Go's type.
#[test]
fn our_documents_have_every_field_of_go_in_its_type() {
    let files = [
        go_wrote!("created.json"),
        go_wrote!("keyed.json"),
        go_wrote!("scheduled.json"),
        go_wrote!("leased.json"),
        go_wrote!("waiting-for-retry.json"),
        go_wrote!("completed.json"),
        go_wrote!("failed.json"),
        go_wrote!("cancellation-pending.json"),
        go_wrote!("cancelled.json"),
        go_wrote!("reset.json"),
        go_wrote!("generator.json"),
        go_wrote!("generator-and-occurrence.json"),
    ];
    for go in files.iter().flatten() {
        let Stored { task, env, marks, .. } = read(go);
        let ours = encode(&task, &env, &marks);
        for (name, value) in go {
            let written = ours
                .get(name)
                .unwrap_or_else(|| panic!("`{name}` is not written"));
            assert_same_type(name, value, written);
        }
        assert_eq!(
            read(&ours).task,
            task,
            "the task changed when it was written and read"
        );
    }
}

fn assert_same_type(name: &str, go: &pb::Value, ours: &pb::Value) {
    use ValueType::{ArrayValue, NullValue, StringValue};
    match (go.value_type.as_ref(), ours.value_type.as_ref()) {
        // Without errors Go writes null, and after a reset an empty array.
        (Some(ArrayValue(_)), Some(NullValue(_))) if name == "errors" => {}
        (Some(StringValue(go)), Some(StringValue(ours))) if go.ends_with('Z') && name != "id" => {
            let whole = |text: &str| second(at(text));
            let unset = go.starts_with("0001-");
            assert!(unset || whole(go) == whole(ours), "`{name}`: {ours} for {go}");
            assert!(ours.ends_with('Z'), "`{name}`: {ours}");
        }
        (go, ours) => assert_eq!(
            go.map(std::mem::discriminant),
            ours.map(std::mem::discriminant),
            "`{name}`"
        ),
    }
}

fn claimed(until: &str) -> (Task, LeaseToken) {
    let mut task = read(&go_wrote!("created.json")[0]).task;
    let token = LeaseToken::random();
    let lease = Lease {
        token,
        until: at(until),
        owner: "us".into(),
        phase: transition::Phase::Run,
    };
    transition::claim(&mut task, lease, at("2026-11-23T16:20:00Z"));
    (task, token)
}

#[test]
fn go_never_sees_our_lease_end_early() {
    let (task, token) = claimed("2026-11-23T16:21:00.250Z");
    let fields = encode(&task, "DEFAULT", &Marks::default());
    assert_eq!(fields["leasedUntil"], text("2026-11-23T16:21:01Z"));
    let lease = read(&fields).task.state.lease.expect("a lease");
    assert_eq!(
        (lease.token, lease.until),
        (token, at("2026-11-23T16:21:00.250Z"))
    );
}

#[test]
fn a_lease_that_go_took_over_is_lost() {
    let (task, token) = claimed("2026-11-23T16:21:00.250Z");
    let mut fields = encode(&task, "DEFAULT", &Marks::default());
    // Go updates the fields that it knows, and leaves our token.
    fields.insert("leasedUntil".into(), text("2026-11-23T16:31:30Z"));
    fields.insert("attempts".into(), integer(2));
    let mut taken = read(&fields).task;
    assert_ne!(taken.state.lease.as_ref().expect("a lease").token, token);
    let now = at("2026-11-23T16:22:00Z");
    let refused = transition::finish(&mut taken.state, token, Verdict::Complete(None), false, now);
    assert!(refused.is_err());
    // Go completes the task.
    fields.insert("leasedUntil".into(), text(""));
    fields.insert("doneAt".into(), text("2026-11-23T16:22:05Z"));
    let done = read(&fields).task.state;
    assert_eq!(done.done.map(|done| done.how), Some(Ending::Completed));
}

#[test]
fn go_derives_the_status_that_we_stored() {
    let now = at("2026-11-23T16:20:30.123Z");
    let fail = |errors: usize| {
        let (mut task, token) = claimed("2026-11-23T16:21:00Z");
        task.state.attempts = 150;
        let error = || "no".to_owned();
        transition::finish(
            &mut task.state,
            token,
            Verdict::Fail { error: error() },
            false,
            now,
        )
        .expect("the lease is valid");
        let entry = task.state.errors[0].clone();
        task.state.errors = vec![entry; errors];
        task
    };
    // More attempts failed than errors are kept.
    let failed = fail(100);
    let fields = encode(&failed, "DEFAULT", &Marks::default());
    assert_eq!(status_for_go(&fields), "failed");
    assert_eq!(read(&fields).task, failed);
    // A generator that ended has made no attempt.
    let mut ended = read(&go_wrote!("created.json")[0]).task;
    ended.state.done = Some(crate::task::Done {
        at: now,
        how: Ending::Completed,
    });
    let fields = encode(&ended, "DEFAULT", &Marks::default());
    assert_eq!(status_for_go(&fields), "completed");
    assert_eq!(read(&fields).task, ended);
}

/// Derives the status of a task that is done, as the Go library does.
fn status_for_go(fields: &Fields) -> &'static str {
    let attempts = match &fields["attempts"].value_type {
        Some(ValueType::IntegerValue(of)) => *of,
        other => panic!("attempts are {other:?}"),
    };
    let errors = match &fields["errors"].value_type {
        Some(ValueType::ArrayValue(of)) => i64::try_from(of.values.len()).expect("a small number"),
        _ => 0,
    };
    match fields["isCancelled"].value_type {
        Some(ValueType::BooleanValue(true)) => "cancelled",
        _ if attempts > errors => "completed",
        _ => "failed",
    }
}

#[test]
fn a_task_that_go_reset_is_pending_despite_our_fields() {
    let (mut task, token) = claimed("2026-11-23T16:21:00Z");
    let now = at("2026-11-23T16:20:30.123Z");
    let error = "no".to_owned();
    transition::finish(&mut task.state, token, Verdict::Fail { error }, false, now)
        .expect("the lease is valid");
    let mut fields = encode(&task, "DEFAULT", &Marks::default());
    for (name, value) in &go_wrote!("reset.json")[0] {
        if !["id", "type", "data", "createdAt"].contains(&name.as_str()) {
            fields.insert(name.clone(), value.clone());
        }
    }
    let task = read(&fields).task;
    assert_eq!(task.status(now), Status::Pending);
    // If Go then completes it, Go's end counts, not our older outcome.
    fields.insert("doneAt".into(), text("2026-11-23T16:25:00Z"));
    fields.insert("attempts".into(), integer(1));
    let done = read(&fields).task.state.done;
    assert_eq!(done.map(|done| done.how), Some(Ending::Completed));
}

#[test]
fn only_changed_fields_are_written() {
    let go = &go_wrote!("created.json")[0];
    let stored = read(go);
    let (task, _) = claimed("2026-11-23T16:21:00Z");
    let before = encode(&stored.task, &stored.env, &stored.marks);
    let (_, mask) = changes(&before, encode(&task, &stored.env, &stored.marks));
    let expected = [
        "attempts",
        "leaseEnds",
        "leaseOwner",
        "leasePhase",
        "leaseToken",
        "leasedUntil",
    ];
    assert_eq!(mask, expected);
}

#[test]
fn a_document_that_cannot_be_decoded_says_why() {
    let go = &go_wrote!("created.json")[0];
    let bytes = pb::Value {
        value_type: Some(ValueType::BytesValue(vec![1])),
    };
    for (name, broken, expected) in [
        (
            "waitUntil",
            text("soon"),
            "`waitUntil` is `soon`, which is not an instant",
        ),
        ("waitUntil", integer(5), "`waitUntil` is an integer, not a string"),
        ("type", null(), "the field `type` is missing"),
        ("attempts", integer(-1), "`attempts` is -1, which is not a count"),
        ("data", bytes, "it contains bytes, which JSON cannot represent"),
        ("errors", text("none"), "`errors` is a string, not an array"),
        (
            "leaseToken",
            text("xyz"),
            "`leaseToken` is `xyz`, which is not a token",
        ),
        (
            "recurrence",
            map(Fields::from([("rrule".into(), text("FREQ=OFTEN"))])),
            "`FREQ=OFTEN`",
        ),
    ] {
        let mut fields = go.clone();
        fields.insert(name.into(), broken);
        let document = pb::Document {
            fields,
            ..pb::Document::default()
        };
        let why = decode(document).expect_err("an invalid document").0;
        assert!(why.contains(expected), "{why}");
    }
    assert!(Recurrence::new("FREQ=OFTEN").is_err());
}
