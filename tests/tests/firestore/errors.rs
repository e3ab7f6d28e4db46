//! Errors of Firestore that the emulator never returns, because it needs no indexes and permits every request.

use std::env;
use std::io;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use oncetask::store::{Filter, FirestoreStore, Insert, Store as _, Topic};
use oncetask::{Status, StoreError, StoreErrorKind};
use tests::harness::claims::{request, task};
use tests::harness::firestore::{Project, block_on};
use tests::harness::wait::until_async;

use crate::fake_server::{Answer, FakeServer};

crate::tests! {
    each_error_is_retried_or_returned,
    a_query_without_its_index_reports_how_to_create_it,
    a_listener_without_its_index_reports_how_to_create_it,
    a_missing_permission_is_reported_with_the_role,
    missing_credentials_are_reported_with_the_login_command,
}

const NO_INDEX: &str =
    "The query requires an index. You can create it here: https://console.firebase.google.com";
const FAILED_PRECONDITION: i32 = 9;

/// `CommitResponse { write_results: [{ update_time: { seconds: 1 } }] }`
const WRITTEN: [u8; 6] = [0x0a, 4, 0x0a, 2, 0x08, 1];

async fn open(server: &FakeServer) -> FirestoreStore {
    open_with(server, true).await.expect("the server answers")
}

async fn open_with(server: &FakeServer, listen: bool) -> Result<FirestoreStore, StoreError> {
    let options = Project::on(&server.host).options().listen(listen);
    let options = options.timeouts(Duration::from_secs(10), Duration::from_mins(1));
    options.open("DEFAULT").await
}

/// Checks every row of the retry table with the answers of a server.
async fn each_error_is_retried_or_returned() {
    // Invalid argument, permission denied, out of range, unimplemented, data loss, unauthenticated.
    const PERMANENT: [i32; 6] = [3, 7, 11, 12, 15, 16];
    for code in 1..=16 {
        let server = FakeServer::start(move |method, number| match (method, number) {
            ("Commit", 1) => Answer::Error(code, "why"),
            ("Commit", _) => Answer::Message(WRITTEN.to_vec()),
            _ => Answer::Empty,
        });
        let server = server.await;
        let created = open(&server).await.create(vec![task("a", "K")]).await;
        if PERMANENT.contains(&code) {
            let error = created.expect_err("the error is permanent");
            assert_eq!(error.kind, StoreErrorKind::Unusable, "code {code}");
            assert!(error.message.contains("why"), "code {code}: {error}");
            assert_eq!(server.requests("Commit"), 1, "code {code}");
        } else {
            // After "already exists" and "failed precondition" the store reads the document, finds none, and repeats
            // the write.
            assert_eq!(created.expect("the store answers"), [Insert::New], "code {code}");
            assert_eq!(server.requests("Commit"), 2, "code {code}");
        }
    }
}

async fn a_query_without_its_index_reports_how_to_create_it() {
    let server = FakeServer::start(|method, _| match method {
        "RunQuery" | "RunAggregationQuery" => Answer::Error(FAILED_PRECONDITION, NO_INDEX),
        _ => Answer::Empty,
    });
    let store = open(&server.await).await;
    let claimed = store.claim(request("K", 1)).await.expect_err("refused");
    assert_reports_the_index(&claimed.to_string(), "doneAt,order=ascending");
    let counted = store
        .count(Filter::new().kind("K"), Utc::now())
        .await
        .expect_err("refused");
    assert_reports_the_index(&counted.to_string(), "createdAt,order=ascending");
    let pending = Filter::new().kind("K").status(Status::Pending);
    let counted = store.count(pending, Utc::now()).await.expect_err("refused");
    assert_eq!(counted.kind, StoreErrorKind::Unusable);
    assert_reports_the_index(&counted.to_string(), "doneAt,order=ascending");
}

fn assert_reports_the_index(text: &str, field: &str) {
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

async fn a_listener_without_its_index_reports_how_to_create_it() {
    // `TargetChange { REMOVE, [1], cause: { code: 9, message } }`, the answer to a listen request.
    let cause = [&[0x08, 9, 0x12, length(NO_INDEX.len())], NO_INDEX.as_bytes()].concat();
    let change = [&[0x08, 2, 0x12, 1, 1, 0x1a, length(cause.len())], &cause[..]].concat();
    let removed = [&[0x12, length(change.len())], &change[..]].concat();
    let server = FakeServer::start(move |method, _| match method {
        "Listen" => Answer::Message(removed.clone()),
        _ => Answer::Empty,
    });
    let server = server.await;
    record_logs();
    let store = open(&server).await;
    let _subscription = store.subscribe(Topic::Kinds(vec!["K".into()]));
    let logged = || {
        let logs = LOGS.lock().unwrap_or_else(PoisonError::into_inner);
        let logs = String::from_utf8_lossy(&logs).into_owned();
        let mut lines = logs.lines();
        lines
            .find(|line| line.contains(store.address()) && line.contains("ERROR"))
            .map(str::to_owned)
    };
    until_async("the error is logged", async || logged().is_some()).await;
    let line = logged().expect("the error is logged");
    assert!(line.contains("the listener for the queue was refused"), "{line}");
    assert_reports_the_index(&line, "waitUntil,order=ascending");
    // Without a listener the store polls, and claims work.
    assert!(!store.is_listening());
    store.claim(request("K", 1)).await.expect("the store answers");
}

/// Returns a length as a protobuf varint of one byte.
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

fn record_logs() {
    let logs = tracing_subscriber::fmt().with_ansi(false).with_writer(|| Logs);
    logs.init();
}

async fn a_missing_permission_is_reported_with_the_role() {
    let server = FakeServer::start(|_, _| Answer::Error(7, "Missing or insufficient permissions.")).await;
    let error = open_with(&server, true).await.expect_err("permission denied");
    assert_eq!(error.kind, StoreErrorKind::Unusable);
    let text = error.to_string();
    assert!(text.contains("--role=roles/datastore.user"), "{text}");
    let server = FakeServer::start(|_, _| Answer::Error(16, "invalid authentication credentials")).await;
    let error = open_with(&server, true).await.expect_err("unauthenticated");
    assert!(
        error
            .to_string()
            .contains("gcloud auth application-default login"),
        "{error}"
    );
}

/// The environment variable with which a test starts this program to open a store without credentials.
const NO_CREDENTIALS: &str = "ONCETASK_TEST_NO_CREDENTIALS";

/// Returns whether this process must open a store without credentials instead of running tests.
pub(crate) fn opens_without_credentials() -> bool {
    env::var_os(NO_CREDENTIALS).is_some()
}

/// Opens a store without credentials, and prints the error.
pub(crate) fn open_without_credentials() {
    block_on(async {
        let error = FirestoreStore::open("test-project", "DEFAULT")
            .await
            .expect_err("there are no credentials");
        println!("{error}");
        assert_eq!(error.kind, StoreErrorKind::Unusable);
    });
}

async fn missing_credentials_are_reported_with_the_login_command() {
    let mut process = Command::new(env::current_exe().expect("this program"));
    process
        .env(NO_CREDENTIALS, "1")
        .env_remove("FIRESTORE_EMULATOR_HOST")
        .env("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || process.output()).await;
    let output = output.expect("no panic").expect("the process ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for part in [
        "firestore://test-project",
        "gcloud auth application-default login",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ] {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
}
