//! A tokio channel, which stores and claims nothing: the upper limit of the speed of a queue in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use peers::{Job, Options, Peer, Result, record_run};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

#[derive(Clone)]
struct Channel {
    sender: mpsc::UnboundedSender<Job>,
    jobs: Arc<Mutex<mpsc::UnboundedReceiver<Job>>>,
    unfinished: Arc<AtomicUsize>,
}

impl Peer for Channel {
    type Worker = JoinSet<()>;
    const NAME: &str = "channel";
    const VARIANTS: &[&str] = &["tokio"];

    async fn open(_: &Options) -> Result<Self> {
        let (sender, jobs) = mpsc::unbounded_channel();
        Ok(Self {
            sender,
            jobs: Arc::new(Mutex::new(jobs)),
            unfinished: Arc::default(),
        })
    }

    async fn create(&self, job: Job) -> Result {
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        Ok(self.sender.send(job)?)
    }

    async fn create_all(&self, jobs: Vec<Job>) -> Result {
        for job in jobs {
            self.create(job).await?;
        }
        Ok(())
    }

    /// Spawns one tokio task that receives the jobs, and `concurrency` tokio tasks that run them.
    async fn start(&self, concurrency: usize) -> Result<Self::Worker> {
        let mut worker = JoinSet::new();
        let senders = (0..concurrency).map(|_| {
            let (sender, mut jobs) = mpsc::channel::<Job>(64);
            let unfinished = self.unfinished.clone();
            worker.spawn(async move {
                while let Some(job) = jobs.recv().await {
                    record_run(&job);
                    unfinished.fetch_sub(1, Ordering::Relaxed);
                }
            });
            sender
        });
        let senders: Vec<_> = senders.collect();
        let jobs = self.jobs.clone();
        worker.spawn(async move {
            let mut jobs = jobs.lock().await;
            let mut slots = senders.iter().cycle();
            while let (Some(job), Some(slot)) = (jobs.recv().await, slots.next()) {
                if slot.send(job).await.is_err() {
                    return;
                }
            }
        });
        Ok(worker)
    }

    async fn unfinished(&self) -> Result<usize> {
        Ok(self.unfinished.load(Ordering::Relaxed))
    }

    async fn stop(&self, mut worker: Self::Worker) -> Result {
        worker.shutdown().await;
        Ok(())
    }
}

fn main() -> Result {
    peers::main::<Channel>()
}
