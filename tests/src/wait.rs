//! Waiting for what nobody tells of, such as what other processes do.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Looks every so often until there is something to see. `None` if that takes longer than `patience`.
pub async fn until<T>(
    every: Duration,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> Option<T> {
    let seen = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            sleep(every).await;
        }
    };
    timeout(patience, seen).await.ok()
}
