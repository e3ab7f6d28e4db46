//! The end of a worker.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::Engine;
use crate::error::Error;

/// How long the claims of a worker whose grace is over may take to be given back.
const GIVE_BACK: Duration = Duration::from_secs(10);

/// A worker that runs in the background: what [`WorkerBuilder::start`](crate::WorkerBuilder::start) returns. Dropped, it
/// stops without grace.
#[must_use = "dropped, the worker stops"]
pub struct Worker {
    pub(super) engine: Arc<Engine>,
    pub(super) dispatcher: JoinHandle<()>,
    pub(super) grace: Duration,
}

impl Worker {
    /// Stops claiming, lets handlers end within the grace, gives back what has not ended by then, and
    /// returns when everything is stored.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the worker without grace.
    pub async fn shutdown(mut self) {
        self.engine.draining.set();
        tracing::info!(grace = ?self.grace, "stopping: no more claims, handlers may end");
        if tokio::time::timeout(self.grace, &mut self.dispatcher)
            .await
            .is_err()
        {
            tracing::warn!("the grace is over: what still runs is dropped and its claims given back");
            self.engine.giving_back.set();
            // Code that never awaits cannot be dropped, and must not keep the program from ending.
            let _ = tokio::time::timeout(GIVE_BACK, &mut self.dispatcher).await;
        }
        if tokio::time::timeout(GIVE_BACK, self.engine.completer.drained())
            .await
            .is_err()
        {
            tracing::error!("the store is away: what could not be stored runs again when its leases end");
        }
        tracing::info!("stopped");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The engine goes when the last call has: until then leases are kept, and handlers stopped in time.
        self.engine.draining.set();
        self.engine.giving_back.set();
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("owner", &self.engine.owner)
            .finish_non_exhaustive()
    }
}

/// Runs a worker until the first signal, and its shutdown until the second.
pub(super) async fn until_signalled(worker: Worker, mut signals: Signals) {
    signals.next().await;
    tokio::select! {
        () = worker.shutdown() => {}
        () = signals.next() => tracing::warn!("a second signal: ending at once"),
    }
}

/// SIGINT and SIGTERM; where there are none, Ctrl-C.
pub(super) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    pub(super) fn listen() -> Result<Self, Error> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).map_err(|error| cannot_listen(&error));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
    pub(super) fn listen() -> Result<Self, Error> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(error = %cannot_listen(&error));
            std::future::pending::<()>().await;
        }
    }
}

fn cannot_listen(error: &std::io::Error) -> Error {
    Error::Config {
        reason: format!("this process cannot listen for signals: {error}"),
    }
}
