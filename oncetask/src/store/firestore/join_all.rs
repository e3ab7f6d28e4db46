//! Running several futures at the same time.

use std::future::Future;

/// Runs each future as a task of the store's thread. Returns their results in order. A panic of a future is passed
/// on.
pub(super) async fn join_all<T, F>(futures: impl IntoIterator<Item = F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let running: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
    let mut results = Vec::with_capacity(running.len());
    for task in running {
        match task.await {
            Ok(result) => results.push(result),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The thread is ending, and this future with it.
                Err(_) => std::future::pending().await,
            },
        }
    }
    results
}
