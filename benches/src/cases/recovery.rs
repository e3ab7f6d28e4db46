//! The duration from the death of a worker until another worker runs its task.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use oncetask::{Attempt, Handler, OnceTask};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Result;
use crate::child::{for_each_line, print_line};
use crate::options::Options;
use crate::report::{Line, ProcessUsage};
use crate::scratch_store::{ScratchStore, open_parent_store};

/// The measured heartbeats in seconds, and the number of workers that are killed at each.
const HEARTBEATS: [(u64, usize); 3] = [(2, 8), (10, 4), (60, 1)];

/// A task whose first attempt never ends.
#[derive(Serialize, Deserialize, OnceTask)]
#[id("endless:{number}")]
struct Endless {
    number: usize,
}

/// Kills workers that run a handler while another worker is idle, at several points of a heartbeat.
pub(crate) async fn recovery(options: &Options) -> Result {
    for (heartbeat, kills) in HEARTBEATS {
        if options.heartbeat.is_some_and(|only| only != heartbeat) {
            continue;
        }
        let store = ScratchStore::new(options)?;
        let (mut times, before) = (Vec::new(), ProcessUsage::of_this_process());
        for number in 0..kills {
            let kill_after = Duration::from_secs(heartbeat).mul_f64(fraction(number, kills));
            times.push(measure_once(&store, heartbeat, number, kill_after).await?);
        }
        let slowest = times.iter().max().copied().unwrap_or_default();
        let mut line = Line::new(&options.store, "recovery", kills)
            .percentiles(times)
            .process_usage(before, ProcessUsage::of_this_process());
        line.note = Some(format!("heartbeat {heartbeat} s, slowest {slowest:.2?}"));
        line.print()?;
    }
    Ok(())
}

/// Returns the fraction of a heartbeat after which a worker is killed. The fractions are evenly spaced.
#[expect(clippy::cast_precision_loss, reason = "there are a handful")]
fn fraction(number: usize, kills: usize) -> f64 {
    (number as f64 + 0.5) / kills as f64
}

/// Kills one worker. Returns the duration until the other worker runs the task.
async fn measure_once(
    store: &ScratchStore,
    heartbeat: u64,
    number: usize,
    kill_after: Duration,
) -> Result<Duration> {
    let client = store.client().await?;
    let mut first = WorkerProcess::start(store, heartbeat).await?;
    let created = client.create(Endless { number }).await?;
    first.expect_line("1").await?;
    let mut second = WorkerProcess::start(store, heartbeat).await?;
    // The first worker has extended its lease at most once when it is killed.
    tokio::time::sleep(kill_after).await;
    let killed = Instant::now();
    first.child.kill()?;
    second.expect_line("2").await?;
    let took = killed.elapsed();
    client.wait(created.id()).await?;
    Ok(took)
}

/// A process that runs [`worker_process`]. It is killed when this is dropped.
struct WorkerProcess {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
}

impl WorkerProcess {
    async fn start(store: &ScratchStore, heartbeat: u64) -> Result<Self> {
        let mut command = store.child_command("recovery-worker")?;
        command.args(["--heartbeat", &heartbeat.to_string()]);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("the worker process has no output")?;
        let (sender, lines) = mpsc::unbounded_channel();
        for_each_line(output, move |line| {
            // The receiver is dropped at the end of the measurement.
            let _ = sender.send(line);
        });
        let mut worker = Self { child, lines };
        worker.expect_line("ready").await?;
        Ok(worker)
    }

    async fn expect_line(&mut self, expected: &str) -> Result {
        let line = self.lines.recv().await.ok_or("a worker process has ended")?;
        if line == expected {
            Ok(())
        } else {
            Err(format!("a worker process printed `{line}` instead of `{expected}`").into())
        }
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        // Both fail if the process has already been killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a worker in a process that [`recovery`] started. Prints that it is ready, and the number of each
/// attempt.
pub(crate) async fn worker_process(options: &Options) -> Result {
    let client = open_parent_store(options).await?.client;
    let heartbeat = options.heartbeat.ok_or("missing option `--heartbeat`")?;
    let handler = Handler::new(|task: Attempt<Endless>| async move {
        print_line(&task.attempt.to_string());
        if task.attempt == 1 {
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
    print_line("ready");
    std::future::pending().await
}
