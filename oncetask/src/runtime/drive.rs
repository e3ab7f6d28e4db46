//! How the futures of a worker are run: as they are, or each of them inside another one.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A future of a worker.
pub(super) type Driven = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Spawns a worker's futures. A simulation has each of them wrapped, so that it can freeze a worker and kill it
/// at any await.
#[derive(Clone, Default)]
pub(super) struct Drive(Option<Arc<dyn Fn(Driven) -> Driven + Send + Sync>>);

impl Drive {
    pub(super) fn inside(wrap: impl Fn(Driven) -> Driven + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(wrap)))
    }

    /// Whether the worker is simulated: it then has no thread of its own.
    pub(super) fn is_simulated(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        match &self.0 {
            None => tokio::spawn(future),
            Some(wrap) => tokio::spawn(wrap(Box::pin(future))),
        }
    }

    /// As [`spawn`](Self::spawn), aborted when the set is dropped.
    pub(super) fn spawn_in(&self, set: &mut JoinSet<()>, future: impl Future<Output = ()> + Send + 'static) {
        match &self.0 {
            None => set.spawn(future),
            Some(wrap) => set.spawn(wrap(Box::pin(future))),
        };
    }
}

/// Futures that are under way, for whoever waits for their ends. Each has a receiver to which nothing is ever sent.
#[derive(Debug)]
pub(super) struct UnderWay(watch::Sender<()>);

impl UnderWay {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// The future, which is under way from now on, until it ends or is dropped.
    pub(super) fn track<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let under_way = self.0.subscribe();
        async move {
            let _under_way = under_way;
            future.await
        }
    }

    /// Returns as soon as none is under way.
    pub(super) async fn ended(&self) {
        self.0.closed().await;
    }
}
