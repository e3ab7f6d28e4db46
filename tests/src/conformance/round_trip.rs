//! Values that must be stored and read without a change.

use oncetask::schedule::{Gap, Missed, Moment, Overlap};
use oncetask::store::Filter;
use oncetask::task::transition::{MAX_ERROR_BYTES, Verdict};
use oncetask::task::{Json, Progress};
use oncetask::{Recurrence, Status, Task};
use serde_json::Value;

use super::list_cases;
use super::support::{Backend, StoreHandle, at, complete, demand, extension, ids, millis, rule, task, up_to};

list_cases!("round_trip":
    payloads,
    results,
    a_null_result_is_not_lost,
    unusual_ids,
    an_id_of_1500_bytes,
    unusual_generator_ids,
    unusual_kinds_and_keys,
    instants_of_whole_milliseconds,
    instants_from_1970_to_9999,
    unusual_errors,
    the_longest_error,
    many_errors,
    progress,
    recurrences,
    a_large_payload,
);

/// JSON values that a database may change.
const JSON: &[&str] = &[
    "{}",
    r#"{"null":null,"true":true,"false":false,"empty":"","list":[],"map":{}}"#,
    r#"{"deep":{"er":{"and":{"deeper":[{"still":[{"more":1}]}]}}}}"#,
    r#"{"lists":[[1,2],[[3],[]],[[[4]]]]}"#,
    r#"{"nulls":[null,[null],{"a":null}]}"#,
    r#"{"i64":[9223372036854775807,-9223372036854775808],"u64":18446744073709551615,"safe":9007199254740993}"#,
    r#"{"floats":[0.1,-0.5,1e300,5e-324,1.7976931348623157e308,3.141592653589793,1e21]}"#,
    r#"{"whole":[1.0,-2.0,1e15],"zero":0}"#,
    r#"{"":"the empty key","a.b":1,"a`b":2,"`":3,"a\\b":4,"a/b":5,"a[0]":6,"$ref":7,"__type__":8,"~":9,"*":10}"#,
    r#"{"text":"ünïcödé ✓ 漢字 🦀 e\u0301 \u202e","quote":"\"'\\","lines":"a\nb\r\n\tc"}"#,
    r#"{"control":"\u0000\u0001\u001f\u007f","last":"\uffff"}"#,
    r#"{"🦀":1,"Größe":2," leading":3,"trailing ":4,"line\nbreak":5}"#,
    r#"{"id":"looks","type":"like","data":{"a":"field"},"env":"of ours"}"#,
    r#"{"instant":"2024-01-01T00:00:00Z","number":"0012"}"#,
];

async fn payloads(backend: Backend) {
    let store = backend.open().await;
    for (json, n) in JSON.iter().zip(0..) {
        let id = n.to_string();
        store.create([task(&id[..]).payload(json)]).await;
        let claimed = store.claim_one(at(1)).await;
        assert_same(json, &claimed.task.spec.payload);
        assert_eq!(store.finish_one(complete(&claimed), at(1)).await, Ok(()));
        assert_same(json, &store.task(&id[..]).await.spec.payload);
    }
    let huge = r#"{"n":123456789012345678901234567890}"#;
    store.create([task("huge").payload(huge)]).await;
    let stored = store.task("huge").await.spec.payload;
    assert!(
        stored.as_str().contains("123456789012345678901234567890"),
        "every digit is stored: {stored}"
    );
}

async fn results(backend: Backend) {
    let store = backend.open().await;
    let scalars = [
        "true",
        "-7",
        "0.5",
        r#""text""#,
        "[]",
        "[[1],[2]]",
        "18446744073709551615",
    ];
    for (json, n) in JSON.iter().chain(&scalars).zip(0..) {
        let id = n.to_string();
        let claimed = store.create_and_claim(task(&id[..]), at(1)).await;
        let result = Json::parse(*json).expect("valid JSON");
        assert_eq!(
            store
                .finish(&claimed, Verdict::Complete(Some(result)), at(1))
                .await,
            Ok(())
        );
        let stored = store.task(&id[..]).await;
        assert_eq!(stored.status(at(1)), Status::Completed);
        assert_same(json, stored.state.result.as_ref().expect("the result is stored"));
    }
}

