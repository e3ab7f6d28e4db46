//! The rate at which waiting tasks are run.

use std::io::Write as _;
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

use oncetask::{Client, Filter, Handler, HandlerConfig, OnceTask as _, Status};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Result;
use super::create::create_noops;
use crate::child::{for_each_line, print_line};
use crate::options::Options;
use crate::report::{Line, ProcessUsage, ServerUsage, rounded};
use crate::scratch_store::{ScratchStore, open_parent_store};
use crate::work::{Noop, start_worker};

/// The number of drains before the first measurement on an emulator. The emulator is a Java program, and runs
/// some ten times more slowly until its code has been compiled to machine code.
const WARM_UP_DRAINS: usize = 20;

/// Measures the drain of a queue at concurrency 1, 10 and 100.
pub(crate) async fn drain(options: &Options) -> Result {
    let concurrencies = options
        .concurrency
        .map_or_else(|| vec![1, 10, 100], |one| vec![one]);
    for concurrency in concurrencies {
        for _ in 0..options.rounds {
            measure(options, concurrency).await?.print()?;
        }
    }
    Ok(())
}

async fn measure(options: &Options, concurrency: usize) -> Result<Line> {
    let scratch = ScratchStore::new(options)?;
    let store = scratch.open().await?;
    create_noops(&store.client, 0..options.tasks).await?;
    let mut line = Line::new(&options.store, "drain", options.tasks);
    if let Some(processes) = options.processes {
        let (took, usage) = run_in_processes(&scratch, options.tasks, processes, concurrency).await?;
        line = line.rate(options.tasks, took).server_usage(usage.server);
        line.cpu_s = rounded(usage.cpu_s);
        line.processes = Some(processes);
    } else {
        let (before, server_before) = (ProcessUsage::of_this_process(), store.server_usage());
        let took = run_waiting(&store.client, concurrency, options.tasks).await?;
        let server_usage = store.server_usage_since(server_before);
        line = line.rate(options.tasks, took).server_usage(server_usage);
        line = line.process_usage(before, ProcessUsage::of_this_process());
    }
    expect_completed(&store.client, options.tasks).await?;
    line.concurrency = Some(concurrency);
    line.note = note(options);
    Ok(line)
}

fn note(options: &Options) -> Option<String> {
    let warm = (options.store == "firestore")
        .then(|| format!("after a warm-up of {WARM_UP_DRAINS} drains in other projects"));
    let cold = options
        .processes
        .map(|_| "in processes that have just started: compare with `--processes 1`".to_owned());
    match (warm, cold) {
        (Some(warm), Some(cold)) => Some(format!("{warm}; {cold}")),
        (one, other) => one.or(other),
    }
}

/// Drains queues in stores of their own.
pub(crate) async fn warm_up(options: &Options) -> Result {
    const TASKS: usize = 1000;
    for _ in 0..WARM_UP_DRAINS {
        let client = ScratchStore::new(options)?.client().await?;
        create_noops(&client, 0..TASKS).await?;
        run_waiting(&client, 64, TASKS).await?;
    }
    Ok(())
}

/// Runs all waiting tasks, of which there are `tasks`, and checks that they have completed.
pub(crate) async fn run_all(client: &Client, concurrency: usize, tasks: usize) -> Result {
    let done = completed(client).await?;
    run_waiting(client, concurrency, tasks).await?;
    expect_completed(client, done + tasks).await
}

/// Runs waiting tasks in this process. Returns the duration from the start of the worker until the last
/// completion is stored.
async fn run_waiting(client: &Client, concurrency: usize, tasks: usize) -> Result<Duration> {
    let began = Instant::now();
    let (worker, counter) = start_worker(client, concurrency, tasks).await?;
    counter.reached().await;
    worker.shutdown().await;
    Ok(began.elapsed())
}

async fn completed(client: &Client) -> Result<usize> {
    let completed = Filter::new().kind(Noop::KIND).status(Status::Completed);
    Ok(usize::try_from(client.count(completed).await?)?)
}

async fn expect_completed(client: &Client, tasks: usize) -> Result {
    match completed(client).await? {
        all if all == tasks => Ok(()),
        some => Err(format!("only {some} of {tasks} tasks completed").into()),
    }
}

