//! The only thread that writes.
//!
//! Callers queue their operations. The writer runs all queued operations in one transaction (group commit),
//! and sends their results after the commit. If one operation fails, the transaction is rolled back, and each
//! operation runs again in a transaction of its own. So an operation never fails because of another one.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::checkpoint::Checkpoints;
use super::claim_cache::ClaimCache;
use super::error::SqliteError;
use super::file::DatabaseFile;
use super::interner::Interner;
use super::notifiers::Notifiers;
use super::sync::Acknowledger;
use super::tx::{Notifications, Tx};
use super::write_op::{BoxedOp, WriteOp};

/// The number of tasks after which a transaction takes no further operation. Other processes wait for its
/// commit.
const MAX_BATCH_TASKS: usize = 1000;
/// The time after which a transaction takes no further operation.
const MAX_BATCH_TIME: Duration = Duration::from_millis(10);

/// The state of the writer thread.
pub(super) struct Writer {
    pub(super) db: Connection,
    pub(super) file: Arc<DatabaseFile>,
    pub(super) interner: Interner,
    pub(super) claim_cache: ClaimCache,
    pub(super) ops: Receiver<BoxedOp>,
    pub(super) notifiers: Arc<Notifiers>,
    pub(super) checkpoints: Checkpoints,
    pub(super) acknowledger: Acknowledger,
}

impl Writer {
    /// Runs until every sender of operations is dropped and all queued operations are settled.
    pub(super) fn run(mut self) {
        while let Ok(mut first) = self.ops.recv() {
            if first.try_read_only(&self.db) {
                first.settle(Ok(()));
                continue;
            }
            self.run_batch(first);
            self.checkpoints.after_commit(&self.db);
        }
    }

    /// Runs this operation and those that are queued in one transaction.
    fn run_batch(&mut self, first: BoxedOp) {
        if let Err(error) = self.begin() {
            return self.fail_queued(first, &error);
        }
        let began = Instant::now();
        let mut batch = Vec::new();
        let mut next = Some(first);
        let mut weight = 0;
        let mut tx = Tx::new(&self.db, &mut self.interner, &mut self.claim_cache);
        let mut outcome = Ok(());
        while let Some(mut op) = next.take() {
            outcome = op.run(&mut tx);
            weight += op.weight();
            batch.push(op);
            if outcome.is_ok() && weight < MAX_BATCH_TASKS && began.elapsed() < MAX_BATCH_TIME {
                next = self.ops.try_recv().ok();
            }
        }
        let outcome = outcome.and_then(|()| tx.prepare_commit());
        match outcome.and_then(|notifications| self.commit().map(|()| notifications)) {
            Ok(notifications) => self.after_commit(batch, notifications),
            Err(error) => self.retry_one_by_one(batch, &error),
        }
    }

    /// Runs each operation of a failed transaction in a transaction of its own. A single operation is only
    /// repeated if the cause of the error may have been removed here.
    fn retry_one_by_one(&mut self, mut batch: Vec<BoxedOp>, error: &SqliteError) {
        self.roll_back();
        let full = error.is_full();
        if full {
            self.checkpoints.after_full_disk(&self.db);
        }
        if batch.len() == 1 && !full && !error.is_stale_cache() {
            let op = batch.pop().expect("the batch has one operation");
            return op.settle(Err(error.to_store_error(&self.file.path)));
        }
        for op in batch {
            self.run_alone(op);
        }
    }

    fn run_alone(&mut self, mut op: BoxedOp) {
        match self.try_alone(&mut *op) {
            Ok(notifications) => self.after_commit(vec![op], notifications),
            Err(error) => {
                self.roll_back();
                op.settle(Err(error.to_store_error(&self.file.path)));
            }
        }
    }

    fn try_alone(&mut self, op: &mut dyn WriteOp) -> Result<Notifications, SqliteError> {
        self.begin()?;
        let mut tx = Tx::new(&self.db, &mut self.interner, &mut self.claim_cache);
        op.run(&mut tx)?;
        let notifications = tx.prepare_commit()?;
        self.commit()?;
        Ok(notifications)
    }

    fn begin(&self) -> Result<(), SqliteError> {
        Ok(self.db.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)?)
    }

    fn commit(&self) -> Result<(), SqliteError> {
        Ok(self.db.prepare_cached("COMMIT")?.execute([]).map(drop)?)
    }

    fn roll_back(&mut self) {
        self.interner.clear();
        self.claim_cache.clear();
        // After some errors SQLite has already rolled back.
        if !self.db.is_autocommit() {
            let _ = self.db.execute_batch("ROLLBACK");
        }
    }

    /// Fails this operation and those that are queued, because no transaction could begin. Each of them would
    /// wait for the lock timeout again. Operations that reading can answer succeed.
    fn fail_queued(&mut self, first: BoxedOp, error: &SqliteError) {
        self.roll_back();
        let error = error.to_store_error(&self.file.path);
        first.settle(Err(error.clone()));
        while let Ok(mut op) = self.ops.try_recv() {
            let answered = op.try_read_only(&self.db);
            op.settle(if answered { Ok(()) } else { Err(error.clone()) });
        }
    }

    fn after_commit(&mut self, batch: Vec<BoxedOp>, notifications: Notifications) {
        let (durable, done): (Vec<_>, Vec<_>) = batch.into_iter().partition(|op| op.is_durable());
        if !durable.is_empty() {
            self.acknowledger.acknowledge(durable);
        }
        self.notify(notifications);
        for op in done {
            op.settle(Ok(()));
        }
    }

    fn notify(&mut self, notifications: Notifications) {
        for kind in notifications.due {
            if let Ok((env, name)) = self.interner.names(&self.db, kind) {
                self.notifiers.of(&env).notify_due(&name);
            }
        }
        for (env, id) in notifications.stopped {
            self.notifiers.of(&env).notify_stopped(&[id]);
        }
    }
}
