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
        tokio::spawn(self.driven(future))
    }

    /// As [`spawn`](Self::spawn), aborted when the set is dropped.
    pub(super) fn spawn_in(&self, set: &mut JoinSet<()>, future: impl Future<Output = ()> + Send + 'static) {
        set.spawn(self.driven(future));
    }

    /// In a box, because whoever spawns a future moves it nine times, and those of a handler have kilobytes.
    fn driven(&self, future: impl Future<Output = ()> + Send + 'static) -> Driven {
        let future: Driven = Box::pin(future);
        match &self.0 {
            None => future,
            Some(wrap) => wrap(future),
        }
    }
}

/// What is under way, for whoever waits for its end.
#[derive(Debug)]
pub(super) struct UnderWay(watch::Sender<()>);

/// Something that is under way until this is dropped: a receiver to which nothing is ever sent.
#[derive(Debug)]
pub(super) struct OnItsWay {
    _receiver: watch::Receiver<()>,
}

impl UnderWay {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// Something new.
    pub(super) fn one_more(&self) -> OnItsWay {
        OnItsWay {
            _receiver: self.0.subscribe(),
        }
    }

    /// The future, which is under way from now on, until it ends or is dropped.
    pub(super) fn track<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let under_way = self.one_more();
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