/// Runs waiting tasks in other processes. Returns the duration from the start signal until the last task has
/// run, and the usage of all processes together.
async fn run_in_processes(
    store: &ScratchStore,
    tasks: usize,
    processes: usize,
    concurrency: usize,
) -> Result<(Duration, WorkerUsage)> {
    let mut workers = WorkerProcesses::spawn(store, processes, concurrency)?;
    workers.skip_lines(processes).await?;
    let began = Instant::now();
    workers.send_start()?;
    workers.skip_lines(tasks).await?;
    let took = began.elapsed();
    Ok((took, workers.stop().await?))
}

/// Processes that run [`worker_process`].
struct WorkerProcesses {
    children: Vec<Child>,
    inputs: Vec<ChildStdin>,
    /// The lines that all processes print.
    lines: mpsc::UnboundedReceiver<String>,
}

impl WorkerProcesses {
    fn spawn(store: &ScratchStore, processes: usize, concurrency: usize) -> Result<Self> {
        let (sender, lines) = mpsc::unbounded_channel();
        let (mut children, mut inputs) = (Vec::new(), Vec::new());
        for _ in 0..processes {
            let mut command = store.child_command("drain-worker")?;
            command.args(["--concurrency", &concurrency.to_string()]);
            let mut child = command.stdout(Stdio::piped()).stdin(Stdio::piped()).spawn()?;
            let sender = sender.clone();
            let output = child.stdout.take().ok_or("a worker process has no output")?;
            for_each_line(output, move |line| {
                // The receiver is dropped when the measurement has failed.
                let _ = sender.send(line);
            });
            inputs.push(child.stdin.take().ok_or("a worker process has no input")?);
            children.push(child);
        }
        Ok(Self {
            children,
            inputs,
            lines,
        })
    }

    async fn next_line(&mut self) -> Result<String> {
        let line = self.lines.recv().await;
        Ok(line.ok_or("all worker processes have ended")?)
    }

    async fn skip_lines(&mut self, count: usize) -> Result {
        for _ in 0..count {
            self.next_line().await?;
        }
        Ok(())
    }

    fn send_start(&mut self) -> Result {
        for input in &mut self.inputs {
            input.write_all(b"go\n")?;
        }
        Ok(())
    }

    /// Closes the inputs, which stops the workers, and adds up the usage that they report.
    async fn stop(mut self) -> Result<WorkerUsage> {
        self.inputs.clear();
        let mut total = WorkerUsage::default();
        for _ in 0..self.children.len() {
            let usage = serde_json::from_str(&self.next_line().await?)?;
            total = total.plus(usage);
        }
        for mut child in self.children {
            child.wait()?;
        }
        Ok(total)
    }
}

/// The resources that worker processes have used.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct WorkerUsage {
    server: Option<ServerUsage>,
    cpu_s: f64,
}

impl WorkerUsage {
    fn plus(self, other: Self) -> Self {
        let server = match (self.server, other.server) {
            (Some(one), Some(other)) => Some(one.plus(other)),
            (one, other) => one.or(other),
        };
        Self {
            server,
            cpu_s: self.cpu_s + other.cpu_s,
        }
    }
}

/// Runs a worker in a process that [`drain`] started. Prints a line when it is ready, waits for a line of
/// input, and prints a line for each task. When the input ends, it stores the completions and prints its
/// usage.
pub(crate) async fn worker_process(options: &Options) -> Result {
    let store = open_parent_store(options).await?;
    print_line("ready");
    read_line().await?;
    let handler = Handler::new(|_: Noop| async { print_line("ran") });
    let concurrency = u32::try_from(options.concurrency.unwrap_or(1))?;
    let handler = handler.config(HandlerConfig::DEFAULT.concurrency(concurrency));
    let (before, server_before) = (ProcessUsage::of_this_process(), store.server_usage());
    let worker = oncetask::builder()
        .client(store.client.clone())
        .only(&[])
        .handler(handler)
        .start()
        .await?;
    read_line().await?;
    worker.shutdown().await;
    let usage = WorkerUsage {
        server: store.server_usage_since(server_before),
        cpu_s: ProcessUsage::of_this_process().cpu_s - before.cpu_s,
    };
    print_line(&serde_json::to_string(&usage)?);
    Ok(())
}

/// Waits for a line of input or for the end of the input.
async fn read_line() -> Result {
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    Ok(())
}
