//! Several futures at once.

use std::future::Future;

/// Runs futures at the same time, each as a task of the store's thread, and returns what they return, in
/// order.
pub(super) async fn join_all<T, F>(futures: impl IntoIterator<Item = F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let running: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
    let mut done = Vec::with_capacity(running.len());
    for task in running {
        match task.await {
            Ok(value) => done.push(value),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The thread ends, and with it whoever waits here.
                Err(_) => std::future::pending().await,
            },
        }
    }
    done
}
