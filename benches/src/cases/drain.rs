//! How fast tasks that wait are run.

use std::time::{Duration, Instant};

use oncetask::{Client, Filter, Status};

use super::Result;
use super::create::fill;
use crate::options::{Options, Place};
use crate::report::{Line, Usage};
use crate::work::worker;

pub(crate) async fn drain(options: &Options) -> Result {
    let concurrencies = options
        .concurrency
        .map_or_else(|| vec![1, 10, 100], |one| vec![one]);
    for concurrency in concurrencies {
        let place = Place::new(options)?;
        let client = place.client().await?;
        fill(&client, 0..options.tasks, 1000).await?;
        let before = Usage::of_this_process();
        let took = run_all(&client, concurrency, options.tasks).await?;
        let mut line = Line::of(options, "drain", options.tasks).rate(options.tasks, took);
        line = line.used(before, Usage::of_this_process());
        line.concurrency = Some(concurrency);
        line.print()?;
    }
    Ok(())
}

/// Runs so many tasks; returns how long it took until the last completion was stored.
pub(crate) async fn run_all(client: &Client, concurrency: usize, tasks: usize) -> Result<Duration> {
    let done = client.count(Filter::new().status(Status::Completed)).await?;
    let began = Instant::now();
    let (worker, count) = worker(client, concurrency, tasks).await?;
    count.enough().await;
    worker.shutdown().await;
    let took = began.elapsed();
    let completed = client.count(Filter::new().status(Status::Completed)).await? - done;
    if completed != tasks as u64 {
        return Err(format!("{completed} of {tasks} tasks completed").into());
    }
    Ok(took)
}
