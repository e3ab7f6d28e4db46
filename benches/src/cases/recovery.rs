//! How long the task of a worker that was killed waits for another one.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use oncetask::{Attempt, Handler, OnceTask};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Result;
use crate::options::{Options, Place, open_as_told};
use crate::report::{Line, Usage};

/// A heartbeat in seconds, and how often it is measured.
const HEARTBEATS: [(u64, usize); 3] = [(2, 8), (10, 4), (60, 1)];

/// Its first attempt never ends.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("endless:{number}")]
struct Endless {
    number: usize,
}

/// Kills a worker in the middle of a handler, at any point of a heartbeat, beside an idle one.
pub(crate) async fn recovery(options: &Options) -> Result {
    for (heartbeat, often) in HEARTBEATS {
        if options.heartbeat.is_some_and(|only| only != heartbeat) {
            continue;
        }
        let place = Place::new(options)?;
        let (mut times, before) = (Vec::new(), Usage::of_this_process());
        for number in 0..often {
            let into = Duration::from_secs(heartbeat).mul_f64(part(number, often));
            times.push(once(&place, heartbeat, number, into).await?);
        }
        let slowest = times.iter().max().copied().unwrap_or_default();
        let mut line = Line::of(&options.store, "recovery", often)
            .times(times)
            .used(before, Usage::of_this_process());
        line.note = Some(format!("heartbeat {heartbeat} s, slowest {slowest:.2?}"));
        line.print()?;
    }
    Ok(())
}

/// The points at which workers are killed lie evenly in a heartbeat.
#[expect(clippy::cast_precision_loss, reason = "there are a handful")]
fn part(number: usize, often: usize) -> f64 {
    (number as f64 + 0.5) / often as f64
}

async fn once(place: &Place, heartbeat: u64, number: usize, into: Duration) -> Result<Duration> {
    let client = place.client().await?;
    let mut first = Worker::start(place, heartbeat).await?;
    let id = client.create(Endless { number }).await?.id;
    first.says("1").await?;
    let mut second = Worker::start(place, heartbeat).await?;
    // Its lease was extended once or not yet when the worker is killed.
    tokio::time::sleep(into).await;
    let killed = Instant::now();
    first.child.kill()?;
    second.says("2").await?;
    let took = killed.elapsed();
    client.wait(&id).await?;
    Ok(took)
}

/// Another process. It ends when it is dropped.
struct Worker {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Worker {
    async fn start(place: &Place, heartbeat: u64) -> Result<Self> {
        let mut command = place.another_process("recovery-worker")?;
        command.args(["--heartbeat", &heartbeat.to_string()]);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines();
            lines
                .map_while(std::result::Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let mut worker = Self { child, lines };
        worker.says("ready").await?;
        Ok(worker)
    }

    async fn says(&mut self, expected: &str) -> Result {
        let said = self.lines.recv().await.ok_or("a worker ended")?;
        if said == expected {
            Ok(())
        } else {
            Err(format!("a worker said `{said}`, not `{expected}`").into())
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may be killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What another process does for [`recovery`]: it prints that it is ready, and the number of each attempt.
pub(crate) async fn worker(options: &Options) -> Result {
    let client = open_as_told(options).await?.client;
    let heartbeat = options.heartbeat.ok_or("the heartbeat is missing")?;
    let handler = Handler::new(|job: Attempt<Endless>| async move {
        print(&job.attempt.to_string());
        if job.attempt == 1 {
            std::future::pending::<()>().await;
        }
    });
    let _worker = oncetask::builder()
        .client(client)
        .only(&[])
        .handler(handler)
        .heartbeat(Duration::from_secs(heartbeat))
        .start()
        .await?;
    print("ready");
    std::future::pending().await
}

#[expect(clippy::print_stdout, reason = "the other process reads it")]
fn print(line: &str) {
    println!("{line}");
}
