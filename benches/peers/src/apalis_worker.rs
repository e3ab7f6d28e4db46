//! What the two programs of apalis share.

use std::time::Duration;

use apalis::prelude::{BoxDynError, WorkerError};
use peers::{Job, Result, ran};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What ends a worker, and its end.
pub(crate) struct Worker {
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) end: JoinHandle<std::result::Result<(), WorkerError>>,
}

/// The handler.
pub(crate) async fn run(job: Job) -> std::result::Result<(), BoxDynError> {
    ran(&job);
    Ok(())
}

/// Runs a worker, whose type has no name.
macro_rules! start_worker {
    ($worker:expr) => {{
        let worker = $worker;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let signal = async move {
            // One that is dropped ends it as well.
            let _ = stopped.await;
            Ok::<(), apalis::prelude::WorkerError>(())
        };
        Worker {
            stop,
            end: tokio::spawn(worker.run_until(signal)),
        }
    }};
}
pub(crate) use start_worker;

/// It has a while to end by itself.
pub(crate) async fn stop_worker(worker: Worker) -> Result {
    let Worker { stop, mut end } = worker;
    // One that has ended need not be told.
    let _ = stop.send(());
    if tokio::time::timeout(Duration::from_secs(2), &mut end)
        .await
        .is_err()
    {
        end.abort();
    }
    Ok(())
}
