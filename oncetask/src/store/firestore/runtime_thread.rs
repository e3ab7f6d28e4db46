//! The thread on which the connection runs.
//!
//! The channel, the refresh of credentials, the listeners and the store's operations run on a runtime of the
//! store's own, on one thread. Therefore a handler that blocks the application's runtime delays no renewal of a
//! lease, and the store can be called from any runtime or without one.

use std::fmt;
use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The store's thread. It ends when this is dropped.
pub(super) struct RuntimeThread {
    runtime: Handle,
    _stop: oneshot::Sender<()>,
}

/// An operation that did not end: it panicked, or the thread has ended.
#[derive(Debug)]
pub(super) struct ThreadError(String);

impl RuntimeThread {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new()
            .name("oncetask-firestore".into())
            .spawn(move || {
                // Nothing is sent: an error means that the sender was dropped, which ends the thread.
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

    /// Runs an operation to its end, even if the returned future is dropped.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, ThreadError> {
        let running = self.runtime.spawn(operation);
        running.await.map_err(|error| ThreadError(error.to_string()))
    }
}

impl fmt::Display for ThreadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the store's own thread failed, which is a bug in oncetask: {}",
            self.0
        )
    }
}

impl fmt::Debug for RuntimeThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeThread").finish_non_exhaustive()
    }
}
