//! What the tests are set in: an emulator for all of them, and a project for each.

use std::future::Future;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use oncetask::store::{
    ClaimRequest, ClaimedTask, Demand, Finish, FirestoreOptions, FirestoreStore, Store as _, Subscription,
    Wakeup,
};
use oncetask::task::transition::Verdict;
use oncetask::task::{Json, ResourceKey, Task, TaskSpec};
use serde_json::{Value, json};
use tests::emulator::Emulator;
use tests::wait;
use tokio::runtime;

/// Long enough for any machine, and for what the emulator's listeners miss, which a poll finds after a minute; only a
/// failure waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(20);

static EMULATOR: Mutex<Option<Emulator>> = Mutex::new(None);

/// The emulator's address.
pub(crate) fn emulator() -> String {
    let mut emulator = EMULATOR.lock().unwrap_or_else(PoisonError::into_inner);
    let emulator = emulator.get_or_insert_with(|| Emulator::find().expect("an emulator"));
    emulator.host().to_owned()
}

pub(crate) fn stop_emulator() {
    drop(EMULATOR.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// A project that no other test knows: a query of the emulator costs what all documents of a collection cost.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub(crate) id: String,
    pub(crate) host: String,
}

impl Project {
    pub(crate) fn new() -> Self {
        Self::on(emulator())
    }

    pub(crate) fn on(host: impl Into<String>) -> Self {
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
        Self {
            id: format!("test-{random:016x}"),
            host: host.into(),
        }
    }

    pub(crate) async fn connect(&self) -> FirestoreStore {
        self.options()
            .open("DEFAULT")
            .await
            .expect("the emulator answers")
    }

    pub(crate) fn options(&self) -> FirestoreOptions {
        FirestoreStore::options(&self.id).emulator(&self.host)
    }
}

/// Runs a test on a runtime of its own.
pub(crate) fn block_on(test: impl Future<Output = ()>) {
    let runtime = runtime::WorkerBuilder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime can be started").block_on(test);
}

/// What the store holds and says, as the emulator's own interface shows it.
impl Project {
    /// The document of this name in the collection, in its REST form.
    pub(crate) fn document(&self, name: &str) -> Option<Value> {
        let (status, document) = self.rest("GET", &format!("/onceTasks/{}", escaped(name)), None);
        (status == 200).then_some(document)
    }

    /// Writes fields of a document, as another program would: all of them, or those of the mask.
    pub(crate) fn put(&self, name: &str, fields: &Value, mask: &[&str]) {
        let mask: Vec<_> = mask
            .iter()
            .map(|field| format!("updateMask.fieldPaths={field}"))
            .collect();
        let path = format!("/onceTasks/{}?{}", escaped(name), mask.join("&"));
        let (status, answer) = self.rest("PATCH", &path, Some(&json!({ "fields": fields })));
        assert_eq!(status, 200, "{answer}");
    }

    /// Calls a method of the database's documents.
    pub(crate) fn call(&self, method: &str, body: &Value) -> (u16, Value) {
        self.rest("POST", &format!(":{method}"), Some(body))
    }

    fn rest(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let body = body.map(ToString::to_string).unwrap_or_default();
        let request = format!(
            "{method} /v1/projects/{}/databases/(default)/documents{path} HTTP/1.1\r\nHost: emulator\r\n\
             Authorization: Bearer owner\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            self.id,
            body.len()
        );
        let mut stream = TcpStream::connect(&self.host).expect("the emulator answers");
        stream.write_all(request.as_bytes()).expect("the emulator reads");
        answer(BufReader::new(stream)).expect("the emulator's answer")
    }
}

fn escaped(name: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    name.bytes().map(escape).collect()
}

fn answer(mut stream: BufReader<TcpStream>) -> std::io::Result<(u16, Value)> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_ascii_lowercase());
    }
    let status = head[0]
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    let length = head
        .iter()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = Vec::new();
    match length {
        Some(length) => {
            body.resize(length, 0);
            stream.read_exact(&mut body)?;
        }
        None => read_chunks(&mut stream, &mut body)?,
    }
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

fn read_chunks(stream: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
        if length == 0 {
            return Ok(());
        }
        let mut chunk = vec![0; length + 2];
        stream.read_exact(&mut chunk)?;
        body.extend_from_slice(&chunk[..length]);
    }
}

/// A task of a kind that is due since now.
pub(crate) fn task(id: &str, kind: &str) -> Task {
    keyed(id, kind, "")
}

/// The same, of a resource key.
pub(crate) fn keyed(id: &str, kind: &str, key: &str) -> Task {
    let now = Utc::now();
    let spec = TaskSpec {
        id: id.into(),
        kind: kind.into(),
        payload: Json::parse(r#"{"n":1}"#).expect("JSON"),
        resource_key: ResourceKey::new(key),
        created_at: now,
        recurrence: None,
        occurrence: None,
    };
    Task::new(spec, now)
}

/// So many tasks of a kind.
pub(crate) fn tasks(count: usize, kind: &str) -> Vec<Task> {
    (0..count)
        .map(|n| task(&format!("{kind}:{n:05}"), kind))
        .collect()
}

/// Claims what is due of a kind now.
pub(crate) async fn claim(store: &FirestoreStore, kind: &str, claims: usize) -> Vec<ClaimedTask> {
    let claimed = store.claim(request(kind, claims)).await.expect("claimed");
    claimed.claims.into_iter().flat_map(|claim| claim.tasks).collect()
}

pub(crate) fn request(kind: &str, claims: usize) -> ClaimRequest {
    let demand = Demand {
        kinds: vec![kind.to_owned()],
        claims,
        max_group: 1,
        lease: TimeDelta::seconds(60),
        generators_only: false,
    };
    ClaimRequest {
        owner: "test".into(),
        now: Utc::now(),
        demands: vec![demand],
    }
}

pub(crate) fn complete(held: &ClaimedTask) -> Finish {
    Finish {
        id: held.task.id().clone(),
        token: held.task.state.lease.as_ref().expect("it is claimed").token,
        verdict: Verdict::Complete(None),
        cleanup: false,
        spawn: Vec::new(),
        progress: None,
    }
}

/// Waits for a condition. Only a failure waits for long.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let seen = wait::until(LOOK, PATIENCE, async || condition().await.then_some(()));
    assert!(seen.await.is_some(), "in vain: {what}");
}

/// Waits for a ring.
pub(crate) async fn rung(subscription: &mut Subscription) -> Wakeup {
    let rung = tokio::time::timeout(PATIENCE, subscription.notified()).await;
    rung.expect("it rings")
}
