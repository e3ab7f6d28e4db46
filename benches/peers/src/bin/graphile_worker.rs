//! `graphile_worker` in two variants: with its defaults, and tuned according to its page on throughput.

use std::sync::Arc;
use std::time::Duration;

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, TaskHandler, WorkerContext, WorkerOptions, WorkerUtils,
};
use peers::{Job, Options, Peer, Result, postgres, record_run};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::task::JoinHandle;

const SCHEMA: &str = "graphile_worker";

#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct Noop(Job);

impl TaskHandler for Noop {
    const IDENTIFIER: &'static str = "noop";

    async fn run(self, _: WorkerContext) -> impl IntoTaskHandlerResult {
        record_run(&self.0);
        Ok::<(), String>(())
    }
}

#[derive(Clone)]
struct Queue {
    pool: PgPool,
    utils: Arc<WorkerUtils>,
    tuned: bool,
}

struct Worker {
    worker: Arc<graphile_worker::Worker>,
    end: JoinHandle<()>,
}

impl Peer for Queue {
    type Worker = Worker;
    const NAME: &str = "graphile-worker";
    const VARIANTS: &[&str] = &["defaults", "tuned"];

    async fn open(options: &Options) -> Result<Self> {
        let tuned = options.is("tuned");
        let pool = postgres::database(options, if tuned { 50 } else { 10 }).await?;
        let utils = WorkerUtils::new(pool.clone(), SCHEMA);
        utils.migrate().await?;
        Ok(Self {
            pool,
            utils: Arc::new(utils),
            tuned,
        })
    }

    async fn create(&self, job: Job) -> Result {
        self.utils.add_job(Noop(job), JobSpec::default()).await?;
        Ok(())
    }

    async fn create_all(&self, jobs: Vec<Job>) -> Result {
        let spec = JobSpec::default();
        let jobs: Vec<_> = jobs.into_iter().map(|job| (Noop(job), &spec)).collect();
        self.utils.add_jobs(&jobs).await?;
        Ok(())
    }

    async fn start(&self, concurrency: usize) -> Result<Worker> {
        const BATCH_DELAY: Duration = Duration::from_millis(5);
        let mut options = WorkerOptions::default()
            .schema(SCHEMA)
            .pg_pool(self.pool.clone())
            .concurrency(concurrency)
            .listen_os_shutdown_signals(false)
            .define_job::<Noop>();
        if self.tuned {
            options = options
                .poll_interval(Duration::from_millis(500))
                .complete_job_batch_delay(BATCH_DELAY)
                .fail_job_batch_delay(BATCH_DELAY)
                .local_queue(LocalQueueConfig::default().with_size(5000));
        }
        let worker = Arc::new(Box::pin(options.init()).await?);
        let running = worker.clone();
        let end = tokio::spawn(async move {
            if let Err(error) = running.run().await {
                eprintln!("the worker failed: {error}");
            }
        });
        Ok(Worker { worker, end })
    }

    /// Counts the rows, because a completed job is deleted.
    async fn unfinished(&self) -> Result<usize> {
        postgres::count(&self.pool, "SELECT count(*) FROM graphile_worker._private_jobs").await
    }

    async fn stop(&self, worker: Worker) -> Result {
        let Worker { worker, mut end } = worker;
        worker.request_shutdown();
        if tokio::time::timeout(Duration::from_secs(2), &mut end)
            .await
            .is_err()
        {
            end.abort();
        }
        Ok(())
    }
}

fn main() -> Result {
    peers::main::<Queue>()
}
