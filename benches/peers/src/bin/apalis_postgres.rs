//! apalis with PostgreSQL in two variants: set up as in its README, and tuned according to its documentation.

use std::time::Duration;

use apalis::prelude::*;
use apalis_postgres::{Config, PgPool, PostgresStorage};
use peers::{Job, Options, Peer, Result, postgres};

use crate::apalis_worker::{Worker, run, start_worker, stop_worker};

#[path = "../apalis_worker.rs"]
mod apalis_worker;

#[derive(Clone)]
struct Queue {
    pool: PgPool,
    storage: PostgresStorage<Job>,
    listen: bool,
}

impl Peer for Queue {
    type Worker = Worker;
    const NAME: &str = "apalis-postgres";
    const VARIANTS: &[&str] = &["defaults", "tuned"];

    async fn open(options: &Options) -> Result<Self> {
        let tuned = options.is("tuned");
        let pool = postgres::database(options, if tuned { 50 } else { 10 }).await?;
        PostgresStorage::setup(&pool).await?;
        let config = Config::default().queue("bench");
        let config = if tuned { config.batch_size(100) } else { config };
        let storage = PostgresStorage::new(&pool).with_config(config);
        Ok(Self {
            pool,
            storage,
            listen: tuned,
        })
    }

    async fn create(&self, job: Job) -> Result {
        Ok(self.storage.clone().push(job).await?)
    }

    async fn create_all(&self, jobs: Vec<Job>) -> Result {
        Ok(self.storage.clone().push_bulk(jobs).await?)
    }

    async fn start(&self, concurrency: usize) -> Result<Worker> {
        let builder = WorkerBuilder::new("bench");
        let storage = self.storage.clone();
        Ok(if self.listen {
            let strategy = Strategy::new().interval(Duration::from_millis(500));
            let backend = storage.with_pubsub().poll_with_strategy(strategy);
            start_worker!(builder.backend(backend).concurrency(concurrency).build(run))
        } else {
            start_worker!(builder.backend(storage).concurrency(concurrency).build(run))
        })
    }

    async fn unfinished(&self) -> Result<usize> {
        postgres::count(
            &self.pool,
            "SELECT count(*) FROM apalis.jobs WHERE status <> 'Done'",
        )
        .await
    }

    async fn stop(&self, worker: Worker) -> Result {
        stop_worker(worker).await
    }
}

fn main() -> Result {
    peers::main::<Queue>()
}
