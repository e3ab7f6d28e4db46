//! The operations of the writer thread.

use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::error::SqliteError;
use super::tx::Tx;
use crate::error::StoreError;
use crate::store::Notifier;
use crate::task::TaskId;

/// An operation that a caller submits to the writer thread.
pub(super) trait WriteOp: Send {
    /// Tries to get the result by reading only. Returns whether that gave a result, so that no transaction is
    /// needed.
    fn try_read_only(&mut self, db: &Connection) -> bool;

    /// Runs the operation in a transaction. If that is rolled back, the operation may run again in another
    /// one.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), SqliteError>;

    /// Sends the result to the caller if the outcome is `Ok`, else the error.
    fn settle(self: Box<Self>, outcome: Result<(), StoreError>);

    /// Returns the approximate number of tasks that the operation writes.
    fn weight(&self) -> usize;

    /// Returns whether the caller waits until the result survives a power failure.
    fn is_durable(&self) -> bool;
}

/// An operation of any result type.
pub(super) type BoxedOp = Box<dyn WriteOp>;

/// The caller's end of a [`WriteOp`].
pub(super) type ReplyReceiver<T> = oneshot::Receiver<Result<T, StoreError>>;

type Write<T> = Box<dyn FnMut(&mut Tx<'_>) -> Result<T, SqliteError> + Send>;
type ReadOnly<T> = Box<dyn FnMut(&Connection) -> Result<Option<T>, SqliteError> + Send>;

/// A [`WriteOp`] made of closures.
pub(super) struct ClosureOp<T> {
    write: Write<T>,
    read_only: Option<ReadOnly<T>>,
    weight: usize,
    durable: bool,
    notifier: Arc<Notifier>,
    pub(super) result: Option<T>,
    /// The tasks that the operation ended.
    ended: Vec<TaskId>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T> ClosureOp<T> {
    /// Returns an operation that writes with this closure, and the receiver of its result.
    pub(super) fn new(
        weight: usize,
        durable: bool,
        notifier: Arc<Notifier>,
        write: impl FnMut(&mut Tx<'_>) -> Result<T, SqliteError> + Send + 'static,
    ) -> (Self, ReplyReceiver<T>) {
        let (reply, receiver) = oneshot::channel();
        let op = Self {
            write: Box::new(write),
            read_only: None,
            weight,
            durable,
            notifier,
            result: None,
            ended: Vec::new(),
            reply,
        };
        (op, receiver)
    }

    /// Adds a closure that may give the result by reading only.
    pub(super) fn read_only(
        mut self,
        read: impl FnMut(&Connection) -> Result<Option<T>, SqliteError> + Send + 'static,
    ) -> Self {
        self.read_only = Some(Box::new(read));
        self
    }
}

impl<T: Send> WriteOp for ClosureOp<T> {
    fn try_read_only(&mut self, db: &Connection) -> bool {
        // After an error the operation runs in a transaction, which reports the error if it remains.
        self.result = self.read_only.as_mut().and_then(|read| read(db).ok().flatten());
        self.result.is_some()
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), SqliteError> {
        self.result = Some((self.write)(tx)?);
        self.ended = std::mem::take(&mut tx.notifications.ended);
        Ok(())
    }

    fn settle(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self {
            result,
            ended,
            notifier,
            reply,
            ..
        } = *self;
        if outcome.is_ok() {
            for id in &ended {
                notifier.notify_ended(id);
            }
        }
        let result = outcome.map(|()| result.expect("a committed operation has a result"));
        // A send fails if the caller's future was dropped.
        let _ = reply.send(result);
    }

    fn weight(&self) -> usize {
        self.weight
    }

    fn is_durable(&self) -> bool {
        self.durable
    }
}
