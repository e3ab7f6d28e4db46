//! effectum: as it is, fetching by halves, and so on a file that somebody has switched to WAL, which its own switch misses.
//!
//! It asks for `pragma journal`, which is none, and so stays with a rollback journal, and for `synchronous = NORMAL`. With such a
//! journal that still waits for the disk; with WAL it does not.

use std::sync::Arc;
use std::time::Duration;

use effectum::{JobRunner, Queue, RunningJob, Worker};
use peers::{Job, Options, Peer, Result, folder, ran};

#[derive(Clone)]
struct Effectum {
    queue: Arc<Queue>,
    /// Fetches when half of what it runs has ended, and not after each.
    by_halves: bool,
    _folder: Arc<tempfile::TempDir>,
}

const KIND: &str = "noop";

fn job(job: &Job) -> Result<effectum::Job> {
    Ok(effectum::Job::builder(KIND).json_payload(job)?.build())
}

async fn run(job: RunningJob, (): ()) -> std::result::Result<(), effectum::Error> {
    ran(&job.json_payload()?);
    Ok(())
}

impl Peer for Effectum {
    type Worker = Worker;
    const NAME: &str = "effectum";
    const VARIANTS: &[&str] = &["defaults", "tuned", "wal"];

    async fn open(options: &Options) -> Result<Self> {
        let folder = folder()?;
        let file = folder.path().join("bench.db");
        if options.is("wal") {
            let file = rusqlite::Connection::open(&file)?;
            file.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        }
        Ok(Self {
            queue: Arc::new(Queue::new(&file).await?),
            by_halves: !options.is("defaults"),
            _folder: Arc::new(folder),
        })
    }

    async fn create(&self, noop: Job) -> Result {
        self.queue.add_job(job(&noop)?).await?;
        Ok(())
    }

    async fn create_all(&self, jobs: Vec<Job>) -> Result {
        let jobs: Result<Vec<_>> = jobs.iter().map(job).collect();
        self.queue.add_jobs(jobs?).await?;
        Ok(())
    }

    async fn start(&self, concurrency: usize) -> Result<Worker> {
        let noop = JobRunner::builder(KIND, run).build();
        let concurrency = u16::try_from(concurrency)?;
        let mut worker = Worker::builder(&self.queue, ())
            .jobs([noop])
            .max_concurrency(concurrency);
        if self.by_halves {
            worker = worker.min_concurrency((concurrency / 2).max(1));
        }
        Ok(worker.build().await?)
    }

    async fn unfinished(&self) -> Result<usize> {
        let active = self.queue.num_active_jobs().await?;
        Ok(usize::try_from(active.pending + active.running)?)
    }

    async fn stop(&self, worker: Worker) -> Result {
        // What it has begun may be more than it can end in a while.
        let _ = worker.unregister(Some(Duration::from_secs(2))).await;
        Ok(())
    }
}

fn main() -> Result {
    peers::main::<Effectum>()
}
