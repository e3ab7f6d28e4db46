//! The writes of verdicts: a verdict is written at once, or in a batch while other writes are in flight.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use crate::client::Client;
use crate::latch::Latch;
use crate::lease::{ClaimGuard, Keeper};
use crate::spawn::{Spawner, TaskTracker};
use crate::store::Finish;
use crate::task::transition::LeaseLost;

/// The maximum number of submissions that wait for a write. Beyond it, handlers wait.
const MAX_WAITING: usize = 4096;
/// The number of verdicts at which a batch takes no more submissions.
const MAX_BATCH: usize = 500;
/// The maximum number of concurrent writes.
const MAX_WRITES: usize = 4;
const MIN_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// The verdicts on the tasks of one claim. The lease of the claim is kept until they are stored.
#[derive(Debug)]
struct Submission {
    finishes: Vec<Finish>,
    guard: Option<ClaimGuard>,
}

/// The part of a worker that accepts verdicts and stores them, however long that takes.
#[derive(Clone, Debug)]
pub(super) struct Completer {
    submissions: mpsc::Sender<Submission>,
    closing: Arc<Latch>,
    writes: Arc<TaskTracker>,
}

/// The writer of batches of verdicts.
#[derive(Clone, Debug)]
struct Sink {
    client: Client,
    keeper: Keeper,
}

impl Completer {
    /// Starts the completer of a worker.
    pub(super) fn start(client: Client, keeper: Keeper, spawner: &Spawner) -> Self {
        let (submissions, receiver) = mpsc::channel(MAX_WAITING);
        let (closing, writes) = (Arc::new(Latch::default()), Arc::new(TaskTracker::new()));
        let sink = Sink { client, keeper };
        let batching = batch(sink, receiver, closing.clone(), (writes.clone(), spawner.clone()));
        spawner.spawn(writes.track(batching));
        Self {
            submissions,
            closing,
            writes,
        }
    }

    /// Submits the verdicts on the tasks of one claim. Waits while too many submissions wait.
    pub(super) async fn submit(&self, finishes: Vec<Finish>, guard: Option<ClaimGuard>) {
        if let Err(unsent) = self.submissions.send(Submission { finishes, guard }).await {
            for finish in unsent.0.finishes {
                tracing::warn!(
                    id = %finish.id,
                    "verdict not stored, because the worker has stopped; the task runs again when its lease expires"
                );
            }
        }
    }

    /// Closes the completer and waits until the store has accepted or refused every submission.
    pub(super) async fn drained(&self) {
        self.closing.set();
        self.writes.finished().await;
    }
}

/// Takes submissions and spawns a write for each batch of them. A batch grows only while [`MAX_WRITES`]
/// writes are in flight.
async fn batch(
    sink: Sink,
    mut submissions: mpsc::Receiver<Submission>,
    closing: Arc<Latch>,
    (writes, spawner): (Arc<TaskTracker>, Spawner),
) {
    let free_writes = Arc::new(Semaphore::new(MAX_WRITES));
    loop {
        let first = tokio::select! {
            biased;
            submission = submissions.recv() => submission,
            // A closed channel still returns the submissions that were sent before.
            () = closing.wait(), if !submissions.is_closed() => {
                submissions.close();
                continue;
            }
        };
        let Some(first) = first else { return };
        let Ok(permit) = free_writes.clone().acquire_owned().await else {
            return;
        };
        let (mut tasks, mut batch) = (first.finishes.len(), vec![first]);
        while tasks < MAX_BATCH
            && let Ok(submission) = submissions.try_recv()
        {
            tasks += submission.finishes.len();
            batch.push(submission);
        }
        let sink = sink.clone();
        spawner.spawn(writes.track(async move {
            sink.store(batch).await;
            drop(permit);
        }));
    }
}

impl Sink {
    /// Stores a batch and retries while the store is unavailable, because an outage must not discard the work
    /// of handlers. The leases are extended in the meantime. If that fails too, the store refuses the late
    /// verdicts.
    async fn store(&self, mut batch: Vec<Submission>) {
        let mut backoff = MIN_BACKOFF;
        let answers = loop {
            let verdicts: Vec<_> = finishes(&batch).cloned().collect();
            let tasks = verdicts.len();
            let now = self.client.clock().now();
            match self.client.store().finish(verdicts, now).await {
                Ok(answers) => break answers,
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, tasks, "outcomes could not be stored; retrying");
                }
                // A verdict that cannot be stored must not make the others fail.
                Err(_) if tasks > 1 => return self.store_each(batch).await,
                Err(error) => {
                    let ids: Vec<_> = finishes(&batch).map(|finish| finish.id.as_str()).collect();
                    tracing::error!(%error, ?ids, "outcomes could not be stored; these tasks run again when their leases expire");
                    return;
                }
            }
            tokio::time::sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        };
        let guards: Vec<_> = batch
            .iter_mut()
            .filter_map(|submission| submission.guard.take())
            .collect();
        self.keeper.release(&guards);
        drop(guards);
        for (finish, answer) in finishes(&batch).zip(answers) {
            if let Err(LeaseLost) = answer {
                tracing::warn!(
                    id = %finish.id,
                    "the outcome was refused, because the lease was lost or the task deleted; nothing was written"
                );
            }
        }
    }

    /// Stores the verdicts of a batch one by one.
    async fn store_each(&self, batch: Vec<Submission>) {
        for Submission { finishes, guard } in batch {
            for finish in finishes {
                let single = Submission {
                    finishes: vec![finish],
                    guard: None,
                };
                Box::pin(self.store(vec![single])).await;
            }
            drop(guard);
        }
    }
}

fn finishes(batch: &[Submission]) -> impl Iterator<Item = &Finish> {
    batch.iter().flat_map(|submission| &submission.finishes)
}
