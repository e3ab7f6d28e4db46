//! Bounded waits: a test fails instead of hanging.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// The longest wait of a test. It is long enough for a busy machine, and for an event that the Firestore
/// emulator's listener misses and that the store's poll finds after a minute. Only a failing test waits that long.
pub const TIMEOUT: Duration = Duration::from_secs(90);

/// The interval at which conditions are polled.
pub const INTERVAL: Duration = Duration::from_millis(5);

/// Calls the probe at this interval until it returns a value. Returns `None` after the time limit.
pub async fn poll<T>(
    interval: Duration,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> Option<T> {
    let polling = async {
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            sleep(interval).await;
        }
    };
    timeout(limit, polling).await.ok()
}

/// Returns the future's output.
///
/// # Panics
///
/// Panics after [`TIMEOUT`].
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    let output = timeout(TIMEOUT, future).await;
    output.unwrap_or_else(|_| panic!("timed out after {TIMEOUT:?}"))
}

/// Polls a condition that sends no notification until it holds.
///
/// # Panics
///
/// Panics after [`TIMEOUT`].
pub async fn until(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            sleep(INTERVAL).await;
        }
    })
    .await;
}

/// Polls an asynchronous condition until it holds. `description` completes the message "timed out: …".
///
/// # Panics
///
/// Panics after [`TIMEOUT`].
pub async fn until_async(description: &str, condition: impl AsyncFn() -> bool) {
    let held = poll(INTERVAL * 4, TIMEOUT, async || condition().await.then_some(())).await;
    assert!(held.is_some(), "timed out: {description}");
}
