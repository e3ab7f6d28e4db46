//! One JSON line a measurement: what our benches print, and those of the peers they are compared with.

use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A measurement.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Line {
    /// What was measured.
    pub case: String,
    /// On what.
    pub store: String,
    /// How many tasks were asked for.
    pub tasks: usize,
    /// Callers or handlers at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<usize>,
    /// Tasks a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
    /// The median, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// What 99 of 100 stayed below, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// How many times the median of an empty store it is, of which each measurement was made beside one of this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_to_empty: Option<f64>,
    /// Processes at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<usize>,
    /// Requests to Firestore by those who ran the tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpcs_per_task: Option<f64>,
    /// Documents that they read from Firestore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads_per_task: Option<f64>,
    /// Writes that were refused, as another process was faster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts_per_task: Option<f64>,
    /// Requests to Firestore by an idle worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpcs_per_hour: Option<f64>,
    /// Documents that it read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads_per_hour: Option<f64>,
    /// Processor time, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_task: Option<f64>,
    /// Calls of the allocator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocations_per_task: Option<f64>,
    /// What those calls asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated_bytes_per_task: Option<f64>,
    /// Memory that a task holds while it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes_per_task: Option<f64>,
    /// What the files of the store have grown by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_bytes_per_task: Option<f64>,
    /// Processor time that the measured process spent on it.
    pub cpu_s: f64,
    /// The memory of the measured process at its end.
    pub rss_mb: f64,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Line {
    /// A measurement of which nothing is known yet.
    #[must_use]
    pub fn of(store: &str, case: &str, tasks: usize) -> Self {
        Self {
            case: case.to_owned(),
            store: store.to_owned(),
            tasks,
            ..Self::default()
        }
    }

    /// So many in this time.
    #[must_use]
    pub fn rate(mut self, tasks: usize, took: Duration) -> Self {
        self.per_second = Some(rounded(count_of(tasks) / took.as_secs_f64()));
        self
    }

    /// The median and the 99th percentile of these.
    #[must_use]
    pub fn times(mut self, mut times: Vec<Duration>) -> Self {
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

    /// What an empty store took for the same.
    #[must_use]
    pub fn beside_empty(mut self, empty: Vec<Duration>) -> Self {
        let empty = Self::default().times(empty).p50_ms;
        let ratio = self.p50_ms.zip(empty).map(|(own, empty)| own / empty);
        self.p50_to_empty = ratio.map(rounded);
        self
    }

    /// What a process has used between two readings.
    #[must_use]
    pub fn used(mut self, before: Usage, after: Usage) -> Self {
        self.cpu_s = rounded(after.cpu_s - before.cpu_s);
        self.rss_mb = rounded(after.rss_mb);
        self
    }

    /// What a server was asked.
    #[must_use]
    pub fn asked(mut self, asked: Option<Asked>) -> Self {
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

    /// What a server was asked in this time by a worker that had nothing to do.
    #[must_use]
    pub fn asked_while_idle(mut self, asked: Asked, time: Duration) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "requests are counted in thousands")]
        let each = |count: u64| rounded(count as f64 * 3600.0 / time.as_secs_f64());
        self.rpcs_per_hour = Some(each(asked.rpcs));
        self.reads_per_hour = Some(each(asked.reads));
        self
    }

    /// Prints it.
    ///
    /// # Errors
    ///
    /// None that is known: every line has a form in JSON.
    #[expect(clippy::print_stdout, reason = "a measurement is printed")]
    pub fn print(&self) -> Result<(), serde_json::Error> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }
}

/// What a server was asked.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Asked {
    /// Requests.
    pub rpcs: u64,
    /// Documents read.
    pub reads: u64,
    /// Writes refused.
    pub conflicts: u64,
}

impl Asked {
    /// Since an earlier reading.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            rpcs: self.rpcs - before.rpcs,
            reads: self.reads - before.reads,
            conflicts: self.conflicts - before.conflicts,
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            rpcs: self.rpcs + other.rpcs,
            reads: self.reads + other.reads,
            conflicts: self.conflicts + other.conflicts,
        }
    }
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time.
    pub cpu_s: f64,
    /// Memory.
    pub rss_mb: f64,
}

impl Usage {
    /// This one.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::of("self")
    }

    /// The process with this id. Zero where the system does not tell.
    #[must_use]
    pub fn of(process: &str) -> Self {
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

/// To three places.
#[must_use]
pub fn rounded(value: f64) -> f64 {
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
