//! How long a task waits: from before its creation to its handler.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use chrono::Utc;
use oncetask::{Client, Handler, HandlerConfig, OnceTask, Worker};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Result;
use crate::options::{Options, Place, open_as_told};
use crate::report::{Line, Usage};

/// Says when it was created, in nanoseconds by the computer's clock.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("stamp:{created}")]
struct Stamp {
    created: i64,
}

/// Creates a task now and then, run in this process and in another one.
pub(crate) async fn latency(options: &Options) -> Result {
    let (pause, most) = match options.store.as_str() {
        // Ten tasks a second, and few: a query of its emulator takes longer the more tasks have ended.
        "firestore" => (Duration::from_millis(80), 200),
        _ => (Duration::from_millis(5), 1000),
    };
    let tasks = options.tasks.min(most);
    let place = Place::new(options)?;
    let client = place.client().await?;
    let before = Usage::of_this_process();
    let (sender, mut waits) = mpsc::unbounded_channel();
    let worker = start(&client, sender).await?;
    let times = measure(&client, tasks, pause, &mut waits).await?;
    worker.shutdown().await;
    let mut line = Line::of(&options.store, "latency", tasks)
        .times(times)
        .used(before, Usage::of_this_process());
    line.note = Some("same process".to_owned());
    line.print()?;
    if options.store == "memory" {
        return Ok(());
    }
    let (mut child, mut waits) = spawn(&place)?;
    let before = Usage::of_this_process();
    let times = measure(&client, tasks, pause, &mut waits).await;
    child.kill()?;
    child.wait()?;
    let mut line = Line::of(&options.store, "latency", tasks)
        .times(times?)
        .used(before, Usage::of_this_process());
    line.note = Some("another process".to_owned());
    line.print()?;
    Ok(())
}

/// Creates tasks one after the other, each when the one before has begun.
async fn measure(
    client: &Client,
    tasks: usize,
    pause: Duration,
    waits: &mut mpsc::UnboundedReceiver<Duration>,
) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    // The first one waits for the worker to start.
    for number in 0..=tasks {
        client.create(Stamp { created: nanos() }).await?;
        let wait = waits.recv().await.ok_or("the worker ended")?;
        if number > 0 {
            times.push(wait);
        }
        tokio::time::sleep(pause + offbeat(number)).await;
    }
    Ok(times)
}

/// Keeps the creations from falling into step with whatever looks at intervals.
fn offbeat(number: usize) -> Duration {
    Duration::from_millis((number as u64).wrapping_mul(7919) % 23)
}

/// What another process does for [`latency`]: it prints how long each task waited, in nanoseconds.
pub(crate) async fn worker(options: &Options) -> Result {
    let client = open_as_told(options).await?.client;
    let (sender, mut waits) = mpsc::unbounded_channel();
    let _worker = start(&client, sender).await?;
    while let Some(wait) = waits.recv().await {
        print(wait);
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the other process reads it")]
fn print(wait: Duration) {
    println!("{}", wait.as_nanos());
}

fn spawn(place: &Place) -> Result<(Child, mpsc::UnboundedReceiver<Duration>)> {
    let mut child = place
        .another_process("latency-worker")?
        .stdout(Stdio::piped())
        .spawn()?;
    let (sender, waits) = mpsc::unbounded_channel();
    let output = child.stdout.take().ok_or("no output")?;
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
            let Ok(nanos) = line.parse() else { continue };
            if sender.send(Duration::from_nanos(nanos)).is_err() {
                return;
            }
        }
    });
    Ok((child, waits))
}

async fn start(client: &Client, sender: mpsc::UnboundedSender<Duration>) -> Result<Worker> {
    let handler = Handler::new(move |stamp: Stamp| {
        let wait = Duration::from_nanos(u64::try_from(nanos() - stamp.created).unwrap_or(0));
        // Who measures may have seen enough.
        let _ = sender.send(wait);
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

fn nanos() -> i64 {
    Utc::now().timestamp_nanos_opt().unwrap_or(0)
}
