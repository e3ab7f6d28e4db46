//! The options with which a store is opened.

use std::time::Duration;

use super::retry::RequestDeadlines;
use super::settings::{KeyClaims, Settings};

/// The options with which a database is opened. Made by
/// [`FirestoreStore::options`](crate::store::FirestoreStore::options).
///
/// ```no_run
/// use std::time::Duration;
/// use oncetask::Client;
/// use oncetask::store::FirestoreStore;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
/// let store = FirestoreStore::options("my-project")
///     .poll_every(Duration::from_secs(300))
///     .open("STAGING")
///     .await?;
/// let client = Client::new(store);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "call `.open()`"]
pub struct FirestoreOptions {
    pub(super) project: String,
    pub(super) database: String,
    pub(super) emulator: Option<String>,
    pub(super) deadlines: RequestDeadlines,
    pub(super) settings: Settings,
}

impl FirestoreOptions {
    pub(super) fn new(project: String) -> Self {
        Self {
            project,
            database: "(default)".to_owned(),
            emulator: None,
            deadlines: RequestDeadlines {
                attempt: Duration::from_secs(10),
                request: Duration::from_secs(30),
            },
            settings: Settings {
                collection: "onceTasks".to_owned(),
                shared_ids: false,
                listen: true,
                poll_every: Duration::from_mins(1),
                key_claims: KeyClaims::Normal,
            },
        }
    }

    /// Sets the database. The default is `(default)`.
    pub fn database(mut self, database: impl Into<String>) -> Self {
        self.database = database.into();
        self
    }

    /// Sets the collection. The default is `onceTasks`, the collection of the Go library.
    pub fn collection(mut self, collection: impl Into<String>) -> Self {
        self.settings.collection = collection.into();
        self
    }

    /// Sets the address of an emulator, for example `127.0.0.1:8080`. An emulator needs no credentials. The default
    /// is the value of the environment variable `FIRESTORE_EMULATOR_HOST`, if it is set.
    pub fn emulator(mut self, address: impl Into<String>) -> Self {
        self.emulator = Some(address.into());
        self
    }

    /// Sets whether documents are named as the Go library names them: by the task's id in every environment, encoded
    /// only where Firestore forbids it. This is for systems in which Go and Rust create tasks with the same ids. All
    /// environments then share the ids, and a task whose id belongs to another environment is refused.
    ///
    /// The default is `false`: the name of a document in an environment other than `DEFAULT` is `ENV~id`, and `/`,
    /// `%` and `~` in an id are percent-encoded. All programs must use the same setting for a database.
    pub fn shared_ids(mut self, shared: bool) -> Self {
        self.settings.shared_ids = shared;
        self
    }

    /// Sets whether to listen for the changes of other processes. The default is `true`. Without listening, a
    /// worker finds a new task when it [polls](Self::poll_every), and a cancellation when it extends the lease.
    pub fn listen(mut self, listen: bool) -> Self {
        self.settings.listen = listen;
        self
    }

    /// Sets the interval between two polls of the queue, which find the changes that the listener missed. The
    /// default is one minute, the minimum ten milliseconds. A poll costs one read for each 30 kinds, and two or
    /// three more if a task is due before the next poll.
    pub fn poll_every(mut self, interval: Duration) -> Self {
        self.settings.poll_every = interval.max(Duration::from_millis(10));
        self
    }

    /// Sets the time limits of one attempt of a request, and of the request with all its retries, after which an
    /// operation fails. The defaults are 10 and 30 seconds.
    pub fn timeouts(mut self, attempt: Duration, request: Duration) -> Self {
        self.deadlines = RequestDeadlines { attempt, request };
        self
    }

    #[doc(hidden)]
    pub fn key_claims(mut self, how: KeyClaims) -> Self {
        self.settings.key_claims = how;
        self
    }
}
