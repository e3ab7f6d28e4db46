//! The connection, and its replacement when it stops answering.
//!
//! A router that forgets a connection, or a pulled cable, causes no error. The client's own keep-alive detects such
//! a connection after two minutes. Until then every request on it waits in vain, and leases expire. Therefore each
//! request records that it waits. If nothing was received for the time limit of one attempt, the next request opens
//! a new connection, which all later requests use.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::proto::pb;

/// The generated client.
pub(super) type RawClient =
    pb::firestore_client::FirestoreClient<::firestore::gcloud_sdk::GoogleAuthMiddleware>;

type Opening = Pin<Box<dyn Future<Output = Result<RawClient, String>> + Send>>;

/// A function that opens a connection.
pub(super) type Open = Box<dyn Fn() -> Opening + Send + Sync>;

pub(super) struct Connection {
    open: Open,
    /// The duration of silence, while a request waits, after which the connection is replaced.
    max_silence: Duration,
    state: Mutex<ConnectionState>,
}

struct ConnectionState {
    client: RawClient,
    /// The instant since which a request waits and nothing was received.
    waiting_since: Option<Instant>,
    /// The number of earlier connections.
    replaced: u64,
}

impl Connection {
    pub(super) fn new(client: RawClient, open: Open, max_silence: Duration) -> Self {
        let state = ConnectionState {
            client,
            waiting_since: None,
            replaced: 0,
        };
        Self {
            open,
            max_silence,
            state: Mutex::new(state),
        }
    }

    /// Returns the client for a request, and records that the request waits. Opens a new connection first if the
    /// current one is dead.
    pub(super) async fn client(&self) -> RawClient {
        if self.begins_replacement() {
            tracing::warn!(
                silence = ?self.max_silence,
                "Firestore did not answer; opening a new connection"
            );
            match (self.open)().await {
                Ok(client) => {
                    let mut state = self.state();
                    state.client = client;
                    state.replaced += 1;
                }
                Err(error) => tracing::warn!(%error, "no new connection to Firestore could be opened"),
            }
        }
        let mut state = self.state();
        state.waiting_since.get_or_insert_with(Instant::now);
        state.client.clone()
    }

    /// Returns whether the caller must replace the connection. This is true for only one caller; the others use the
    /// old connection until it is replaced.
    fn begins_replacement(&self) -> bool {
        let mut state = self.state();
        let is_dead = state
            .waiting_since
            .is_some_and(|since| since.elapsed() >= self.max_silence);
        if is_dead {
            // The new connection gets the same time to answer.
            state.waiting_since = None;
        }
        is_dead
    }

    /// Records that something was received.
    pub(super) fn received(&self) {
        self.state().waiting_since = None;
    }

    fn state(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("replaced", &self.state().replaced)
            .finish_non_exhaustive()
    }
}
