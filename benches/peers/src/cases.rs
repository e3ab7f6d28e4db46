//! The cases, as our own benches have them; each may be cut off after a time, for those that would need hours.

use std::time::{Duration, Instant};

use bench_report::{Line, Usage};

use crate::work::{Job, enough, expect, waits};
use crate::{Options, Peer, Result};

pub(crate) async fn run<P: Peer>(options: &Options) -> Result {
    match options.case.as_str() {
        "create" => create::<P>(options).await,
        "create_all" => create_all::<P>(options).await,
        "drain" => drain::<P>(options).await,
        "latency" => latency::<P>(options).await,
        other => {
            Err(format!("there is no case `{other}`; there are create, create_all, drain, latency").into())
        }
    }
}

/// Each task in a call of its own.
async fn create<P: Peer>(options: &Options) -> Result {
    for callers in options.concurrency.map_or_else(|| vec![1, 100], |one| vec![one]) {
        // One caller waits for the disk each time.
        let tasks = if callers == 1 {
            options.tasks / 10
        } else {
            options.tasks
        };
        let peer = P::open(options).await?;
        let (before, began) = (Usage::of_this_process(), Instant::now());
        let times = from_callers(&peer, callers, tasks, options.limit).await?;
        let took = began.elapsed();
        let mut line = line::<P>(options, tasks).rate(times.len(), took);
        line = cut_off(line, times.len(), tasks).times(times);
        line.concurrency = Some(callers);
        line.used(before, Usage::of_this_process()).print()?;
    }
    Ok(())
}

async fn from_callers<P: Peer>(
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

/// In calls of a thousand.
async fn create_all<P: Peer>(options: &Options) -> Result {
    let peer = P::open(options).await?;
    let (before, began) = (Usage::of_this_process(), Instant::now());
    fill(&peer, options.tasks).await?;
    let took = began.elapsed();
    let line = line::<P>(options, options.tasks).rate(options.tasks, took);
    line.used(before, Usage::of_this_process()).print()?;
    Ok(())
}

async fn fill<P: Peer>(peer: &P, tasks: usize) -> Result {
    const CALL: usize = 1000;
    for first in (0..tasks).step_by(CALL) {
        let jobs = (first..tasks.min(first + CALL)).map(Job::new).collect();
        peer.create_all(jobs).await?;
    }
    Ok(())
}

/// Tasks that wait are run: from the start of the worker until the last completion is stored.
async fn drain<P: Peer>(options: &Options) -> Result {
    let tasks = options.tasks;
    for concurrency in options
        .concurrency
        .map_or_else(|| vec![1, 10, 100], |one| vec![one])
    {
        let peer = P::open(options).await?;
        fill(&peer, tasks).await?;
        expect(tasks);
        let (before, began) = (Usage::of_this_process(), Instant::now());
        let worker = peer.start(concurrency).await?;
        // That they all ran or not is counted below.
        let _ = tokio::time::timeout(options.limit, enough()).await;
        let mut took = began.elapsed();
        let mut left = peer.unfinished().await?;
        while left > 0 && began.elapsed() < options.limit {
            tokio::time::sleep(Duration::from_millis(2)).await;
            took = began.elapsed();
            left = peer.unfinished().await?;
        }
        let line = line::<P>(options, tasks)
            .rate(tasks - left, took)
            .used(before, Usage::of_this_process());
        let mut line = cut_off(line, tasks - left, tasks);
        line.concurrency = Some(concurrency);
        line.print()?;
        peer.stop(worker).await?;
    }
    Ok(())
}

/// How long a task waits from before its creation to its handler; each is created when the one before has begun.
async fn latency<P: Peer>(options: &Options) -> Result {
    let tasks = options.tasks.min(1000);
    let peer = P::open(options).await?;
    let (before, began) = (Usage::of_this_process(), Instant::now());
    let mut waits = waits();
    expect(usize::MAX);
    let worker = peer.start(10).await?;
    let mut times = Vec::new();
    // The first one waits for the worker to start.
    for number in 0..=tasks {
        peer.create(Job::stamped(number)).await?;
        let left = options.limit.saturating_sub(began.elapsed());
        let Ok(wait) = tokio::time::timeout(left, waits.recv()).await else {
            break;
        };
        let wait = wait.ok_or("the worker ended")?;
        if number > 0 {
            times.push(wait);
        }
        // Out of step with whatever looks at intervals.
        let offbeat = (number as u64).wrapping_mul(7919) % 23;
        tokio::time::sleep(Duration::from_millis(5 + offbeat)).await;
    }
    let line = line::<P>(options, tasks).used(before, Usage::of_this_process());
    let mut line = cut_off(line, times.len(), tasks).times(times);
    line.note = line.note.or_else(|| Some("same process".to_owned()));
    line.print()?;
    peer.stop(worker).await
}

fn line<P: Peer>(options: &Options, tasks: usize) -> Line {
    Line::of(&format!("{}/{}", P::NAME, options.variant), &options.case, tasks)
}

fn cut_off(mut line: Line, done: usize, tasks: usize) -> Line {
    if done < tasks {
        line.note = Some(format!("{done} in the time that there was"));
    }
    line
}
