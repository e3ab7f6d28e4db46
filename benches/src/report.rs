//! One JSON line a measurement.

use std::fs;
use std::time::Duration;

use oncetask::store::Usage as Billed;
use serde::{Deserialize, Serialize};

use crate::options::Options;

#[derive(Debug, Default, Serialize)]
pub(crate) struct Line {
    pub(crate) case: String,
    pub(crate) store: String,
    pub(crate) tasks: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) concurrency: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) processes: Option<usize>,
    /// Requests to Firestore, and documents read, by those who ran the tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rpcs_per_task: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reads_per_task: Option<f64>,
    /// Writes that were refused, as another process was faster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) conflicts_per_task: Option<f64>,
    /// Processor time that the measured process spent on it.
    pub(crate) cpu_s: f64,
    /// The memory of the measured process at its end.
    pub(crate) rss_mb: f64,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

impl Line {
    pub(crate) fn of(options: &Options, case: &str, tasks: usize) -> Self {
        Self {
            case: case.to_owned(),
            store: options.store.clone(),
            tasks,
            ..Self::default()
        }
    }

    pub(crate) fn rate(mut self, tasks: usize, took: Duration) -> Self {
        self.per_second = Some(rounded(count_of(tasks) / took.as_secs_f64()));
        self
    }

    pub(crate) fn times(mut self, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |part: usize| {
            times
                .get((times.len() * part / 100).min(times.len().saturating_sub(1)))
                .copied()
        };
        self.p50_ms = at(50).map(millis);
        self.p99_ms = at(99).map(millis);
        self
    }

    /// What a process has used between two readings.
    pub(crate) fn used(mut self, before: Usage, after: Usage) -> Self {
        self.cpu_s = rounded(after.cpu_s - before.cpu_s);
        self.rss_mb = rounded(after.rss_mb);
        self
    }

    /// What Firestore was asked.
    pub(crate) fn asked(mut self, asked: Option<Asked>) -> Self {
        if let Some(asked) = asked {
            let tasks = count_of(self.tasks);
            #[expect(clippy::cast_precision_loss, reason = "requests are counted in thousands")]
            let each = |count: u64| rounded(count as f64 / tasks);
            self.rpcs_per_task = Some(each(asked.rpcs));
            self.reads_per_task = Some(each(asked.reads));
            self.conflicts_per_task = Some(each(asked.conflicts));
        }
        self
    }

    #[expect(clippy::print_stdout, reason = "a measurement is printed")]
    pub(crate) fn print(&self) -> Result<(), serde_json::Error> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }
}

/// What Firestore was asked.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Asked {
    rpcs: u64,
    reads: u64,
    conflicts: u64,
}

impl Asked {
    /// Between two readings of a store.
    pub(crate) fn between(before: Billed, after: Billed) -> Self {
        Self {
            rpcs: after.rpcs - before.rpcs,
            reads: after.reads - before.reads,
            conflicts: after.conflicts - before.conflicts,
        }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            rpcs: self.rpcs + other.rpcs,
            reads: self.reads + other.reads,
            conflicts: self.conflicts + other.conflicts,
        }
    }
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    cpu_s: f64,
    rss_mb: f64,
}

impl Usage {
    pub(crate) fn of_this_process() -> Self {
        Self::of("self")
    }

    /// Zero where the system does not tell.
    pub(crate) fn of(process: &str) -> Self {
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The fields after the program's name, which may have blanks in it.
        let fields: Vec<f64> = stat
            .rsplit_once(')')
            .map(|(_, rest)| {
                rest.split_whitespace()
                    .map(|field| field.parse().unwrap_or(0.0))
                    .collect()
            })
            .unwrap_or_default();
        let ticks: f64 = fields.iter().skip(11).take(2).sum();
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let rss = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        let rss_kb: f64 = rss.and_then(|rss| rss.trim().parse().ok()).unwrap_or(0.0);
        Self {
            cpu_s: ticks / TICKS_PER_SECOND,
            rss_mb: rss_kb / 1024.0,
        }
    }
}

pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Milliseconds, to the nanosecond.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e9).round() / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "counts of tasks are far below 2^52")]
fn count_of(tasks: usize) -> f64 {
    tasks as f64
}
