//! Writes verdicts: at once when nothing else is on its way, gathered otherwise.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::drive::Drive;
use super::lease::Hold;
use crate::client::Client;
use crate::store::Finish;
use crate::task::transition::LeaseLost;

/// How many verdicts wait before handlers do.
const WAITING: usize = 4096;
/// How many verdicts one call to the store carries.
const BATCH: usize = 512;
/// How many calls to the store are on their way at once.
const CALLS: usize = 4;
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// A verdict on its way, and the claim, which is kept until the verdict is stored.
type Job = (Finish, Option<Arc<Hold>>);

/// Takes verdicts and sees to it that they are stored.
#[derive(Clone, Debug)]
pub(super) struct Completer {
    jobs: mpsc::Sender<Job>,
    closing: CancellationToken,
    calls: TaskTracker,
}

impl Completer {
    pub(super) fn start(client: Client, drive: &Drive) -> Self {
        let (jobs, receiver) = mpsc::channel(WAITING);
        let (closing, calls) = (CancellationToken::new(), TaskTracker::new());
        let gathering = gather(client, receiver, closing.clone(), (calls.clone(), drive.clone()));
        drive.spawn(calls.track_future(gathering));
        Self { jobs, closing, calls }
    }

    /// Hands in the verdicts on a call's tasks. Waits when too many wait.
    pub(super) async fn submit(&self, finishes: Vec<Finish>, hold: Option<Hold>) {
        let hold = hold.map(Arc::new);
        for finish in finishes {
            if let Err(unsent) = self.jobs.send((finish, hold.clone())).await {
                let (finish, _) = unsent.0;
                tracing::warn!(id = %finish.id, "the worker has stopped: this task runs again when its lease ends");
            }
        }
    }

    /// Waits until everything handed in is stored or refused. Nothing is taken any more.
    pub(super) async fn drained(&self) {
        self.closing.cancel();
        self.calls.close();
        self.calls.wait().await;
    }
}

async fn gather(
    client: Client,
    mut jobs: mpsc::Receiver<Job>,
    closing: CancellationToken,
    (calls, drive): (TaskTracker, Drive),
) {
    let free = Arc::new(Semaphore::new(CALLS));
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let got = tokio::select! {
            biased;
            got = jobs.recv_many(&mut batch, BATCH) => got,
            // What was handed in before is still read.
            () = closing.cancelled(), if !jobs.is_closed() => {
                jobs.close();
                continue;
            }
        };
        if got == 0 {
            return;
        }
        let Ok(permit) = free.clone().acquire_owned().await else {
            return;
        };
        while batch.len() < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
        let batch = std::mem::take(&mut batch);
        let client = client.clone();
        drive.spawn(calls.track_future(async move {
            store(&client, batch).await;
            drop(permit);
        }));
    }
}

/// Stores verdicts, however long that takes: a handler's work is not thrown away because the store is away.
/// Its leases are extended meanwhile, and when that fails too the store refuses what came too late.
async fn store(client: &Client, batch: Vec<Job>) {
    let (finishes, mut holds): (Vec<Finish>, Vec<_>) = batch.into_iter().unzip();
    let mut delay = FIRST_RETRY;
    let answers = loop {
        match client
            .store()
            .finish(finishes.clone(), client.clock().now())
            .await
        {
            Ok(answers) => break answers,
            Err(error) if error.may_pass() => {
                tracing::warn!(%error, tasks = finishes.len(), "outcomes could not be stored; trying again");
            }
            // One that cannot be stored must not take the others with it.
            Err(_) if finishes.len() > 1 => {
                for job in finishes.into_iter().zip(holds.drain(..)) {
                    Box::pin(store(client, vec![job])).await;
                }
                return;
            }
            Err(error) => {
                let ids: Vec<_> = finishes.iter().map(|finish| finish.id.as_str()).collect();
                tracing::error!(%error, ?ids, "outcomes could not be stored: these tasks run again when their leases end");
                return;
            }
        }
        tokio::time::sleep(delay.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        delay = (delay * 2).min(LAST_RETRY);
    };
    drop(holds);
    for (finish, answer) in finishes.iter().zip(answers) {
        if let Err(LeaseLost) = answer {
            tracing::warn!(
                id = %finish.id,
                "the outcome was refused, for the lease was lost or the task deleted: nothing was written"
            );
        }
    }
}
