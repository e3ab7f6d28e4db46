//! How fast tasks that wait are run.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use oncetask::{Client, Filter, Handler, HandlerConfig, OnceTask as _, Status};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Result;
use super::create::fill;
use crate::options::{Options, Place, open_as_told};
use crate::report::{Asked, Line, Usage, rounded};
use crate::work::{Noop, worker};

/// How often to work a queue off before the first measurement on an emulator. It is a Java program, which runs
/// everything some ten times more slowly at first than when it has been compiled to machine code.
const WARM_UP_ROUNDS: usize = 20;

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
    let place = Place::new(options)?;
    let opened = place.open().await?;
    fill(&opened.client, 0..options.tasks, 1000).await?;
    let mut line = Line::of(&options.store, "drain", options.tasks);
    if let Some(processes) = options.processes {
        let (took, used) = in_processes(&place, options, processes, concurrency).await?;
        line = line.rate(options.tasks, took).asked(used.asked);
        line.cpu_s = rounded(used.cpu_s);
        line.processes = Some(processes);
    } else {
        let (before, billed) = (Usage::of_this_process(), opened.usage());
        let took = work_off(&opened.client, concurrency, options.tasks).await?;
        let asked = billed
            .zip(opened.usage())
            .map(|(before, after)| after.since(before));
        line = line.rate(options.tasks, took).asked(asked);
        line = line.used(before, Usage::of_this_process());
    }
    expect_completed(&opened.client, options.tasks).await?;
    line.concurrency = Some(concurrency);
    line.note = note(options);
    Ok(line)
}

fn note(options: &Options) -> Option<String> {
    let warm = (options.store == "firestore")
        .then(|| format!("after a warm-up of {WARM_UP_ROUNDS} drains in other projects"));
    let cold = options
        .processes
        .map(|_| "by processes that have just begun: to be compared with `--processes 1`".to_owned());
    match (warm, cold) {
        (Some(warm), Some(cold)) => Some(format!("{warm}; {cold}")),
        (one, other) => one.or(other),
    }
}

/// Works queues off in projects of their own.
pub(crate) async fn warm_up(options: &Options) -> Result {
    for _ in 0..WARM_UP_ROUNDS {
        let client = Place::new(options)?.client().await?;
        fill(&client, 0..1000, 1000).await?;
        work_off(&client, 64, 1000).await?;
    }
    Ok(())
}

/// Runs so many tasks; returns how long it took until the last completion was stored.
pub(crate) async fn run_all(client: &Client, concurrency: usize, tasks: usize) -> Result<Duration> {
    let done = completed(client).await?;
    let took = work_off(client, concurrency, tasks).await?;
    expect_completed(client, done + tasks).await?;
    Ok(took)
}

async fn work_off(client: &Client, concurrency: usize, tasks: usize) -> Result<Duration> {
    let began = Instant::now();
    let (worker, count) = worker(client, concurrency, tasks).await?;
    count.enough().await;
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
        some => Err(format!("{some} of {tasks} tasks completed").into()),
    }
}

/// What a process has used.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Used {
    asked: Option<Asked>,
    cpu_s: f64,
}

impl Used {
    fn and(self, other: Self) -> Self {
        let asked = match (self.asked, other.asked) {
            (Some(one), Some(other)) => Some(one.and(other)),
            (one, other) => one.or(other),
        };
        Self {
            asked,
            cpu_s: self.cpu_s + other.cpu_s,
        }
    }
}

/// Runs the tasks in other processes; returns how long it took from their start until all were done.
async fn in_processes(
    place: &Place,
    options: &Options,
    processes: usize,
    concurrency: usize,
) -> Result<(Duration, Used)> {
    let (said, mut says) = mpsc::unbounded_channel();
    let mut children = Vec::new();
    for _ in 0..processes {
        let mut command = place.another_process("drain-worker")?;
        command.args(["--concurrency", &concurrency.to_string()]);
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::piped()).spawn()?;
        let (output, said) = (child.stdout.take().ok_or("no output")?, said.clone());
        std::thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .map_while(std::result::Result::ok)
                .for_each(|line| {
                    // Who measures may have seen enough.
                    let _ = said.send(line);
                });
        });
        children.push(child);
    }
    // Each says that it is ready, and is told to begin.
    for _ in 0..processes {
        says.recv().await.ok_or("the workers ended")?;
    }
    let began = Instant::now();
    let mut inputs = Vec::new();
    for child in &mut children {
        let mut input = child.stdin.take().ok_or("no input")?;
        input.write_all(b"go\n")?;
        inputs.push(input);
    }
    for _ in 0..options.tasks {
        says.recv().await.ok_or("the workers ended")?;
    }
    let took = began.elapsed();
    // Told that it is over, each stores what it has done, and says what it has asked.
    drop(inputs);
    let mut used = Used::default();
    for _ in 0..processes {
        let line = says.recv().await.ok_or("the workers ended")?;
        let of_one: Used = serde_json::from_str(&line)?;
        used = used.and(of_one);
    }
    for mut child in children {
        child.wait()?;
    }
    Ok((took, used))
}

/// What another process does for [`drain`]: it prints a line when it is ready, waits for one, prints one
/// for each task, and when its input ends what it has used.
pub(crate) async fn drain_worker(options: &Options) -> Result {
    let opened = open_as_told(options).await?;
    print("ready");
    told().await?;
    let handler = Handler::new(|_: Noop| async { print("ran") });
    let concurrency = u32::try_from(options.concurrency.unwrap_or(1))?;
    let handler = handler.config(HandlerConfig::DEFAULT.concurrency(concurrency));
    let (before, billed) = (Usage::of_this_process(), opened.usage());
    let worker = oncetask::builder()
        .client(opened.client.clone())
        .only(&[])
        .handler(handler)
        .start()
        .await?;
    told().await?;
    worker.shutdown().await;
    let used = Used {
        asked: billed
            .zip(opened.usage())
            .map(|(before, after)| after.since(before)),
        cpu_s: Usage::of_this_process().cpu_s - before.cpu_s,
    };
    print(&serde_json::to_string(&used)?);
    Ok(())
}

/// Waits until the one who measures says something, or is silent for good.
async fn told() -> Result {
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the other process reads it")]
fn print(line: &str) {
    println!("{line}");
}
