//! effectum in three variants: with its defaults, fetching at half of its concurrency, and the latter on a
//! WAL file.
//!
//! effectum sets `synchronous = NORMAL` and `pragma journal`, which SQLite does not know, so its files keep a
//! rollback journal. With a rollback journal, `NORMAL` waits for the disk; with WAL it does not.

use std::sync::Arc;
use std::time::Duration;

use effectum::{JobRunner, Queue, RunningJob, Worker};
use peers::{Job, Options, Peer, Result, record_run, scratch_folder};

#[derive(Clone)]
struct Effectum {
    queue: Arc<Queue>,
    /// True if a worker fetches jobs when half of its running jobs have ended, instead of after each one.
    fetch_at_half: bool,
    _folder: Arc<tempfile::TempDir>,
}

const KIND: &str = "noop";

fn job(job: &Job) -> Result<effectum::Job> {
    Ok(effectum::Job::builder(KIND).json_payload(job)?.build())
}

async fn run(job: RunningJob, (): ()) -> std::result::Result<(), effectum::Error> {
    record_run(&job.json_payload()?);
    Ok(())
}

impl Peer for Effectum {
    type Worker = Worker;
    const NAME: &str = "effectum";
    const VARIANTS: &[&str] = &["defaults", "tuned", "wal"];

    async fn open(options: &Options) -> Result<Self> {
        let folder = scratch_folder()?;
        let file = folder.path().join("bench.db");
        if options.is("wal") {
            let file = rusqlite::Connection::open(&file)?;
            file.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        }
        Ok(Self {
            queue: Arc::new(Queue::new(&file).await?),
            fetch_at_half: !options.is("defaults"),
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
        if self.fetch_at_half {
            worker = worker.min_concurrency((concurrency / 2).max(1));
        }
        Ok(worker.build().await?)
    }

    async fn unfinished(&self) -> Result<usize> {
        let active = self.queue.num_active_jobs().await?;
        Ok(usize::try_from(active.pending + active.running)?)
    }

    async fn stop(&self, worker: Worker) -> Result {
        // The worker may have fetched more jobs than it can finish in time.
        let _ = worker.unregister(Some(Duration::from_secs(2))).await;
        Ok(())
    }
}

fn main() -> Result {
    peers::main::<Effectum>()
}
