//! The machine, and the load of other programs on it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::Server;
use crate::{Result, stop};

/// The description of the machine for the results.
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) system: String,
    pub(crate) postgres: String,
    pub(crate) rustc: String,
    pub(crate) commit: String,
    pub(crate) began: String,
    /// The median duration of an append of 4 KiB and its `fdatasync`.
    pub(crate) sync: Duration,
    /// The load of other programs at several times: the fraction of all cores that was busy between
    /// measurements.
    pub(crate) other_load: Vec<f64>,
}

impl Machine {
    /// Describes this machine. The load is measured later.
    pub(crate) fn describe(server: &Server) -> Result<Self> {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("unknown", |(_, name)| name);
        Ok(Self {
            processor: processor.to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            system: stdout_of("uname", &["-sr"]),
            postgres: server.version()?,
            rustc: stdout_of("rustc", &["--version"]),
            commit: commit(),
            began: stdout_of("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            sync: sync_time()?,
            other_load: Vec::new(),
        })
    }

    /// Measures the load of other programs for three seconds. Call this while no measurement runs.
    pub(crate) fn measure_other_load(&mut self) {
        let before = busy_and_total_ticks();
        std::thread::sleep(Duration::from_secs(3));
        let after = busy_and_total_ticks();
        self.other_load
            .push((after.0 - before.0) / (after.1 - before.1).max(1.0));
    }
}

/// Runs a program and returns its output. Kills the program after the timeout, or if a signal stops the
/// comparison.
pub(crate) fn output(program: &Path, arguments: &[String], timeout: Duration) -> Result<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let end = Instant::now() + timeout;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > end || stop::requested() {
            child.kill()?;
            child.wait()?;
            return Err(format!("killed by a signal or after {} s", timeout.as_secs()).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let (mut output, mut errors) = (String::new(), String::new());
    child
        .stdout
        .take()
        .ok_or("no output")?
        .read_to_string(&mut output)?;
    child
        .stderr
        .take()
        .ok_or("no output")?
        .read_to_string(&mut errors)?;
    if status.success() {
        Ok(output)
    } else {
        Err(errors
            .lines()
            .last()
            .unwrap_or("the program failed")
            .to_owned()
            .into())
    }
}

/// Measures the median duration of an append of 4 KiB and its `fdatasync`.
fn sync_time() -> Result<Duration> {
    const APPENDS: usize = 200;
    let program = std::env::current_exe()?;
    let mut file = tempfile::tempfile_in(program.parent().ok_or("the program has no folder")?)?;
    let mut times = Vec::new();
    for _ in 0..APPENDS {
        let began = Instant::now();
        File::write_all(&mut file, &[1; 4096])?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times[APPENDS / 2])
}

/// Returns the processor ticks since the system started: the busy ones and all.
fn busy_and_total_ticks() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = first
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|tick| tick.parse().ok())
        .collect();
    let total: f64 = ticks.iter().sum();
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    (total - idle, total)
}

/// Returns the commit of this repository, and whether there are uncommitted changes.
fn commit() -> String {
    let here = env!("CARGO_MANIFEST_DIR");
    let name = stdout_of("git", &["-C", here, "rev-parse", "--short", "HEAD"]);
    let changes = stdout_of(
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
        format!("{name} with uncommitted changes")
    }
}

/// Returns the output of a program; empty if it cannot be run.
fn stdout_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}
