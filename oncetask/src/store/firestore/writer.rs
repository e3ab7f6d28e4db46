//! Conditional writes of single documents, gathered into batches.
//!
//! A write is sent at once if no request is in flight. Otherwise writes gather, until there are enough of them for a
//! request or the first has waited for long enough. No request contains two writes of one document, because
//! Firestore refuses such a request as a whole.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::proto::{Code, Message, Status, Timestamp, pb, target};
use super::retry::{Failure, Recovery, backoff, recovery};
use super::rpc::Rpc;

/// The maximum number of requests in flight.
const MAX_IN_FLIGHT: usize = 4;
/// The maximum number of writes in one request.
const MAX_BATCH: usize = 50;
/// The number of gathered writes that are sent although other requests are in flight.
const FULL_BATCH: usize = 20;
/// The maximum size of a request. The emulator accepts 4 MiB, Firestore 10 MiB.
pub(super) const MAX_REQUEST_BYTES: usize = 3_500_000;
/// The duration for which a write waits for others.
const MAX_BATCH_WAIT: Duration = Duration::from_millis(5);

/// The outcome of a write.
#[derive(Clone, Debug)]
pub(super) enum WriteOutcome {
    /// It is stored, with this update time.
    Stored(Timestamp),
    /// The document was not in the state that the write demanded.
    Refused {
        /// True if the write itself may have changed the document: an earlier attempt, whose answer was lost, may
        /// have been applied.
        ambiguous: bool,
    },
    /// It failed. The failure shows whether it may have been applied.
    Failed(Failure),
}

/// Writes the documents of one database.
#[derive(Debug)]
pub(super) struct Writer {
    rpc: Arc<Rpc>,
    queue: Mutex<WriteQueue>,
}

#[derive(Debug, Default)]
struct WriteQueue {
    waiting: VecDeque<QueuedWrite>,
    /// The names of the documents whose writes are in flight.
    busy: HashSet<String>,
    /// The number of requests in flight.
    in_flight: usize,
    /// True if the queue will be checked after [`MAX_BATCH_WAIT`].
    has_timer: bool,
}

#[derive(Debug)]
struct QueuedWrite {
    write: pb::Write,
    bytes: usize,
    since: Instant,
    attempts: u32,
    /// True if an earlier attempt may have been applied.
    ambiguous: bool,
    /// True if it is sent alone, because a request with it and other writes was invalid.
    alone: bool,
    reply: oneshot::Sender<WriteOutcome>,
}

/// The results of a batch.
struct BatchResults {
    /// For each write its update time, or the server's error.
    results: Vec<Result<Timestamp, Status>>,
    /// True if an earlier attempt of the request may have been carried out.
    ambiguous: bool,
}

impl Writer {
    pub(super) fn new(rpc: Arc<Rpc>) -> Arc<Self> {
        Arc::new(Self {
            rpc,
            queue: Mutex::default(),
        })
    }

    /// Makes each write independently of the others. Returns an outcome for each, in order.
    pub(super) async fn write(self: &Arc<Self>, writes: Vec<pb::Write>) -> Vec<WriteOutcome> {
        let replies = self.enqueue(writes);
        // Lets the operations that are about to write enqueue their writes, so that one batch contains them.
        yield_now().await;
        self.send_batches();
        let mut outcomes = Vec::with_capacity(replies.len());
        for reply in replies {
            outcomes.push(reply.await.unwrap_or_else(|_| WriteOutcome::Failed(abandoned())));
        }
        outcomes
    }

    /// Returns whether a request is in flight.
    pub(super) fn is_busy(&self) -> bool {
        self.queue().in_flight > 0
    }

    fn enqueue(&self, writes: Vec<pb::Write>) -> Vec<oneshot::Receiver<WriteOutcome>> {
        let mut queue = self.queue();
        let mut enqueue = |write: pb::Write| {
            let (reply, receiver) = oneshot::channel();
            queue.waiting.push_back(QueuedWrite {
                bytes: write.encoded_len(),
                write,
                since: Instant::now(),
                attempts: 0,
                ambiguous: false,
                alone: false,
                reply,
            });
            receiver
        };
        writes.into_iter().map(&mut enqueue).collect()
    }

    /// Sends the batches that are due.
    fn send_batches(self: &Arc<Self>) {
        let mut queue = self.queue();
        while let Some(batch) = queue.next_batch() {
            queue.in_flight += 1;
            let names = batch.iter().map(|queued| target(&queued.write).to_owned());
            queue.busy.extend(names);
            tokio::spawn(self.clone().send_batch(batch));
        }
        if !queue.waiting.is_empty() && !queue.has_timer && queue.in_flight < MAX_IN_FLIGHT {
            queue.has_timer = true;
            let writer = self.clone();
            tokio::spawn(async move {
                sleep(MAX_BATCH_WAIT).await;
                writer.queue().has_timer = false;
                writer.send_batches();
            });
        }
    }

