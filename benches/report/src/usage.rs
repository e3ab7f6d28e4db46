//! The resources that a process or a server has used.

use std::fs;

use serde::{Deserialize, Serialize};

/// A reading of the requests to a server. The counters only grow.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ServerUsage {
    /// The number of requests.
    pub rpcs: u64,
    /// The number of documents that were read.
    pub reads: u64,
    /// The number of writes that were refused because another process was faster.
    pub conflicts: u64,
}

impl ServerUsage {
    /// Returns the usage between an earlier reading and this one.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            rpcs: self.rpcs - before.rpcs,
            reads: self.reads - before.reads,
            conflicts: self.conflicts - before.conflicts,
        }
    }

    /// Returns the sum of two usages.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            rpcs: self.rpcs + other.rpcs,
            reads: self.reads + other.reads,
            conflicts: self.conflicts + other.conflicts,
        }
    }
}

/// A reading of the resources that a process has used since it started.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessUsage {
    /// The processor time, in seconds.
    pub cpu_s: f64,
    /// The resident memory at the time of the reading, in MiB.
    pub rss_mb: f64,
}

impl ProcessUsage {
    /// Reads the usage of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::of("self")
    }

    /// Reads the usage of the process with this id. All fields are 0 on a system without `/proc`.
    #[must_use]
    pub fn of(process: &str) -> Self {
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The program's name may contain spaces, so the fields are counted from its closing parenthesis.
        let fields: Vec<f64> = stat
            .rsplit_once(')')
            .map(|(_, rest)| {
                rest.split_whitespace()
                    .map(|field| field.parse().unwrap_or(0.0))
                    .collect()
            })
            .unwrap_or_default();
        // `utime` and `stime`.
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
