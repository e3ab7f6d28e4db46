//! Writes verdicts: at once when nothing else is on its way, gathered otherwise.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use super::drive::{Drive, UnderWay};
use super::latch::Latch;
use super::lease::{Hold, Keeper};
use crate::client::Client;
use crate::store::Finish;
use crate::task::transition::LeaseLost;

/// How many verdicts wait before handlers do.
const WAITING: usize = 4096;
/// How many verdicts one call to the store carries.
const BATCH: usize = 500;
/// How many calls to the store are on their way at once.
const CALLS: usize = 4;
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// The verdicts on the tasks of a claim on their way, and the claim, which is kept until they are stored.
#[derive(Debug)]
struct Job {
    finishes: Vec<Finish>,
    hold: Option<Hold>,
}

/// Takes verdicts and sees to it that they are stored.
#[derive(Clone, Debug)]
pub(super) struct Completer {
    jobs: mpsc::Sender<Job>,
    closing: Arc<Latch>,
    calls: Arc<UnderWay>,
}

/// Where verdicts are stored, and who keeps their claims until then.
#[derive(Clone, Debug)]
struct Desk {
    client: Client,
    keeper: Keeper,
}

impl Completer {
    pub(super) fn start(client: Client, keeper: Keeper, drive: &Drive) -> Self {
        let (jobs, receiver) = mpsc::channel(WAITING);
        let (closing, calls) = (Arc::new(Latch::default()), Arc::new(UnderWay::new()));
        let desk = Desk { client, keeper };
        let gathering = gather(desk, receiver, closing.clone(), (calls.clone(), drive.clone()));
        drive.spawn(calls.track(gathering));
        Self { jobs, closing, calls }
    }

    /// Hands in the verdicts on a call's tasks. Waits when too many wait.
    pub(super) async fn submit(&self, finishes: Vec<Finish>, hold: Option<Hold>) {
        if let Err(unsent) = self.jobs.send(Job { finishes, hold }).await {
            for finish in unsent.0.finishes {
                tracing::warn!(id = %finish.id, "the worker has stopped: this task runs again when its lease ends");
            }
        }
    }

    /// Waits until everything handed in is stored or refused. Nothing is taken any more.
    pub(super) async fn drained(&self) {
        self.closing.set();
        self.calls.ended().await;
    }
}

async fn gather(
    desk: Desk,
    mut jobs: mpsc::Receiver<Job>,
    closing: Arc<Latch>,
    (calls, drive): (Arc<UnderWay>, Drive),
) {
    let free = Arc::new(Semaphore::new(CALLS));
    loop {
        let first = tokio::select! {
            biased;
            job = jobs.recv() => job,
            // What was handed in before is still read.
            () = closing.wait(), if !jobs.is_closed() => {
                jobs.close();
                continue;
            }
        };
        let Some(first) = first else { return };
        let Ok(permit) = free.clone().acquire_owned().await else {
            return;
        };
        let (mut tasks, mut batch) = (first.finishes.len(), vec![first]);
        while tasks < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            tasks += job.finishes.len();
            batch.push(job);
        }
        let desk = desk.clone();
        drive.spawn(calls.track(async move {
            desk.store(batch).await;
            drop(permit);
        }));
    }
}

impl Desk {
    /// Stores verdicts, however long that takes: a handler's work is not thrown away because the store is away.
    /// Its leases are extended meanwhile, and when that fails too the store refuses what came too late.
    async fn store(&self, mut batch: Vec<Job>) {
        let mut delay = FIRST_RETRY;
        let answers = loop {
            let finishes: Vec<_> = verdicts(&batch).cloned().collect();
            let tasks = finishes.len();
            match self
                .client
                .store()
                .finish(finishes, self.client.clock().now())
                .await
            {
                Ok(answers) => break answers,
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, tasks, "outcomes could not be stored; trying again");
                }
                // One that cannot be stored must not take the others with it.
                Err(_) if tasks > 1 => return self.store_each(batch).await,
                Err(error) => {
                    let ids: Vec<_> = verdicts(&batch).map(|finish| finish.id.as_str()).collect();
                    tracing::error!(%error, ?ids, "outcomes could not be stored: these tasks run again when their leases end");
                    return;
                }
            }
            tokio::time::sleep(delay.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            delay = (delay * 2).min(LAST_RETRY);
        };
        let holds: Vec<_> = batch.iter_mut().filter_map(|job| job.hold.take()).collect();
        self.keeper.let_go(&holds);
        drop(holds);
        for (finish, answer) in verdicts(&batch).zip(answers) {
            if let Err(LeaseLost) = answer {
                tracing::warn!(
                    id = %finish.id,
                    "the outcome was refused, for the lease was lost or the task deleted: nothing was written"
                );
            }
        }
    }

    async fn store_each(&self, batch: Vec<Job>) {
        for Job { finishes, hold } in batch {
            for finish in finishes {
                let job = Job {
                    finishes: vec![finish],
                    hold: None,
                };
                Box::pin(self.store(vec![job])).await;
            }
            drop(hold);
        }
    }
}

fn verdicts(batch: &[Job]) -> impl Iterator<Item = &Finish> {
    batch.iter().flat_map(|job| &job.finishes)
}
