//! One JSON line a measurement.

use std::fs;
use std::time::Duration;

use oncetask::store::Usage as Asked;
use serde::Serialize;

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
    /// Requests to Firestore, and documents read, by this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rpcs_per_task: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reads_per_task: Option<f64>,
    /// Processor time that the measured process spent on it.
    pub(crate) cpu_s: f64,
    /// The same for one task, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_us_per_task: Option<f64>,
    /// What one task takes of the store's file, and of the memory of the process if the store is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file_bytes_per_task: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_bytes_per_task: Option<f64>,
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
        if self.tasks > 0 {
            self.cpu_us_per_task = Some(rounded(self.cpu_s * 1e6 / count_of(self.tasks)));
        }
        self
    }

    /// What so many tasks take of a file of this length, or of the memory between two readings.
    pub(crate) fn kept(mut self, file: Option<u64>, before: Usage, after: Usage) -> Self {
        const MIB: f64 = 1024.0 * 1024.0;
        let tasks = count_of(self.tasks);
        #[expect(clippy::cast_precision_loss, reason = "files are far smaller than 2^52 bytes")]
        let of_file = |bytes: u64| rounded(bytes as f64 / tasks);
        self.file_bytes_per_task = file.map(of_file);
        if file.is_none() {
            self.memory_bytes_per_task = Some(rounded((after.rss_mb - before.rss_mb) * MIB / tasks));
        }
        self
    }

    /// What Firestore was asked between two readings.
    pub(crate) fn asked(mut self, before: Option<Asked>, after: Option<Asked>) -> Self {
        if let (Some(before), Some(after)) = (before, after) {
            let tasks = count_of(self.tasks);
            #[expect(clippy::cast_precision_loss, reason = "requests are counted in thousands")]
            let each = |count: u64| rounded(count as f64 / tasks);
            self.rpcs_per_task = Some(each(after.rpcs - before.rpcs));
            self.reads_per_task = Some(each(after.reads - before.reads));
        }
        self
    }

    #[expect(clippy::print_stdout, reason = "a measurement is printed")]
    pub(crate) fn print(&self) -> Result<(), serde_json::Error> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
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
