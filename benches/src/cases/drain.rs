//! How fast tasks that wait are run.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use oncetask::{Client, Filter, Handler, HandlerConfig, OnceTask as _, Status};
use tokio::sync::mpsc;

use super::Result;
use super::create::fill;
use crate::options::{Options, Place, open_as_told};
use crate::report::{Line, Usage};
use crate::work::{Noop, worker};

pub(crate) async fn drain(options: &Options) -> Result {
    let concurrencies = options
        .concurrency
        .map_or_else(|| vec![1, 10, 100], |one| vec![one]);
    for concurrency in concurrencies {
        let place = Place::new(options)?;
        let opened = place.open().await?;
        fill(&opened.client, 0..options.tasks, 1000).await?;
        let (before, asked) = (Usage::of_this_process(), opened.usage());
        let took = if options.processes > 1 {
            in_processes(&place, &opened.client, options, concurrency).await?
        } else {
            run_all(&opened.client, concurrency, options.tasks).await?
        };
        let mut line = Line::of(&options.store, "drain", options.tasks).rate(options.tasks, took);
        line = line.used(before, Usage::of_this_process());
        if options.processes > 1 {
            line.processes = Some(options.processes);
        } else {
            line = line.asked(asked, opened.usage());
        }
        line.concurrency = Some(concurrency);
        line.print()?;
    }
    Ok(())
}

/// Runs so many tasks; returns how long it took until the last completion was stored.
pub(crate) async fn run_all(client: &Client, concurrency: usize, tasks: usize) -> Result<Duration> {
    let done = client
        .count(Filter::new().kind(Noop::KIND).status(Status::Completed))
        .await?;
    let began = Instant::now();
    let (worker, count) = worker(client, concurrency, tasks).await?;
    count.enough().await;
    worker.shutdown().await;
    let took = began.elapsed();
    let completed = client
        .count(Filter::new().kind(Noop::KIND).status(Status::Completed))
        .await?
        - done;
    if completed != tasks as u64 {
        return Err(format!("{completed} of {tasks} tasks completed").into());
    }
    Ok(took)
}

/// Runs the tasks in other processes; returns how long it took from their start until all were done.
async fn in_processes(
    place: &Place,
    client: &Client,
    options: &Options,
    concurrency: usize,
) -> Result<Duration> {
    let (ran, mut runs) = mpsc::unbounded_channel();
    let mut children = Vec::new();
    for _ in 0..options.processes {
        let mut command = place.another_process("drain-worker")?;
        command.args(["--concurrency", &concurrency.to_string()]);
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::piped()).spawn()?;
        let (output, ran) = (child.stdout.take().ok_or("no output")?, ran.clone());
        std::thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .map_while(std::result::Result::ok)
                .for_each(|_| {
                    // Who measures may have seen enough.
                    let _ = ran.send(());
                });
        });
        children.push(child);
    }
    // Each says that it is ready, and is told to begin.
    for _ in 0..options.processes {
        runs.recv().await.ok_or("the workers ended")?;
    }
    let began = Instant::now();
    for child in &mut children {
        child.stdin.take().ok_or("no input")?.write_all(b"go\n")?;
    }
    for _ in 0..options.tasks {
        runs.recv().await.ok_or("the workers ended")?;
    }
    let took = began.elapsed();
    while client
        .count(Filter::new().kind(Noop::KIND).status(Status::Completed))
        .await?
        < options.tasks as u64
    {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for mut child in children {
        child.kill()?;
        child.wait()?;
    }
    Ok(took)
}

/// What another process does for [`drain`]: it prints a line when it is ready, waits for one, and prints one
/// for each task.
pub(crate) async fn drain_worker(options: &Options) -> Result {
    let client = open_as_told(options).await?;
    print("ready");
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    let handler = Handler::new(|_: Noop| async { print("ran") });
    let concurrency = u32::try_from(options.concurrency.unwrap_or(1))?;
    let handler = handler.config(HandlerConfig::DEFAULT.concurrency(concurrency));
    let _worker = oncetask::builder()
        .client(client)
        .only(&[])
        .handler(handler)
        .start()
        .await?;
    std::future::pending().await
}

#[expect(clippy::print_stdout, reason = "the other process reads it")]
fn print(line: &str) {
    println!("{line}");
}
