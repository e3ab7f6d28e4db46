//! The task of all cases, and the record of its runs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};

/// A task with a payload of typical size, whose handler does nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    pub number: usize,
    pub text: String,
    /// The time of its creation, if the latency is measured, in nanoseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<u64>,
}

impl Job {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            number,
            text: "a payload of about a hundred bytes, as most have: an address, a subject".to_owned(),
            created: None,
        }
    }

    /// Returns a task that contains the current time.
    pub(crate) fn stamped(number: usize) -> Self {
        Self {
            created: Some(unix_nanos()),
            ..Self::new(number)
        }
    }
}

// The record is global, because handlers are plain functions in most libraries.
static RUNS: AtomicUsize = AtomicUsize::new(0);
static EXPECTED_RUNS: AtomicUsize = AtomicUsize::new(usize::MAX);
static ALL_RAN: Notify = Notify::const_new();
static LATENCIES: Mutex<Option<mpsc::UnboundedSender<Duration>>> = Mutex::new(None);

/// Records the run of a task. Every handler calls this.
pub fn record_run(job: &Job) {
    if let Some(created) = job.created {
        let latency = Duration::from_nanos(unix_nanos().saturating_sub(created));
        if let Some(latencies) = LATENCIES.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            // The receiver is dropped at the end of the measurement.
            let _ = latencies.send(latency);
        }
    }
    if RUNS.fetch_add(1, Ordering::Relaxed) + 1 == EXPECTED_RUNS.load(Ordering::Relaxed) {
        ALL_RAN.notify_one();
    }
}

/// Resets the count of runs, and sets the number of runs that [`all_ran`] waits for.
pub(crate) fn expect_runs(runs: usize) {
    RUNS.store(0, Ordering::Relaxed);
    EXPECTED_RUNS.store(runs, Ordering::Relaxed);
}

/// Waits until the expected number of tasks has run.
pub(crate) async fn all_ran() {
    ALL_RAN.notified().await;
}

/// Returns the latency of each stamped task that runs from now on.
pub(crate) fn record_latencies() -> mpsc::UnboundedReceiver<Duration> {
    let (sender, latencies) = mpsc::unbounded_channel();
    *LATENCIES.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    latencies
}

fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
