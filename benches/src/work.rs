//! The task that most cases run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use oncetask::{Client, Handler, HandlerConfig, OnceTask, Worker};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// A task with a payload of typical size, whose handler does nothing.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("noop:{number}")]
pub(crate) struct Noop {
    pub(crate) number: usize,
    text: String,
}

impl Noop {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            number,
            text: "a payload of about a hundred bytes, as most have: an address, a subject".to_owned(),
        }
    }
}

/// A counter of handler calls. It notifies one waiting caller when it reaches its target.
#[derive(Clone, Default)]
pub(crate) struct RunCounter(Arc<(AtomicUsize, Notify)>);

impl RunCounter {
    fn increment(&self, target: usize) {
        let (runs, reached) = &*self.0;
        if runs.fetch_add(1, Ordering::Relaxed) + 1 == target {
            reached.notify_one();
        }
    }

    /// Waits until the counter reaches its target.
    pub(crate) async fn reached(&self) {
        self.0.1.notified().await;
    }
}

/// Starts a worker for [`Noop`] tasks. The returned counter reaches its target after `tasks` handler calls.
pub(crate) async fn start_worker(
    client: &Client,
    concurrency: usize,
    tasks: usize,
) -> Result<(Worker, RunCounter), Box<dyn std::error::Error>> {
    let counter = RunCounter::default();
    let handler_counter = counter.clone();
    let handler = Handler::new(move |_: Noop| {
        let counter = handler_counter.clone();
        async move { counter.increment(tasks) }
    });
    let config = HandlerConfig::DEFAULT.concurrency(u32::try_from(concurrency)?);
    let worker = oncetask::builder()
        .client(client.clone())
        .only(&[])
        .handler(handler.config(config))
        .start()
        .await?;
    Ok((worker, counter))
}
