//! The same cases as in oncetask's benches. A measurement is cut off at a time limit, because some peers
//! would need hours.

use std::time::{Duration, Instant};

use bench_report::{Line, ProcessUsage};

use crate::work::{Job, all_ran, expect_runs, record_latencies};
use crate::{CUT_OFF_NOTE, Options, Peer, Result};

/// The number of tasks that one bulk call creates.
const TASKS_PER_CALL: usize = 1000;

/// Runs the case that the options name.
pub(crate) async fn run<P: Peer>(options: &Options) -> Result {
    match options.case.as_str() {
        "create" => create::<P>(options).await,
        "create_all" => create_all::<P>(options).await,
        "drain" => drain::<P>(options).await,
        "latency" => latency::<P>(options).await,
        other => {
            Err(format!("unknown case `{other}`; the cases are create, create_all, drain and latency").into())
        }
    }
}

/// Measures one call per task, from 1 caller and from 100 concurrent callers.
async fn create<P: Peer>(options: &Options) -> Result {
    for callers in options.concurrency.map_or_else(|| vec![1, 100], |one| vec![one]) {
        // A single caller waits for the disk once per task, so it creates fewer tasks.
        let tasks = if callers == 1 {
            options.tasks / 10
        } else {
            options.tasks
        };
        let peer = P::open(options).await?;
        let (before, began) = (ProcessUsage::of_this_process(), Instant::now());
        let times = create_from_callers(&peer, callers, tasks, options.limit).await?;
        let took = began.elapsed();
        let mut line = line::<P>(options, tasks).rate(times.len(), took);
        line = note_cut_off(line, times.len(), tasks).percentiles(times);
        line.concurrency = Some(callers);
        line.process_usage(before, ProcessUsage::of_this_process())
            .print()?;
    }
    Ok(())
}

/// Creates the tasks from concurrent callers until the time limit. Returns the duration of each call.
async fn create_from_callers<P: Peer>(
    peer: &P,
    callers: usize,
    tasks: usize,
    limit: Duration,
) -> Result<Vec<Duration>> {
    let end = Instant::now() + limit;
    let calls = (0..callers).map(|caller| {
        let peer = peer.clone();
        tokio::spawn(async move {
            let mut times = Vec::new();
            for number in (caller..tasks).step_by(callers) {
                let began = Instant::now();
                if began > end {
                    break;
                }
                peer.create(Job::new(number)).await?;
                times.push(began.elapsed());
            }
            Result::Ok(times)
        })
    });
    let mut times = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        times.extend(call.await??);
    }
    Ok(times)
}

/// Measures calls that create [`TASKS_PER_CALL`] tasks each.
async fn create_all<P: Peer>(options: &Options) -> Result {
    let peer = P::open(options).await?;
    let (before, began) = (ProcessUsage::of_this_process(), Instant::now());
    create_jobs(&peer, options.tasks).await?;
    let took = began.elapsed();
    let line = line::<P>(options, options.tasks).rate(options.tasks, took);
    line.process_usage(before, ProcessUsage::of_this_process())
        .print()?;
    Ok(())
}

async fn create_jobs<P: Peer>(peer: &P, tasks: usize) -> Result {
    for first in (0..tasks).step_by(TASKS_PER_CALL) {
        let jobs = (first..tasks.min(first + TASKS_PER_CALL)).map(Job::new).collect();
        peer.create_all(jobs).await?;
    }
    Ok(())
}

/// Measures the run of waiting tasks, from the start of the worker until the last completion is stored.
async fn drain<P: Peer>(options: &Options) -> Result {
    let tasks = options.tasks;
    for concurrency in options
        .concurrency
        .map_or_else(|| vec![1, 10, 100], |one| vec![one])
    {
        let peer = P::open(options).await?;
        create_jobs(&peer, tasks).await?;
        expect_runs(tasks);
        let (before, began) = (ProcessUsage::of_this_process(), Instant::now());
        let worker = peer.start(concurrency).await?;
        // After a timeout, the unfinished tasks are counted below.
        let _ = tokio::time::timeout(options.limit, all_ran()).await;
        let mut took = began.elapsed();
        let mut left = peer.unfinished().await?;
        while left > 0 && began.elapsed() < options.limit {
            tokio::time::sleep(Duration::from_millis(2)).await;
            took = began.elapsed();
            left = peer.unfinished().await?;
        }
        let line = line::<P>(options, tasks)
            .rate(tasks - left, took)
            .process_usage(before, ProcessUsage::of_this_process());
        let mut line = note_cut_off(line, tasks - left, tasks);
        line.concurrency = Some(concurrency);
        line.print()?;
        peer.stop(worker).await?;
    }
    Ok(())
}

/// Measures the duration from just before the creation of a task to its handler. Each task is created after
/// the handler of the previous one has begun.
async fn latency<P: Peer>(options: &Options) -> Result {
    let tasks = options.tasks.min(1000);
    let peer = P::open(options).await?;
    let (before, began) = (ProcessUsage::of_this_process(), Instant::now());
    let mut latencies = record_latencies();
    expect_runs(usize::MAX);
    let worker = peer.start(10).await?;
    let mut times = Vec::new();
    // One task more, because the first one waits for the worker to start.
    for number in 0..=tasks {
        peer.create(Job::stamped(number)).await?;
        let left = options.limit.saturating_sub(began.elapsed());
        let Ok(latency) = tokio::time::timeout(left, latencies.recv()).await else {
            break;
        };
        let latency = latency.ok_or("the worker has ended")?;
        if number > 0 {
            times.push(latency);
        }
        // The pauses vary, so that the creations do not synchronise with a polling interval.
        let jitter = (number as u64).wrapping_mul(7919) % 23;
        tokio::time::sleep(Duration::from_millis(5 + jitter)).await;
    }
    let line = line::<P>(options, tasks).process_usage(before, ProcessUsage::of_this_process());
    let mut line = note_cut_off(line, times.len(), tasks).percentiles(times);
    line.note = line.note.or_else(|| Some("same process".to_owned()));
    line.print()?;
    peer.stop(worker).await
}

fn line<P: Peer>(options: &Options, tasks: usize) -> Line {
    Line::new(&format!("{}/{}", P::NAME, options.variant), &options.case, tasks)
}

/// Adds a note if the measurement reached its time limit.
fn note_cut_off(mut line: Line, done: usize, tasks: usize) -> Line {
    if done < tasks {
        line.note = Some(format!("{done} tasks {CUT_OFF_NOTE}"));
    }
    line
}
