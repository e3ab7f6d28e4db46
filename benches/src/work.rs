//! The work that is measured: none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use oncetask::{Client, Handler, HandlerConfig, OnceTask, Worker};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// A task of the usual size whose handler does nothing.
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

/// Counts runs, and tells when there were enough.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<(AtomicUsize, Notify)>);

impl Count {
    fn one_more(&self, enough: usize) {
        if self.0.0.fetch_add(1, Ordering::Relaxed) + 1 == enough {
            self.0.1.notify_one();
        }
    }

    pub(crate) async fn enough(&self) {
        self.0.1.notified().await;
    }
}

/// Starts a worker that runs no-ops, and tells when it has run so many.
pub(crate) async fn worker(
    client: &Client,
    concurrency: usize,
    tasks: usize,
) -> Result<(Worker, Count), Box<dyn std::error::Error>> {
    let count = Count::default();
    let counting = count.clone();
    let handler = Handler::new(move |_: Noop| {
        let count = counting.clone();
        async move { count.one_more(tasks) }
    });
    let config = HandlerConfig::DEFAULT.concurrency(u32::try_from(concurrency)?);
    let worker = oncetask::builder()
        .client(client.clone())
        .only(&[])
        .handler(handler.config(config))
        .start()
        .await?;
    Ok((worker, count))
}
