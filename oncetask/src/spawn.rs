//! The spawner of a worker's futures, and the tracker of those that still run.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A boxed future of a worker.
pub(crate) type WorkerFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The spawner of a worker's futures. A simulation wraps each of them in order to freeze or kill the worker at
/// any await point.
#[derive(Clone, Default)]
pub(crate) struct Spawner {
    wrap: Option<Arc<dyn Fn(WorkerFuture) -> WorkerFuture + Send + Sync>>,
}

impl Spawner {
    /// Returns a spawner that wraps each future with this function.
    pub(crate) fn wrapping(wrap: impl Fn(WorkerFuture) -> WorkerFuture + Send + Sync + 'static) -> Self {
        Self {
            wrap: Some(Arc::new(wrap)),
        }
    }

    /// Returns whether the worker is simulated. A simulated worker has no thread of its own.
    pub(crate) fn is_simulated(&self) -> bool {
        self.wrap.is_some()
    }

    /// Spawns a future on the current runtime.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        tokio::spawn(self.boxed(future))
    }

    /// Spawns a future into a set, which aborts it when the set is dropped.
    pub(crate) fn spawn_in(&self, set: &mut JoinSet<()>, future: impl Future<Output = ()> + Send + 'static) {
        set.spawn(self.boxed(future));
    }

    /// Boxes a future. Spawning moves a future nine times, and the future of a handler can take kilobytes.
    fn boxed(&self, future: impl Future<Output = ()> + Send + 'static) -> WorkerFuture {
        let future: WorkerFuture = Box::pin(future);
        match &self.wrap {
            None => future,
            Some(wrap) => wrap(future),
        }
    }
}

/// A count of running futures. A shutdown waits until it is zero.
#[derive(Debug)]
pub(crate) struct TaskTracker(watch::Sender<()>);

/// A guard that keeps a [`TaskTracker`] waiting until it is dropped.
#[derive(Debug)]
pub(crate) struct TrackGuard {
    /// The tracker counts its receivers. No value is ever sent.
    _receiver: watch::Receiver<()>,
}

impl TaskTracker {
    /// Returns a tracker of no futures.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// Returns a guard that counts as one running future.
    pub(crate) fn guard(&self) -> TrackGuard {
        TrackGuard {
            _receiver: self.0.subscribe(),
        }
    }

    /// Counts a future from now on, until it ends or is dropped.
    pub(crate) fn track<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let guard = self.guard();
        async move {
            let _guard = guard;
            future.await
        }
    }

    /// Waits until no guard is left.
    pub(crate) async fn finished(&self) {
        self.0.closed().await;
    }
}
