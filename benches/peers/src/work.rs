//! The work that is measured: none.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};

/// A task of the usual size whose handler does nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    pub number: usize,
    pub text: String,
    /// When it was created, in nanoseconds by the computer's clock, where that is the question.
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

    /// One that is created now.
    pub(crate) fn stamped(number: usize) -> Self {
        Self {
            created: Some(nanos()),
            ..Self::new(number)
        }
    }
}

/// Handlers are plain functions in most libraries: what they count is the program's.
static RUNS: AtomicUsize = AtomicUsize::new(0);
static ENOUGH: AtomicUsize = AtomicUsize::new(usize::MAX);
static WAKE: Notify = Notify::const_new();
static WAITS: Mutex<Option<mpsc::UnboundedSender<Duration>>> = Mutex::new(None);

/// What every handler does.
pub fn ran(job: &Job) {
    if let Some(created) = job.created {
        let wait = Duration::from_nanos(nanos().saturating_sub(created));
        if let Some(waits) = WAITS.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            // Who measures may have seen enough.
            let _ = waits.send(wait);
        }
    }
    if RUNS.fetch_add(1, Ordering::Relaxed) + 1 == ENOUGH.load(Ordering::Relaxed) {
        WAKE.notify_one();
    }
}

/// Counts from zero again.
pub(crate) fn expect(runs: usize) {
    RUNS.store(0, Ordering::Relaxed);
    ENOUGH.store(runs, Ordering::Relaxed);
}

/// Waits for as many runs as are expected.
pub(crate) async fn enough() {
    WAKE.notified().await;
}

/// How long each stamped task waits from now on.
pub(crate) fn waits() -> mpsc::UnboundedReceiver<Duration> {
    let (sender, waits) = mpsc::unbounded_channel();
    *WAITS.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    waits
}

fn nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