    async fn send_batch(self: Arc<Self>, batch: Vec<QueuedWrite>) {
        let writes: Vec<_> = batch.iter().map(|queued| queued.write.clone()).collect();
        let sent = self.send(&writes).await;
        {
            let mut queue = self.queue();
            queue.in_flight -= 1;
            for write in &writes {
                queue.busy.remove(target(write));
            }
        }
        match sent {
            Ok(BatchResults { results, ambiguous }) => {
                for (mut queued, result) in batch.into_iter().zip(results) {
                    queued.ambiguous |= ambiguous;
                    self.settle(queued, result);
                }
            }
            Err(failure) if failure.code == Code::InvalidArgument && writes.len() > 1 => {
                let alone = |queued| QueuedWrite {
                    alone: true,
                    ..queued
                };
                self.queue().waiting.extend(batch.into_iter().map(alone));
            }
            Err(failure) => {
                for queued in batch {
                    queued.fail(failure.clone());
                }
            }
        }
        self.send_batches();
    }

    async fn send(&self, writes: &[pb::Write]) -> Result<BatchResults, Failure> {
        if writes.len() > 1 {
            let response = self.rpc.batch(writes).await?;
            return Ok(BatchResults {
                results: response.value,
                ambiguous: response.ambiguous,
            });
        }
        match self.rpc.commit(writes).await {
            Ok(response) => Ok(BatchResults {
                results: response.value.into_iter().map(Ok).collect(),
                ambiguous: response.ambiguous,
            }),
            Err(failure) if recovery(failure.code) == Recovery::Reread => {
                let status = Status::new(failure.code, failure.message);
                Ok(BatchResults {
                    results: vec![Err(status)],
                    ambiguous: failure.ambiguous,
                })
            }
            Err(failure) => Err(failure),
        }
    }

    /// Replies to a write with its result in a batch, or retries it.
    fn settle(self: &Arc<Self>, mut queued: QueuedWrite, result: Result<Timestamp, Status>) {
        let meter = &self.rpc.meter;
        let status = match result {
            Ok(update_time) => {
                match queued.write.operation {
                    Some(pb::write::Operation::Delete(_)) => meter.deleted(),
                    _ => meter.wrote(1),
                }
                return queued.reply(WriteOutcome::Stored(update_time));
            }
            Err(status) => status,
        };
        let recovery = recovery(status.code());
        if recovery == Recovery::Reread {
            meter.refused();
            let ambiguous = queued.ambiguous;
            return queued.reply(WriteOutcome::Refused { ambiguous });
        }
        queued.ambiguous |= recovery == Recovery::RetryAmbiguous;
        queued.attempts += 1;
        let wait = backoff(queued.attempts);
        let is_out_of_time = queued.since.elapsed() + wait >= self.rpc.deadlines().request;
        if recovery == Recovery::GiveUp || is_out_of_time {
            let failure = Failure::new("a write", &status, queued.ambiguous);
            return queued.reply(WriteOutcome::Failed(failure));
        }
        let writer = self.clone();
        tokio::spawn(async move {
            sleep(wait).await;
            writer.queue().waiting.push_back(queued);
            writer.send_batches();
        });
    }

    fn queue(&self) -> MutexGuard<'_, WriteQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WriteQueue {
    /// Takes the writes of the next request, if a request is due.
    fn next_batch(&mut self) -> Option<Vec<QueuedWrite>> {
        if self.in_flight >= MAX_IN_FLIGHT {
            return None;
        }
        let indexes = self.sendable();
        let first = self.waiting.get(*indexes.first()?)?;
        let may_wait = self.in_flight > 0 && indexes.len() < FULL_BATCH && !first.alone;
        if may_wait && first.since.elapsed() < MAX_BATCH_WAIT {
            return None;
        }
        let mut batch = Vec::with_capacity(indexes.len());
        // Removes them from the last to the first, so that the other indexes stay valid.
        for index in indexes.into_iter().rev() {
            batch.extend(self.waiting.remove(index));
        }
        batch.reverse();
        Some(batch)
    }

    /// Returns the indexes of the waiting writes that one request can contain.
    fn sendable(&self) -> Vec<usize> {
        let mut indexes = Vec::new();
        let mut names = HashSet::new();
        let mut bytes = 0;
        for (index, queued) in self.waiting.iter().enumerate() {
            let name = target(&queued.write);
            if self.busy.contains(name) || !names.insert(name) {
                continue;
            }
            if queued.alone && !indexes.is_empty() {
                continue;
            }
            bytes += queued.bytes;
            if bytes > MAX_REQUEST_BYTES && !indexes.is_empty() {
                break;
            }
            indexes.push(index);
            if indexes.len() == MAX_BATCH || queued.alone {
                break;
            }
        }
        indexes
    }
}

impl QueuedWrite {
    fn reply(self, outcome: WriteOutcome) {
        // An error means that the operation was dropped, and needs no outcome.
        let _ = self.reply.send(outcome);
    }

    fn fail(self, mut failure: Failure) {
        failure.ambiguous |= self.ambiguous;
        self.reply(WriteOutcome::Failed(failure));
    }
}

fn abandoned() -> Failure {
    Failure {
        code: Code::Internal,
        message: "a write was abandoned, which is a bug in oncetask".to_owned(),
        ambiguous: true,
    }
}
