//! apalis with SQLite: as its README sets it up, and as fast as its documentation says how.

use std::sync::Arc;
use std::time::Duration;

use apalis::prelude::*;
use apalis_sqlite::callback::HookCallbackListener;
use apalis_sqlite::{Config, SqlitePool, SqliteStorage};
use peers::{Job, Options, Peer, Result, folder};
use sqlx::Row as _;

use crate::apalis_worker::{Worker, run, start_worker, stop_worker};

#[path = "../apalis_worker.rs"]
mod apalis_worker;

#[derive(Clone)]
struct Queue {
    pool: SqlitePool,
    storage: SqliteStorage<Job>,
    /// The tuned one is told of what this process inserts.
    hook: Option<HookCallbackListener>,
    _folder: Arc<tempfile::TempDir>,
}

impl Peer for Queue {
    type Worker = Worker;
    const NAME: &str = "apalis-sqlite";
    const VARIANTS: &[&str] = &["defaults", "tuned"];

    async fn open(options: &Options) -> Result<Self> {
        let folder = folder()?;
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("bench.db").display());
        let mut config = Config::default().queue("bench");
        let mut hook = None;
        let mut pool = SqlitePool::connect(&url).await?;
        SqliteStorage::setup(&pool).await?;
        if options.is("tuned") {
            // `setup` sets the connection that it finds to `synchronous = OFF`: the others have SQLite's own FULL.
            pool.close().await;
            let (durable, listener) = SqliteStorage::connect_with_callback(&url)?;
            let level: i64 = sqlx::query("PRAGMA synchronous")
                .fetch_one(&durable)
                .await?
                .try_get(0)?;
            assert_eq!(level, 2, "what is compared waits for the disk");
            pool = durable;
            hook = Some(listener);
            config = config.batch_size(100);
        }
        let storage = SqliteStorage::new(&pool).with_config(config);
        Ok(Self {
            pool,
            storage,
            hook,
            _folder: Arc::new(folder),
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
        Ok(if let Some(hook) = self.hook.clone() {
            let strategy = Strategy::new().stream(hook).interval(Duration::from_millis(500));
            let backend = storage.poll_with_strategy(strategy);
            start_worker!(builder.backend(backend).concurrency(concurrency).build(run))
        } else {
            start_worker!(builder.backend(storage).concurrency(concurrency).build(run))
        })
    }

    async fn unfinished(&self) -> Result<usize> {
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM Jobs WHERE status <> 'Done'")
            .fetch_one(&self.pool)
            .await?;
        Ok(usize::try_from(rows)?)
    }

    async fn stop(&self, worker: Worker) -> Result {
        stop_worker(worker).await
    }
}

fn main() -> Result {
    peers::main::<Queue>()
}
