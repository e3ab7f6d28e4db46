//! The Firestore emulator of a test program, and a project in it for each test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};

use oncetask::store::{FirestoreOptions, FirestoreStore, Store, Subscription, Wakeup};
use serde_json::{Value, json};
use tokio::runtime;

use super::wait::within;
use crate::conformance::{Harness, Opening};
use crate::emulator::Emulator;

/// The emulator of this test program, started when it is first needed.
static EMULATOR: Mutex<Option<Emulator>> = Mutex::new(None);

/// Returns the address of the emulator, and starts the emulator if it is not running.
///
/// # Panics
///
/// Panics if the emulator cannot be started.
pub fn emulator() -> String {
    let mut emulator = EMULATOR.lock().unwrap_or_else(PoisonError::into_inner);
    let emulator = emulator.get_or_insert_with(|| Emulator::find().expect("the emulator starts"));
    emulator.host().to_owned()
}

/// Stops the emulator if this test program started it.
pub fn stop_emulator() {
    drop(EMULATOR.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// Runs a test on a runtime of its own.
///
/// # Panics
///
/// Panics if the runtime cannot be started, or if the test panics.
pub fn block_on(test: impl Future<Output = ()>) {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("the runtime starts").block_on(test);
}

/// Waits for the next wake-up of a subscription.
///
/// # Panics
///
/// Panics if there is none in time.
pub async fn notified(subscription: &mut Subscription) -> Wakeup {
    within(subscription.notified()).await
}

/// A project of one test. Projects are not shared because the time of a query in the emulator grows with the
/// number of documents in the collection.
#[derive(Clone, Debug)]
pub struct Project {
    /// The project's id.
    pub id: String,
    /// The address of the emulator, or of a proxy in front of it.
    pub host: String,
}

impl Default for Project {
    fn default() -> Self {
        Self::new()
    }
}

impl Project {
    /// Returns a new project in the emulator of this test program.
    #[must_use]
    pub fn new() -> Self {
        Self::on(emulator())
    }

    /// Returns a new project at this address.
    #[must_use]
    pub fn on(host: impl Into<String>) -> Self {
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
        Self {
            id: format!("test-{random:016x}"),
            host: host.into(),
        }
    }

    /// Opens a store on the environment `DEFAULT`.
    ///
    /// # Panics
    ///
    /// Panics if the store cannot be opened.
    pub async fn connect(&self) -> FirestoreStore {
        let store = self.options().open("DEFAULT").await;
        store.expect("the emulator answers")
    }

    /// Returns the options of a store in this project.
    pub fn options(&self) -> FirestoreOptions {
        FirestoreStore::options(&self.id).emulator(&self.host)
    }
}

impl Harness for Project {
    fn open<'a>(&'a self, env: &'a str) -> Opening<'a> {
        Box::pin(async move {
            let store = self.options().open(env).await;
            Arc::new(store.expect("the emulator answers")) as Arc<dyn Store>
        })
    }
}

/// Requests of the emulator's REST interface, which do not pass through the library.
impl Project {
    /// Returns a document of the collection in its REST form.
    #[must_use]
    pub fn document(&self, name: &str) -> Option<Value> {
        let path = format!("/onceTasks/{}", percent_encoded(name));
        let (status, document) = self.rest("GET", &path, None);
        (status == 200).then_some(document)
    }

    /// Writes fields of a document, as another program would: all of them, or only those in `mask`.
    ///
    /// # Panics
    ///
    /// Panics if the emulator refuses the write.
    pub fn put(&self, name: &str, fields: &Value, mask: &[&str]) {
        let mask: Vec<_> = mask
            .iter()
            .map(|field| format!("updateMask.fieldPaths={field}"))
            .collect();
        let path = format!("/onceTasks/{}?{}", percent_encoded(name), mask.join("&"));
        let (status, response) = self.rest("PATCH", &path, Some(&json!({ "fields": fields })));
        assert_eq!(status, 200, "{response}");
    }

    /// Calls a method of the database's documents. Returns the HTTP status and the body.
    #[must_use]
    pub fn call(&self, method: &str, body: &Value) -> (u16, Value) {
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
        let mut stream = TcpStream::connect(&self.host).expect("the emulator accepts connections");
        stream
            .write_all(request.as_bytes())
            .expect("the emulator reads the request");
        response(BufReader::new(stream)).expect("the emulator responds")
    }
}

fn percent_encoded(name: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    name.bytes().map(encode).collect()
}

/// Reads an HTTP response. Returns its status and its body.
fn response(mut stream: BufReader<TcpStream>) -> std::io::Result<(u16, Value)> {
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
