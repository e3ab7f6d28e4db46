//! apalis with SQLite in two variants: set up as in its README, and tuned according to its documentation.

use std::sync::Arc;
use std::time::Duration;

use apalis::prelude::*;
use apalis_sqlite::callback::HookCallbackListener;
use apalis_sqlite::{Config, SqlitePool, SqliteStorage};
use peers::{Job, Options, Peer, Result, scratch_folder};
use sqlx::Row as _;

use crate::apalis_worker::{Worker, run, start_worker, stop_worker};

#[path = "../apalis_worker.rs"]
mod apalis_worker;

#[derive(Clone)]
struct Queue {
    pool: SqlitePool,
    storage: SqliteStorage<Job>,
    /// Notifies the tuned variant of inserts by this process.
    hook: Option<HookCallbackListener>,
    _folder: Arc<tempfile::TempDir>,
}

impl Peer for Queue {
    type Worker = Worker;
    const NAME: &str = "apalis-sqlite";
    const VARIANTS: &[&str] = &["defaults", "tuned"];

    async fn open(options: &Options) -> Result<Self> {
        let folder = scratch_folder()?;
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("bench.db").display());
        let mut config = Config::default().queue("bench");
        let mut hook = None;
        let mut pool = SqlitePool::connect(&url).await?;
        SqliteStorage::setup(&pool).await?;
        if options.is("tuned") {
            // `setup` has set the connection that it used to `synchronous = OFF`. New connections have
            // SQLite's default, FULL.
            pool.close().await;
            let (durable, listener) = SqliteStorage::connect_with_callback(&url)?;
            let level: i64 = sqlx::query("PRAGMA synchronous")
                .fetch_one(&durable)
                .await?
                .try_get(0)?;
            assert_eq!(level, 2, "the tuned variant must wait for the disk");
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
