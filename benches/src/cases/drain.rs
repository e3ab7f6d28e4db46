//! How fast tasks that wait are run.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use oncetask::{Client, Filter, Handler, HandlerConfig, OnceTask as _, Status};
use tokio::sync::mpsc;

use super::Result;
use super::create::fill;
use crate::options::{Options, Place, open_as_told};
use crate::report::{Asked, Line, Usage};
use crate::work::{Noop, worker};

/// How often to work a queue off before the first measurement on an emulator. It is a Java program, which runs
/// everything some ten times more slowly at first than when it has been compiled to machine code.
const WARM_UP_ROUNDS: usize = 20;

pub(crate) async fn drain(options: &Options) -> Result {
    let concurrencies = options
        .concurrency
        .map_or_else(|| vec![1, 10, 100], |one| vec![one]);
    for concurrency in concurrencies {
        let place = Place::new(options)?;
        let opened = place.open().await?;
        fill(&opened.client, 0..options.tasks, 1000).await?;
        let (before, billed) = (Usage::of_this_process(), opened.usage());
        let mut line = Line::of(&options.store, "drain", options.tasks);
        if options.processes > 1 {
            let (took, asked) = in_processes(&place, options, concurrency).await?;
            line = line.rate(options.tasks, took).asked(asked);
            line.processes = Some(options.processes);
        } else {
            let took = work_off(&opened.client, concurrency, options.tasks).await?;
            let asked = billed
                .zip(opened.usage())
                .map(|(before, after)| after.since(before));
            line = line.rate(options.tasks, took).asked(asked);
        }
        line = line.used(before, Usage::of_this_process());
        expect_completed(&opened.client, options.tasks).await?;
        line.concurrency = Some(concurrency);
        if options.store == "firestore" {
            line.note = Some(format!(
                "after a warm-up of {WARM_UP_ROUNDS} drains in other projects"
            ));
        }
        line.print()?;
    }
    Ok(())
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

/// Runs the tasks in other processes; returns how long it took from their start until all were done.
async fn in_processes(
    place: &Place,
    options: &Options,
    concurrency: usize,
) -> Result<(Duration, Option<Asked>)> {
    let (said, mut says) = mpsc::unbounded_channel();
    let mut children = Vec::new();
    for _ in 0..options.processes {
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
    for _ in 0..options.processes {
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
    let mut asked = None;
    for _ in 0..options.processes {
        let line = says.recv().await.ok_or("the workers ended")?;
        let of_one: Option<Asked> = serde_json::from_str(&line)?;
        asked = asked.map_or(of_one, |all: Asked| of_one.map(|one| all.and(one)));
    }
    for mut child in children {
        child.wait()?;
    }
    Ok((took, asked))
}

/// What another process does for [`drain`]: it prints a line when it is ready, waits for one, prints one
/// for each task, and when its input ends what it has asked of Firestore.
pub(crate) async fn drain_worker(options: &Options) -> Result {
    let opened = open_as_told(options).await?;
    print("ready");
    told().await?;
    let handler = Handler::new(|_: Noop| async { print("ran") });
    let concurrency = u32::try_from(options.concurrency.unwrap_or(1))?;
    let handler = handler.config(HandlerConfig::DEFAULT.concurrency(concurrency));
    let billed = opened.usage();
    let worker = oncetask::builder()
        .client(opened.client.clone())
        .only(&[])
        .handler(handler)
        .start()
        .await?;
    told().await?;
    worker.shutdown().await;
    let asked = billed
        .zip(opened.usage())
        .map(|(before, after)| after.since(before));
    print(&serde_json::to_string(&asked)?);
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
