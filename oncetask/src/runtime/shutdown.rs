//! The end of a worker: its graceful shutdown, and the signals that trigger it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::engine::Engine;
use crate::error::Error;

/// The maximum time for releasing claims, and for storing verdicts, after the grace.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(10);

/// A worker that runs in the background. [`WorkerBuilder::start`](crate::WorkerBuilder::start) returns it.
///
/// Dropping it stops the worker without grace.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oncetask::Error> {
/// use oncetask::{Client, Handler, OnceTask};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, OnceTask)]
/// #[id("greet:{name}")]
/// struct Greet { name: String }
///
/// let client = Client::in_memory();
/// let worker = oncetask::builder()
///     .only(&[])
///     .handler(Handler::new(|task: Greet| async move { println!("hello, {}", task.name) }))
///     .client(client.clone())
///     .start()
///     .await?;
///
/// let greeting = client.create(Greet { name: "Ada".into() }).await?;
/// client.wait(greeting.id()).await?;
/// worker.shutdown().await;
/// # Ok(()) }
/// ```
#[must_use = "dropping it stops the worker"]
pub struct Worker {
    pub(super) engine: Arc<Engine>,
    pub(super) dispatcher: JoinHandle<()>,
    pub(super) grace: Duration,
}

impl Worker {
    /// Shuts down gracefully: stops claiming, lets handlers end within the grace, then drops the rest and
    /// releases their claims. Returns when everything is stored.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the worker without grace.
    pub async fn shutdown(mut self) {
        self.engine.draining.set();
        tracing::info!(grace = ?self.grace, "shutting down: no more claims, handlers may end");
        if tokio::time::timeout(self.grace, &mut self.dispatcher)
            .await
            .is_err()
        {
            tracing::warn!(
                "the grace has ended: dropping the handlers that still run and releasing their claims"
            );
            self.engine.releasing.set();
            // Code that never awaits cannot be dropped. It must not keep the program from ending.
            let _ = tokio::time::timeout(RELEASE_TIMEOUT, &mut self.dispatcher).await;
        }
        if tokio::time::timeout(RELEASE_TIMEOUT, self.engine.completer.drained())
            .await
            .is_err()
        {
            tracing::error!(
                "some outcomes could not be stored, because the store is unavailable; these tasks run again when their leases expire"
            );
        }
        tracing::info!("worker stopped");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The calls own the engine. Until the last of them has ended, leases are extended and handlers
        // stopped in time.
        self.engine.draining.set();
        self.engine.releasing.set();
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
        () = signals.next() => tracing::warn!("second signal: stopping at once"),
    }
}

/// SIGINT and SIGTERM; Ctrl-C on a platform without them.
pub(super) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Starts to listen for the signals.
    #[cfg(unix)]
    pub(super) fn listen() -> Result<Self, Error> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).map_err(|error| cannot_listen(&error));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal.
    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Starts to listen for the signals.
    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "it can fail on Unix")]
    pub(super) fn listen() -> Result<Self, Error> {
        Ok(Self {})
    }

    /// Waits for the next signal.
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
