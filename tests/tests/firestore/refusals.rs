//! What Firestore refuses, or fails at, and what the store makes of it. The emulator never does: it has no
//! indexes, and permits everything.

use std::env;
use std::io;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use oncetask::store::{Filter, FirestoreStore, Insert, Store as _, Topic};
use oncetask::{Status, StoreError, StoreErrorKind};

use crate::fake::{Answer, Fake};
use crate::world::{Project, block_on, request, task, until};

crate::tests! {
    each_error_is_repeated_or_told,
    a_query_without_its_index_says_how_to_get_it,
    a_listener_without_its_index_says_how_to_get_it,
    who_may_not_is_told_the_role,
    without_credentials_it_is_said_how_to_get_them,
}

const NO_INDEX: &str =
    "The query requires an index. You can create it here: https://console.firebase.google.com";
const FAILED_PRECONDITION: i32 = 9;

/// `CommitResponse { write_results: [{ update_time: { seconds: 1 } }] }`
const WRITTEN: [u8; 6] = [0x0a, 4, 0x0a, 2, 0x08, 1];

async fn open(fake: &Fake) -> FirestoreStore {
    open_with(fake, true).await.expect("it answers")
}

async fn open_with(fake: &Fake, listen: bool) -> Result<FirestoreStore, StoreError> {
    let options = Project::on(&fake.host).options().listen(listen);
    let options = options.timeouts(Duration::from_secs(10), Duration::from_mins(1));
    options.open("DEFAULT").await
}

/// The rows of the retry table, from the first byte on the wire to what the caller is told.
async fn each_error_is_repeated_or_told() {
    // Invalid argument, permission denied, out of range, unimplemented, data loss, unauthenticated.
    const FINAL: [i32; 6] = [3, 7, 11, 12, 15, 16];
    for code in 1..=16 {
        let fake = Fake::start(move |method, number| match (method, number) {
            ("Commit", 1) => Answer::Error(code, "why"),
            ("Commit", _) => Answer::Message(WRITTEN.to_vec()),
            _ => Answer::Nothing,
        });
        let fake = fake.await;
        let created = open(&fake).await.create(vec![task("a", "K")]).await;
        if FINAL.contains(&code) {
            let error = created.expect_err("it is no use to ask again");
            assert_eq!(error.kind, StoreErrorKind::Unusable, "code {code}");
            assert!(error.message.contains("why"), "code {code}: {error}");
            assert_eq!(fake.asked("Commit"), 1, "code {code}");
        } else {
            // Also what says that the document is there, or is not as it was: the store looked, and it was not.
            assert_eq!(created.expect("created"), [Insert::New], "code {code}");
            assert_eq!(fake.asked("Commit"), 2, "code {code}");
        }
    }
}

async fn a_query_without_its_index_says_how_to_get_it() {
    let fake = Fake::start(|method, _| match method {
        "RunQuery" | "RunAggregationQuery" => Answer::Error(FAILED_PRECONDITION, NO_INDEX),
        _ => Answer::Nothing,
    });
    let store = open(&fake.await).await;
    let claimed = store.claim(request("K", 1)).await.expect_err("refused");
    says_how_to_get_it(&claimed.to_string(), "doneAt,order=ascending");
    let counted = store
        .count(Filter::new().kind("K"), Utc::now())
        .await
        .expect_err("refused");
    says_how_to_get_it(&counted.to_string(), "createdAt,order=ascending");
    let pending = Filter::new().kind("K").status(Status::Pending);
    let counted = store.count(pending, Utc::now()).await.expect_err("refused");
    assert_eq!(counted.kind, StoreErrorKind::Unusable);
    says_how_to_get_it(&counted.to_string(), "doneAt,order=ascending");
}

fn says_how_to_get_it(text: &str, field: &str) {
    for part in [
        "an index is missing",
        NO_INDEX,
        "firebase deploy --only firestore:indexes",
        "firestore.indexes.json",
        "gcloud firestore indexes composite create --project=test-",
        "--collection-group=onceTasks",
        &format!("--field-config=field-path={field}"),
    ] {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
}

async fn a_listener_without_its_index_says_how_to_get_it() {
    // `TargetChange { REMOVE, [1], cause: { code: 9, message } }`, as the answer to what is listened for.
    let cause = [&[0x08, 9, 0x12, length(NO_INDEX.len())], NO_INDEX.as_bytes()].concat();
    let change = [&[0x08, 2, 0x12, 1, 1, 0x1a, length(cause.len())], &cause[..]].concat();
    let removed = [&[0x12, length(change.len())], &change[..]].concat();
    let fake = Fake::start(move |method, _| match method {
        "Listen" => Answer::Message(removed.clone()),
        _ => Answer::Nothing,
    });
    let fake = fake.await;
    collect_logs();
    let store = open(&fake).await;
    let _subscription = store.subscribe(Topic::Kinds(vec!["K".into()]));
    let told = || {
        let logs = LOGS.lock().unwrap_or_else(PoisonError::into_inner);
        let logs = String::from_utf8_lossy(&logs).into_owned();
        let mut lines = logs.lines();
        lines
            .find(|line| line.contains(store.address()) && line.contains("ERROR"))
            .map(str::to_owned)
    };
    until("it is told", async || told().is_some()).await;
    let line = told().expect("it was told");
    assert!(line.contains("the listener for the queue was refused"), "{line}");
    says_how_to_get_it(&line, "waitUntil,order=ascending");
    // It works all the same: other processes are heard of by polling.
    assert!(!store.is_listening());
    store.claim(request("K", 1)).await.expect("answered");
}

/// What one byte says.
fn length(bytes: usize) -> u8 {
    u8::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes < 128)
        .expect("a short message")
}

static LOGS: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Logs;

impl io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOGS.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn collect_logs() {
    let logs = tracing_subscriber::fmt().with_ansi(false).with_writer(|| Logs);
    logs.init();
}

async fn who_may_not_is_told_the_role() {
    let fake = Fake::start(|_, _| Answer::Error(7, "Missing or insufficient permissions.")).await;
    let error = open_with(&fake, true).await.expect_err("it may not");
    assert_eq!(error.kind, StoreErrorKind::Unusable);
    let text = error.to_string();
    assert!(text.contains("--role=roles/datastore.user"), "{text}");
    let fake = Fake::start(|_, _| Answer::Error(16, "invalid authentication credentials")).await;
    let error = open_with(&fake, true).await.expect_err("nobody");
    assert!(
        error
            .to_string()
            .contains("gcloud auth application-default login"),
        "{error}"
    );
}

const STRANGER: &str = "ONCETASK_TEST_STRANGER";

/// Whether this program is to open a store as somebody whom Google does not know, instead of testing.
pub(crate) fn is_stranger() -> bool {
    env::var_os(STRANGER).is_some()
}

pub(crate) fn open_as_a_stranger() {
    block_on(async {
        let error = FirestoreStore::open("test-project", "DEFAULT")
            .await
            .expect_err("nobody");
        println!("{error}");
        assert_eq!(error.kind, StoreErrorKind::Unusable);
    });
}

async fn without_credentials_it_is_said_how_to_get_them() {
    let mut stranger = Command::new(env::current_exe().expect("this program"));
    stranger
        .env(STRANGER, "1")
        .env_remove("FIRESTORE_EMULATOR_HOST")
        .env("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || stranger.output()).await;
    let output = output.expect("no panic").expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for part in [
        "firestore://test-project: no valid Google credentials",
        "gcloud auth application-default login",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ] {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
}
