//! How a store is opened.

use std::time::Duration;

use super::retry::Deadlines;
use super::settings::{KeyClaims, Settings};

/// Which database, and how the store treats it. Made by [`FirestoreStore::options`](crate::store::FirestoreStore::options).
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
    pub(super) deadlines: Deadlines,
    pub(super) settings: Settings,
}

impl FirestoreOptions {
    pub(super) fn new(project: String) -> Self {
        Self {
            project,
            database: "(default)".to_owned(),
            emulator: None,
            deadlines: Deadlines {
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

    /// The database; `(default)` unless it is set.
    pub fn database(mut self, database: impl Into<String>) -> Self {
        self.database = database.into();
        self
    }

    /// The collection; `onceTasks`, which is the Go library's, unless it is set.
    pub fn collection(mut self, collection: impl Into<String>) -> Self {
        self.settings.collection = collection.into();
        self
    }

    /// The address of an emulator, as in `127.0.0.1:8080`: no credentials are looked for then. Unless it is
    /// set, that of `FIRESTORE_EMULATOR_HOST` if that is set.
    pub fn emulator(mut self, address: impl Into<String>) -> Self {
        self.emulator = Some(address.into());
        self
    }

    /// Whether documents are named as the Go library names them: by the task's id as it is, in every
    /// environment. For fleets where Go and Rust create tasks under the same ids. Two environments then share
    /// the ids: a task whose id belongs to another environment is refused.
    ///
    /// Off unless it is set: a document of an environment other than `DEFAULT` is named `ENV~id`, and `/`, `%`
    /// and `~` in an id are percent-encoded. A database is opened in the same way by everybody.
    pub fn shared_ids(mut self, shared: bool) -> Self {
        self.settings.shared_ids = shared;
        self
    }

    /// Whether to listen for what other processes do; on unless it is set. Off, a worker sees it when it
    /// [polls](Self::poll_every), and a cancellation when it extends the lease.
    pub fn listen(mut self, listen: bool) -> Self {
        self.settings.listen = listen;
        self
    }

    /// How often a worker looks for itself, should the listener have missed something; a minute unless it is
    /// set. Each look costs one read for each 30 kinds, and two or three more when something is due before the next one.
    pub fn poll_every(mut self, interval: Duration) -> Self {
        self.settings.poll_every = interval.max(Duration::from_millis(10));
        self
    }

    /// How long one request may take, and how long it may take with all of its repetitions, until an
    /// operation fails; ten seconds and thirty unless it is set.
    pub fn timeouts(mut self, attempt: Duration, request: Duration) -> Self {
        self.deadlines = Deadlines { attempt, request };
        self
    }

    #[doc(hidden)]
    pub fn key_claims(mut self, how: KeyClaims) -> Self {
        self.settings.key_claims = how;
        self
    }
}
