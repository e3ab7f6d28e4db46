//! The worker that both apalis programs run.

use std::time::Duration;

use apalis::prelude::{BoxDynError, WorkerError};
use peers::{Job, Result, record_run};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running worker.
pub(crate) struct Worker {
    /// Stops the worker when it is used or dropped.
    pub(crate) stop: oneshot::Sender<()>,
    /// Ends with the worker.
    pub(crate) end: JoinHandle<std::result::Result<(), WorkerError>>,
}

/// Handles a job by counting it.
pub(crate) async fn run(job: Job) -> std::result::Result<(), BoxDynError> {
    record_run(&job);
    Ok(())
}

/// Starts a worker. This is a macro because the type of the worker cannot be named.
macro_rules! start_worker {
    ($worker:expr) => {{
        let worker = $worker;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let signal = async move {
            // A dropped sender stops the worker, too.
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

/// Stops a worker, and aborts it if it is still running after two seconds.
pub(crate) async fn stop_worker(worker: Worker) -> Result {
    let Worker { stop, mut end } = worker;
    // Sending fails if the worker has already ended.
    let _ = stop.send(());
    if tokio::time::timeout(Duration::from_secs(2), &mut end)
        .await
        .is_err()
    {
        end.abort();
    }
    Ok(())
}
