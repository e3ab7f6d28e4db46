//! The rate at which tasks are created.

use std::time::{Duration, Instant};

use oncetask::Client;

use super::Result;
use crate::options::Options;
use crate::report::{Line, ProcessUsage};
use crate::scratch_store::ScratchStore;
use crate::work::Noop;

/// The number of tasks that one call of `create_many` creates.
pub(super) const TASKS_PER_CALL: usize = 1000;

/// Measures one call per task, from 1 caller and from 100 concurrent callers.
pub(crate) async fn one_by_one(options: &Options) -> Result {
    let callers = options
        .concurrency
        .map_or_else(|| vec![1, 100], |callers| vec![callers]);
    for callers in callers {
        // A single caller waits for the disk once per task, so it creates fewer tasks.
        let tasks = if callers == 1 {
            options.tasks / 10
        } else {
            options.tasks
        };
        let store = ScratchStore::new(options)?;
        let client = store.client().await?;
        let before = ProcessUsage::of_this_process();
        let began = Instant::now();
        let times = create_from_callers(&client, callers, tasks).await?;
        let took = began.elapsed();
        let mut line = Line::new(&options.store, "create", times.len())
            .rate(times.len(), took)
            .percentiles(times)
            .process_usage(before, ProcessUsage::of_this_process());
        line.concurrency = Some(callers);
        line.print()?;
    }
    Ok(())
}

/// Creates the tasks from concurrent callers and returns the duration of each call.
async fn create_from_callers(client: &Client, callers: usize, tasks: usize) -> Result<Vec<Duration>> {
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

/// Measures calls that create [`TASKS_PER_CALL`] tasks each.
pub(crate) async fn in_bulk(options: &Options) -> Result {
    let store = ScratchStore::new(options)?;
    let client = store.client().await?;
    let before = ProcessUsage::of_this_process();
    let began = Instant::now();
    create_noops(&client, 0..options.tasks).await?;
    let took = began.elapsed();
    // The case as the caller named it, because it has two names.
    Line::new(&options.store, &options.case, options.tasks)
        .rate(options.tasks, took)
        .process_usage(before, ProcessUsage::of_this_process())
        .print()?;
    Ok(())
}

/// Creates [`Noop`] tasks with these numbers.
pub(crate) async fn create_noops(client: &Client, numbers: std::ops::Range<usize>) -> Result {
    let mut numbers = numbers.peekable();
    while numbers.peek().is_some() {
        let tasks = numbers.by_ref().take(TASKS_PER_CALL).map(Noop::new);
        for created in client.create_many(tasks).await? {
            created?;
        }
    }
    Ok(())
}
