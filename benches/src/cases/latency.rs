//! The duration from just before the creation of a task to its handler.

use std::process::{Child, Stdio};
use std::time::Duration;

use chrono::Utc;
use oncetask::{Client, Handler, HandlerConfig, OnceTask, Worker};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Result;
use crate::child::{for_each_line, print_line};
use crate::options::Options;
use crate::report::{Line, ProcessUsage};
use crate::scratch_store::{ScratchStore, open_parent_store};

/// A task that contains the time of its creation.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("stamp:{created}")]
struct Stamp {
    /// Nanoseconds since the Unix epoch.
    created: i64,
}

/// Measures tasks that are created one at a time, first with a worker in this process, then with a worker in
/// another process.
pub(crate) async fn latency(options: &Options) -> Result {
    let (pause, max_tasks) = match options.store.as_str() {
        // Ten tasks per second, and few of them: the emulator's queries become slower with each finished
        // task.
        "firestore" => (Duration::from_millis(80), 200),
        _ => (Duration::from_millis(5), 1000),
    };
    let tasks = options.tasks.min(max_tasks);
    let store = ScratchStore::new(options)?;
    let client = store.client().await?;
    let line = Line::new(&options.store, "latency", tasks);

    let before = ProcessUsage::of_this_process();
    let (sender, mut latencies) = mpsc::unbounded_channel();
    let worker = start_worker(&client, sender).await?;
    let times = measure(&client, tasks, pause, &mut latencies).await?;
    worker.shutdown().await;
    print_result(line.clone(), times, before, "same process")?;
    if options.store == "memory" {
        return Ok(());
    }

    let (mut child, mut latencies) = spawn_worker_process(&store)?;
    let before = ProcessUsage::of_this_process();
    let times = measure(&client, tasks, pause, &mut latencies).await;
    child.kill()?;
    child.wait()?;
    print_result(line, times?, before, "another process")
}

fn print_result(line: Line, times: Vec<Duration>, before: ProcessUsage, note: &str) -> Result {
    let mut line = line
        .percentiles(times)
        .process_usage(before, ProcessUsage::of_this_process());
    line.note = Some(note.to_owned());
    Ok(line.print()?)
}

/// Creates each task after the handler of the previous one has begun, and returns the latencies.
async fn measure(
    client: &Client,
    tasks: usize,
    pause: Duration,
    latencies: &mut mpsc::UnboundedReceiver<Duration>,
) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    // One task more, because the first one waits for the worker to start.
    for number in 0..=tasks {
        client
            .create(Stamp {
                created: unix_nanos(),
            })
            .await?;
        let latency = latencies.recv().await.ok_or("the worker has ended")?;
        if number > 0 {
            times.push(latency);
        }
        tokio::time::sleep(pause + jitter(number)).await;
    }
    Ok(times)
}

/// Returns a varying extra pause, so that the creations do not synchronise with a polling interval.
fn jitter(number: usize) -> Duration {
    Duration::from_millis((number as u64).wrapping_mul(7919) % 23)
}

/// Starts a process that runs [`worker_process`]. Returns it and the latencies that it prints.
fn spawn_worker_process(store: &ScratchStore) -> Result<(Child, mpsc::UnboundedReceiver<Duration>)> {
    let mut child = store
        .child_command("latency-worker")?
        .stdout(Stdio::piped())
        .spawn()?;
    let (sender, latencies) = mpsc::unbounded_channel();
    let output = child.stdout.take().ok_or("the worker process has no output")?;
    for_each_line(output, move |line| {
        if let Ok(nanos) = line.parse() {
            // The receiver is dropped at the end of the measurement.
            let _ = sender.send(Duration::from_nanos(nanos));
        }
    });
    Ok((child, latencies))
}

/// Runs a worker in a process that [`latency`] started. Prints the latency of each task in nanoseconds.
pub(crate) async fn worker_process(options: &Options) -> Result {
    let client = open_parent_store(options).await?.client;
    let (sender, mut latencies) = mpsc::unbounded_channel();
    let _worker = start_worker(&client, sender).await?;
    while let Some(latency) = latencies.recv().await {
        print_line(&latency.as_nanos().to_string());
    }
    Ok(())
}

async fn start_worker(client: &Client, sender: mpsc::UnboundedSender<Duration>) -> Result<Worker> {
    let handler = Handler::new(move |stamp: Stamp| {
        let nanos = u64::try_from(unix_nanos() - stamp.created).unwrap_or(0);
        // The receiver is dropped at the end of the measurement.
        let _ = sender.send(Duration::from_nanos(nanos));
        async {}
    });
    let handler = handler.config(HandlerConfig::DEFAULT.concurrency(10));
    Ok(oncetask::builder()
        .client(client.clone())
        .only(&[])
        .handler(handler)
        .start()
        .await?)
}

fn unix_nanos() -> i64 {
    Utc::now().timestamp_nanos_opt().unwrap_or(0)
}
