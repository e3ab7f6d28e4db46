//! The thread on which the connection lives.
//!
//! Everything that talks to Firestore runs on a runtime of the store's own, on one thread: the channel, the
//! refresh of credentials, the listeners, and the store's operations. So a handler that blocks the
//! application's runtime starves no lease of its extension, and the store may be called from any runtime or
//! from none.

use std::fmt;
use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Owns the thread, which ends when this is dropped.
pub(super) struct Link {
    runtime: Handle,
    _stop: oneshot::Sender<()>,
}

/// The operation panicked, or the thread is gone.
#[derive(Debug)]
pub(super) struct Broken(String);

impl Link {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new()
            .name("oncetask-firestore".into())
            .spawn(move || {
                // The sender is dropped, never used: either way it is over.
                let _ = runtime.block_on(stopped);
            })?;
        Ok(Self {
            runtime: handle,
            _stop: stop,
        })
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Runs an operation to its end, also when the returned future is dropped.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Broken> {
        let running = self.runtime.spawn(operation);
        running.await.map_err(|error| Broken(error.to_string()))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the store's own thread failed, which is a bug in oncetask: {}",
            self.0
        )
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}
