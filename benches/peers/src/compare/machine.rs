//! The computer, and who else used it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::Server;
use crate::{Result, stop};

pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) system: String,
    pub(crate) postgres: String,
    pub(crate) rustc: String,
    pub(crate) commit: String,
    pub(crate) began: String,
    /// An append of 4 KiB and its `fdatasync`.
    pub(crate) sync: Duration,
    /// The part of all cores that was busy while nothing of ours ran, at several times.
    pub(crate) others: Vec<f64>,
}

impl Machine {
    pub(crate) fn look(server: &Server) -> Result<Self> {
        let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = information
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("unknown", |(_, name)| name);
        Ok(Self {
            processor: processor.to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            system: said("uname", &["-sr"]),
            postgres: server.version()?,
            rustc: said("rustc", &["--version"]),
            commit: commit(),
            began: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            sync: sync_time()?,
            others: Vec::new(),
        })
    }

    /// Takes a look at who else is busy, while nothing of ours is.
    pub(crate) fn watch_others(&mut self) {
        let before = busy_and_all();
        std::thread::sleep(Duration::from_secs(3));
        let after = busy_and_all();
        self.others
            .push((after.0 - before.0) / (after.1 - before.1).max(1.0));
    }
}

/// Runs a program that prints its result, and ends it when it takes too long.
pub(crate) fn output(program: &Path, arguments: &[String], patience: Duration) -> Result<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let end = Instant::now() + patience;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > end || stop::told() {
            child.kill()?;
            child.wait()?;
            return Err(format!("it was ended after {} s at most", patience.as_secs()).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let (mut said, mut problems) = (String::new(), String::new());
    child
        .stdout
        .take()
        .ok_or("no output")?
        .read_to_string(&mut said)?;
    child
        .stderr
        .take()
        .ok_or("no output")?
        .read_to_string(&mut problems)?;
    if status.success() {
        Ok(said)
    } else {
        Err(problems.lines().last().unwrap_or("it failed").to_owned().into())
    }
}

fn sync_time() -> Result<Duration> {
    const TIMES: usize = 200;
    let program = std::env::current_exe()?;
    let mut file = tempfile::tempfile_in(program.parent().ok_or("this program is in no folder")?)?;
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let began = Instant::now();
        File::write_all(&mut file, &[1; 4096])?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times[TIMES / 2])
}

/// In ticks, since the system started.
fn busy_and_all() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = first
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|tick| tick.parse().ok())
        .collect();
    let all: f64 = ticks.iter().sum();
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    (all - idle, all)
}

/// Of this repository, and whether something was changed since.
fn commit() -> String {
    let here = env!("CARGO_MANIFEST_DIR");
    let name = said("git", &["-C", here, "rev-parse", "--short", "HEAD"]);
    let changes = said(
        "git",
        &[
            "-C",
            here,
            "status",
            "--porcelain",
            "--",
            "../../oncetask",
            "../src",
        ],
    );
    if changes.is_empty() {
        name
    } else {
        format!("{name} and changes")
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}
