//! The format of a measurement: one line of JSON. oncetask's benches and those of the peers print it.

mod usage;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::usage::{ProcessUsage, ServerUsage};

/// A measurement. Programs read these fields: do not rename them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Line {
    /// The name of the case.
    pub case: String,
    /// The measured store, or the measured peer and its variant.
    pub store: String,
    /// The number of tasks that were requested.
    pub tasks: usize,
    /// The number of concurrent callers or handlers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<usize>,
    /// The number of tasks per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
    /// The median duration, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// The 99th percentile of the durations, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// The ratio of the median to that of an empty store. The two stores are measured alternately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_to_empty: Option<f64>,
    /// The number of worker processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<usize>,
    /// The number of requests that the workers sent to Firestore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpcs_per_task: Option<f64>,
    /// The number of documents that the workers read from Firestore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads_per_task: Option<f64>,
    /// The number of writes that Firestore refused because another process was faster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts_per_task: Option<f64>,
    /// The number of requests that an idle worker sends to Firestore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpcs_per_hour: Option<f64>,
    /// The number of documents that an idle worker reads from Firestore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads_per_hour: Option<f64>,
    /// The processor time, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_task: Option<f64>,
    /// The number of calls to the allocator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocations_per_task: Option<f64>,
    /// The number of bytes that those calls requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated_bytes_per_task: Option<f64>,
    /// The resident memory of a stored task, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes_per_task: Option<f64>,
    /// The growth of the store's files, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_bytes_per_task: Option<f64>,
    /// The processor time that the measured process used, in seconds.
    pub cpu_s: f64,
    /// The resident memory of the measured process at the end, in MiB.
    pub rss_mb: f64,
    /// A remark for the reader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Line {
    /// Returns a measurement without figures.
    #[must_use]
    pub fn new(store: &str, case: &str, tasks: usize) -> Self {
        Self {
            case: case.to_owned(),
            store: store.to_owned(),
            tasks,
            ..Self::default()
        }
    }

    /// Sets the number of tasks per second.
    #[must_use]
    pub fn rate(mut self, tasks: usize, took: Duration) -> Self {
        self.per_second = Some(rounded(to_f64(tasks) / took.as_secs_f64()));
        self
    }

    /// Sets the median and the 99th percentile of these durations.
    #[must_use]
    pub fn percentiles(mut self, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let percentile = |percent: usize| {
            times
                .get((times.len() * percent / 100).min(times.len().saturating_sub(1)))
                .copied()
        };
        self.p50_ms = percentile(50).map(millis);
        self.p99_ms = percentile(99).map(millis);
        self
    }

    /// Sets the ratio of the median to that of an empty store, from the durations of the empty store. Call
    /// [`percentiles`](Self::percentiles) first.
    #[must_use]
    pub fn compared_with_empty(mut self, empty: Vec<Duration>) -> Self {
        let empty = Self::default().percentiles(empty).p50_ms;
        let ratio = self.p50_ms.zip(empty).map(|(own, empty)| own / empty);
        self.p50_to_empty = ratio.map(rounded);
        self
    }

    /// Sets the processor time between two readings, and the memory at the second one.
    #[must_use]
    pub fn process_usage(mut self, before: ProcessUsage, after: ProcessUsage) -> Self {
        self.cpu_s = rounded(after.cpu_s - before.cpu_s);
        self.rss_mb = rounded(after.rss_mb);
        self
    }

    /// Sets the requests to a server per task, if the store has a server.
    #[must_use]
    pub fn server_usage(mut self, usage: Option<ServerUsage>) -> Self {
        if let Some(usage) = usage {
            let tasks = to_f64(self.tasks);
            #[expect(clippy::cast_precision_loss, reason = "requests are counted in thousands")]
            let per_task = |count: u64| rounded(count as f64 / tasks);
            self.rpcs_per_task = Some(per_task(usage.rpcs));
            self.reads_per_task = Some(per_task(usage.reads));
            self.conflicts_per_task = Some(per_task(usage.conflicts));
        }
        self
    }

    /// Sets the requests per hour that an idle worker sends, from its usage in this time.
    #[must_use]
    pub fn idle_server_usage(mut self, usage: ServerUsage, time: Duration) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "requests are counted in thousands")]
        let per_hour = |count: u64| rounded(count as f64 * 3600.0 / time.as_secs_f64());
        self.rpcs_per_hour = Some(per_hour(usage.rpcs));
        self.reads_per_hour = Some(per_hour(usage.reads));
        self
    }

    /// Prints the measurement as a line of JSON.
    ///
    /// # Errors
    ///
    /// Returns an error if the measurement has no JSON form. No such measurement is known.
    #[expect(clippy::print_stdout, reason = "a measurement is printed")]
    pub fn print(&self) -> Result<(), serde_json::Error> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }
}

/// Returns the value rounded to three decimal places.
#[must_use]
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Returns the duration in milliseconds, rounded to the nanosecond.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e9).round() / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "counts of tasks are far below 2^52")]
fn to_f64(tasks: usize) -> f64 {
    tasks as f64
}
