//! The connection, and another one when it has gone deaf.
//!
//! A connection whose other end is out of reach without a word, because a router forgot it or a cable was
//! pulled, is found by the client's own keep-alive after two minutes, in which every request on it waits in vain
//! and every lease ends. So whoever asks notes it; when nothing at all was heard for as long as one request
//! may take, the next one opens a connection of its own, for all that follow.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::proto::pb;

/// The generated client.
pub(super) type Client = pb::firestore_client::FirestoreClient<::firestore::gcloud_sdk::GoogleAuthMiddleware>;

type Opening = Pin<Box<dyn Future<Output = Result<Client, String>> + Send>>;

/// How a connection is opened.
pub(super) type Open = Box<dyn Fn() -> Opening + Send + Sync>;

pub(super) struct Connection {
    open: Open,
    /// How long it may be silent while somebody waits.
    silence: Duration,
    state: Mutex<State>,
}

struct State {
    client: Client,
    /// Since when somebody waits and nothing is heard.
    waiting: Option<Instant>,
    /// How many connections there were before.
    number: u64,
}

impl Connection {
    pub(super) fn new(client: Client, open: Open, silence: Duration) -> Self {
        let state = State {
            client,
            waiting: None,
            number: 0,
        };
        Self {
            open,
            silence,
            state: Mutex::new(state),
        }
    }

    /// Something is to be asked: the client to ask, of a new connection when the old one is deaf.
    pub(super) async fn client(&self) -> Client {
        if self.takes_its_renewal() {
            tracing::warn!(
                silence = ?self.silence,
                "nothing was heard from Firestore; a new connection is opened"
            );
            match (self.open)().await {
                Ok(client) => {
                    let mut state = self.state();
                    state.client = client;
                    state.number += 1;
                }
                Err(error) => tracing::warn!(%error, "no new connection to Firestore"),
            }
        }
        let mut state = self.state();
        state.waiting.get_or_insert_with(Instant::now);
        state.client.clone()
    }

    /// Whether the connection is to be replaced, and by whom: others are not told, and use what there is.
    fn takes_its_renewal(&self) -> bool {
        let mut state = self.state();
        let is_deaf = state.waiting.is_some_and(|since| since.elapsed() >= self.silence);
        if is_deaf {
            // A new one has as long to be heard.
            state.waiting = None;
        }
        is_deaf
    }

    /// It answered.
    pub(super) fn is_heard(&self) {
        self.state().waiting = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("number", &self.state().number)
            .finish_non_exhaustive()
    }
}
