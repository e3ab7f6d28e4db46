//! How fast tasks are created.

use std::time::{Duration, Instant};

use oncetask::Client;

use super::Result;
use crate::options::{Options, Place};
use crate::report::{Line, Usage};
use crate::work::Noop;

/// Each task in a call of its own, from 1 caller and from 100.
pub(crate) async fn one_by_one(options: &Options) -> Result {
    let callers = options
        .concurrency
        .map_or_else(|| vec![1, 100], |callers| vec![callers]);
    for callers in callers {
        // One caller waits for the disk each time.
        let tasks = if callers == 1 {
            options.tasks / 10
        } else {
            options.tasks
        };
        let place = Place::new(options)?;
        let client = place.client().await?;
        let before = Usage::of_this_process();
        let began = Instant::now();
        let times = from_callers(&client, callers, tasks).await?;
        let took = began.elapsed();
        let mut line = Line::of(&options.store, "create", times.len())
            .rate(times.len(), took)
            .times(times)
            .used(before, Usage::of_this_process());
        line.concurrency = Some(callers);
        line.print()?;
    }
    Ok(())
}

async fn from_callers(client: &Client, callers: usize, tasks: usize) -> Result<Vec<Duration>> {
    let calls = (0..callers).map(|caller| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut times = Vec::new();
            for number in (caller..tasks).step_by(callers) {
                let began = Instant::now();
                client.create(Noop::new(number)).await?;
                times.push(began.elapsed());
            }
            Ok::<_, oncetask::Error>(times)
        })
    });
    let mut times = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        times.extend(call.await??);
    }
    Ok(times)
}

/// In calls of a thousand.
pub(crate) async fn all(options: &Options) -> Result {
    const CALL: usize = 1000;
    let place = Place::new(options)?;
    let client = place.client().await?;
    let before = Usage::of_this_process();
    let began = Instant::now();
    fill(&client, 0..options.tasks, CALL).await?;
    let took = began.elapsed();
    let line = Line::of(&options.store, "create_many", options.tasks).rate(options.tasks, took);
    line.used(before, Usage::of_this_process()).print()?;
    Ok(())
}

/// Creates no-ops with these numbers.
pub(crate) async fn fill(client: &Client, numbers: std::ops::Range<usize>, call: usize) -> Result {
    let mut numbers = numbers.peekable();
    while numbers.peek().is_some() {
        for created in client
            .create_many(numbers.by_ref().take(call).map(Noop::new))
            .await?
        {
            created?;
        }
    }
    Ok(())
}