async fn a_null_result_is_not_lost(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(1)).await;
    let null = Json::parse("null").expect("valid JSON");
    assert_eq!(
        store.finish(&claimed, Verdict::Complete(Some(null)), at(1)).await,
        Ok(())
    );
    let stored = store.task("a").await;
    let result: Option<Option<u8>> = stored.result().expect("the result has this type");
    assert_eq!(result.flatten(), None);
    assert_eq!(stored.status(at(1)), Status::Completed);
}

/// Checks that two JSON texts have the same meaning. The order of keys and the decimal point of a whole number may
/// differ.
fn assert_same(expected: &str, found: &Json) {
    let expected: Value = serde_json::from_str(expected).expect("valid JSON");
    assert!(same(&expected, &found.value()), "{found} instead of {expected}");
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Texts that a database may change.
const TEXTS: &[&str] = &[
    "plain",
    "a/b/c",
    "/",
    "//",
    "/a",
    "a/",
    ".",
    "..",
    "...",
    "__x__",
    "__id7__",
    "%",
    "%2F",
    "%252F",
    "a%",
    " ",
    " a",
    "a ",
    "a b",
    "\t",
    "a\nb",
    "\u{1}",
    "\u{7f}",
    "\u{fffd}",
    "\u{feff}a",
    "ü",
    "u\u{308}",
    "漢字",
    "🦀",
    "Ω≈ç√",
    "'",
    "\"",
    "`",
    "\\",
    "\\0",
    "a\\/b",
    "{a}",
    "[0]",
    "*",
    "?",
    "#",
    "&",
    "=",
    "+",
    "~",
    "ENV~a",
    "DEFAULT~a",
    "a:b:c",
    "a@b",
    "--",
    ";",
    "$1",
    ":x",
    "null",
    "0",
    "-1",
    "1e9",
    "true",
    "%s",
    "' OR 1=1 --",
    "<b>",
    "a_occ_2024-01-01T00:00:00Z",
];

async fn unusual_ids(backend: Backend) {
    let store = backend.open().await;
    let drafts = TEXTS.iter().zip(0..);
    store
        .create(drafts.map(|(id, n)| task(*id).created(at(n)).due(at(n))))
        .await;
    let found = store.get(TEXTS.iter().copied()).await;
    for (id, found) in TEXTS.iter().zip(found) {
        let found = found.unwrap_or_else(|| panic!("{id:?} is lost"));
        assert_eq!(found.id().as_str(), *id);
    }
    assert_eq!(store.list(Filter::new(), at(999)).await, TEXTS);

    let claims = store.claim(up_to(TEXTS.len()), at(999)).await;
    assert_eq!(ids(&claims), TEXTS);
    let claimed = claims.iter().flat_map(|claim| &claim.tasks);
    for finished in store.finish_all(claimed.map(complete).collect(), at(999)).await {
        assert_eq!(finished, Ok(()));
    }
    for id in TEXTS {
        assert!(store.task(*id).await.is_done(), "{id:?}");
        assert_eq!(
            store.delete(id).await,
            oncetask::task::transition::Change::Applied,
            "{id:?}"
        );
    }
    assert_eq!(store.count(Filter::new(), at(999)).await, 0);
}

async fn an_id_of_1500_bytes(backend: Backend) {
    let store = backend.open().await;
    let longest = ["a".repeat(1500), "ü".repeat(750), "🦀".repeat(375)];
    store.create(longest.iter().map(|id| task(&id[..]))).await;
    for id in &longest {
        assert_eq!(store.task(&id[..]).await.id().as_str(), id);
    }
    // The ids differ only in the last byte.
    let similar = format!("{}b", "a".repeat(1499));
    assert_eq!(store.find(&similar[..]).await, None);
    store.create([task(&similar[..])]).await;
}

async fn unusual_generator_ids(backend: Backend) {
    let store = backend.open().await;
    for (generator, n) in TEXTS.iter().zip(0..) {
        let occurrence = task(n.to_string()).occurrence_of(generator, millis(n));
        store.create([occurrence]).await;
        let stored = store.task(n.to_string()).await;
        let occurrence = task(n.to_string()).occurrence_of(generator, millis(n));
        assert_eq!(stored, Task::from(occurrence));
        let listed = store.list(Filter::new().generator(*generator), at(9)).await;
        assert_eq!(listed, [n.to_string()], "{generator:?}");
    }
}

async fn unusual_kinds_and_keys(backend: Backend) {
    let store = backend.open().await;
    for (text, n) in TEXTS.iter().zip(0..) {
        let draft = || task(n.to_string()).kind(text).key(text);
        store.create([draft()]).await;
        assert_eq!(store.task(n.to_string()).await, Task::from(draft()));
        let by_key = Filter::new().resource_key(*text);
        assert_eq!(store.list(by_key, at(9)).await, [n.to_string()], "{text:?}");
        let by_kind = Filter::new().kind(*text);
        assert_eq!(store.list(by_kind, at(9)).await, [n.to_string()], "{text:?}");
        assert_eq!(
            ids(&store.claim(demand(text), at(9)).await),
            [n.to_string()],
            "{text:?}"
        );
    }
    assert_eq!(store.kinds().await.len(), TEXTS.len());
}

async fn instants_of_whole_milliseconds(backend: Backend) {
    let store = backend.open().await;
    for (ms, n) in [1, 10, 100, 999, 1001, 86_400_007].into_iter().zip(0..) {
        let id = n.to_string();
        let draft = || task(&id[..]).created(millis(ms)).due(millis(2 * ms));
        store.create([draft()]).await;
        let stored = store.task(&id[..]).await;
        assert_eq!(stored, Task::from(draft()));

        store.cancel(&id, millis(ms + 3)).await;
        let claimed = store.claim_one(millis(ms + 4)).await;
        assert_eq!(
            store
                .finish(&claimed, Verdict::Complete(None), millis(ms + 5))
                .await,
            Ok(())
        );
        let state = store.task(&id[..]).await.state;
        assert_eq!(state.cancelled_at, Some(millis(ms + 3)));
        assert_eq!(state.done.map(|done| done.at), Some(millis(ms + 5)));
    }
}

async fn instants_from_1970_to_9999(backend: Backend) {
    let store = backend.open().await;
    let instants = [
        "1970-01-01T00:00:00Z",
        "1970-01-01T00:00:00.001Z",
        "2000-02-29T12:00:00.5Z",
        "2038-01-19T03:14:08Z",
        "2106-02-07T06:28:16Z",
        "2262-04-12T00:00:00Z",
        "9999-12-31T23:59:59.999Z",
    ];
    let instants = instants.map(|text| text.parse().expect("a valid instant"));
    for (instant, n) in instants.into_iter().zip(0..) {
        let draft = || task(n.to_string()).created(instant).due(instant);
        store.create([draft()]).await;
        assert_eq!(store.task(n.to_string()).await, Task::from(draft()));
    }
    let all: Vec<_> = (0..instants.len()).map(|n| n.to_string()).collect();
    assert_eq!(store.list(Filter::new(), at(0)).await, all);

    let mut claimed = Vec::new();
    for now in instants {
        let claims = store.claim(demand("Work"), now).await;
        claimed.extend(ids(&claims).into_iter().map(str::to_owned));
        for claimed in claims.iter().flat_map(|claim| &claim.tasks) {
            assert_eq!(store.finish(claimed, Verdict::Complete(None), now).await, Ok(()));
        }
    }
    assert_eq!(claimed, all, "each task is claimed when it is due");
}

async fn fail_with(store: &StoreHandle, id: &str, error: &str) -> String {
    let claimed = store.create_and_claim(task(id), at(1)).await;
    let fail = Verdict::Fail { error: error.into() };
    assert_eq!(store.finish(&claimed, fail, at(2)).await, Ok(()));
    store.task(id).await.errors()[0].error.clone()
}

async fn unusual_errors(backend: Backend) {
    let store = backend.open().await;
    for (text, n) in TEXTS.iter().chain(JSON).chain(&[""]).zip(0..) {
        assert_eq!(fail_with(&store, &n.to_string(), text).await, *text);
    }
}

async fn the_longest_error(backend: Backend) {
    let store = backend.open().await;
    let longest = "ü".repeat(MAX_ERROR_BYTES / 2);
    assert_eq!(fail_with(&store, "longest", &longest).await, longest);
    let truncated = fail_with(&store, "longer", &"ü".repeat(1_000_000)).await;
    assert!(truncated.len() <= MAX_ERROR_BYTES, "{} bytes", truncated.len());
    assert!(truncated.starts_with("üüüü"));
}

async fn many_errors(backend: Backend) {
    let store = backend.open().await;
    store.create([task("a")]).await;
    for n in 1..=105 {
        let claimed = store.claim_one(at(n)).await;
        let retry = Verdict::Retry {
            at: at(n),
            error: format!("error {n}"),
        };
        assert_eq!(store.finish(&claimed, retry, at(n)).await, Ok(()));
    }
    let stored = store.task("a").await;
    assert_eq!((stored.attempts(), stored.errors().len()), (105, 100));
    let attempts: Vec<_> = stored.errors().iter().map(|error| error.attempt).collect();
    let expected: Vec<u32> = std::iter::once(1).chain(7..=105).collect();
    assert_eq!(attempts, expected, "the first error and the last 99");
}

async fn progress(backend: Backend) {
    let store = backend.open().await;
    let claimed = store.create_and_claim(task("a"), at(1)).await;
    for (text, n) in TEXTS.iter().zip(0_u32..) {
        let reported = Progress::new(f64::from(n) / 1024.0, *text, millis(1000 + i64::from(n)));
        let mut renewal = extension(&claimed, at(90));
        renewal.progress = Some(reported.clone());
        store.renew(renewal, at(2)).await;
        assert_eq!(store.task("a").await.state.progress, Some(reported));
    }
}

async fn recurrences(backend: Backend) {
    let store = backend.open().await;
    let rules = [
        rule("FREQ=SECONDLY"),
        rule("FREQ=MONTHLY;BYDAY=-1FR;COUNT=13"),
        rule("FREQ=YEARLY;UNTIL=20300101T000000Z").missed(Missed::All { max: 7 }),
        Recurrence::new("FREQ=WEEKLY;BYDAY=MO,WE;INTERVAL=2")
            .expect("a valid rule")
            .tz("Europe/Berlin".parse().expect("a valid zone"))
            .starting_at("2024-03-30T02:30:00".parse().expect("a valid local time"))
            .exdates(["2024-04-01T02:30:00", "2024-04-15T00:30:00Z"].map(moment))
            .rdates(["2024-03-31T02:30:00", "2024-12-24T18:00:00+01:00"].map(moment))
            .gap(Gap::Shift)
            .overlap(Overlap::Both)
            .missed(Missed::Skip),
    ];
    for (rule, n) in rules.into_iter().zip(0..) {
        let id = n.to_string();
        store.create([task(&id).with_rule(rule.clone())]).await;
        let stored = store.task(&id).await.spec.recurrence.expect("a valid rule");
        assert_eq!(stored, rule);
        assert_eq!(
            stored.iter_after(at(0)).take(20).collect::<Vec<_>>(),
            rule.iter_after(at(0)).take(20).collect::<Vec<_>>()
        );
        let claimed = store.claim_one(at(1)).await;
        assert_eq!(claimed.task.spec.recurrence, Some(rule));
    }
}

fn moment(text: &str) -> Moment {
    text.parse().expect("a valid moment")
}

async fn a_large_payload(backend: Backend) {
    let store = backend.open().await;
    let json = format!(r#"{{"text":"{}"}}"#, "x".repeat(900_000));
    store.create([task("a").payload(&json)]).await;
    assert_same(&json, &store.claim_one(at(1)).await.task.spec.payload);
}
