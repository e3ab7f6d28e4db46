//! Conditional writes of single documents, gathered into batches.
//!
//! When nothing is on its way a write goes at once. While something is, writes gather, and go when there are
//! enough of them or the first has waited for long enough. One request never holds two writes of a document:
//! Firestore refuses it whole.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::proto::{Code, Message, Status, Timestamp, pb, target};
use super::retry::{Failure, Recovery, backoff, recovery};
use super::rpc::Rpc;

/// How many requests are on their way at the most.
const MAX_FLIGHTS: usize = 4;
/// How many writes one request holds at the most.
const MAX_WRITES: usize = 50;
/// How many are worth a request of their own while others are on their way.
const ENOUGH: usize = 20;
/// How large a request is at the most: the emulator takes 4 MiB, Firestore ten.
pub(super) const MAX_REQUEST_BYTES: usize = 3_500_000;
/// How long a write waits for company.
const GATHER: Duration = Duration::from_millis(5);

/// What became of a write.
#[derive(Clone, Debug)]
pub(super) enum WriteOutcome {
    /// It is stored.
    Stored(Timestamp),
    /// The document was not in the state that the write demanded, unless it was this write that changed it.
    Refused {
        /// Whether that may be.
        ambiguous: bool,
    },
    /// It was not made, or perhaps it was: see the failure.
    Failed(Failure),
}

/// Makes writes of one database.
#[derive(Debug)]
pub(super) struct Writer {
    rpc: Arc<Rpc>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// The documents that are being written.
    busy: HashSet<String>,
    flights: usize,
    /// Whether somebody will look after [`GATHER`].
    timer: bool,
}

#[derive(Debug)]
struct Waiting {
    write: pb::Write,
    bytes: usize,
    since: Instant,
    attempts: u32,
    ambiguous: bool,
    /// Whether it goes alone: the request that held it with others was invalid.
    alone: bool,
    answer: oneshot::Sender<WriteOutcome>,
}

impl Writer {
    pub(super) fn new(rpc: Arc<Rpc>) -> Arc<Self> {
        Arc::new(Self {
            rpc,
            queue: Mutex::default(),
        })
    }

    /// Makes each write or not, and says which, in order.
    pub(super) async fn write(self: &Arc<Self>, writes: Vec<pb::Write>) -> Vec<WriteOutcome> {
        let answers = self.enqueue(writes);
        // Who writes in the same turn of the thread comes along.
        yield_now().await;
        self.pump();
        let mut written = Vec::with_capacity(answers.len());
        for answer in answers {
            written.push(answer.await.unwrap_or_else(|_| WriteOutcome::Failed(abandoned())));
        }
        written
    }

    /// Whether writes are on their way.
    pub(super) fn is_busy(&self) -> bool {
        self.queue().flights > 0
    }

    fn enqueue(&self, writes: Vec<pb::Write>) -> Vec<oneshot::Receiver<WriteOutcome>> {
        let mut queue = self.queue();
        let mut enqueue = |write: pb::Write| {
            let (answer, answered) = oneshot::channel();
            queue.waiting.push_back(Waiting {
                bytes: write.encoded_len(),
                write,
                since: Instant::now(),
                attempts: 0,
                ambiguous: false,
                alone: false,
                answer,
            });
            answered
        };
        writes.into_iter().map(&mut enqueue).collect()
    }

    /// Sends what is to be sent now.
    fn pump(self: &Arc<Self>) {
        let mut queue = self.queue();
        while let Some(batch) = queue.next_batch() {
            queue.flights += 1;
            let names = batch.iter().map(|waiting| target(&waiting.write).to_owned());
            queue.busy.extend(names);
            tokio::spawn(self.clone().fly(batch));
        }
        if !queue.waiting.is_empty() && !queue.timer && queue.flights < MAX_FLIGHTS {
            queue.timer = true;
            let writer = self.clone();
            tokio::spawn(async move {
                sleep(GATHER).await;
                writer.queue().timer = false;
                writer.pump();
            });
        }
    }

    async fn fly(self: Arc<Self>, batch: Vec<Waiting>) {
        let writes: Vec<_> = batch.iter().map(|waiting| waiting.write.clone()).collect();
        let answers = self.send(&writes).await;
        {
            let mut queue = self.queue();
            queue.flights -= 1;
            for write in &writes {
                queue.busy.remove(target(write));
            }
        }
        match answers {
            Ok((results, ambiguous)) => {
                for (mut waiting, result) in batch.into_iter().zip(results) {
                    waiting.ambiguous |= ambiguous;
                    self.land(waiting, result);
                }
            }
            Err(failure) if failure.code == Code::InvalidArgument && writes.len() > 1 => {
                let alone = |waiting| Waiting {
                    alone: true,
                    ..waiting
                };
                self.queue().waiting.extend(batch.into_iter().map(alone));
            }
            Err(failure) => {
                for waiting in batch {
                    waiting.fail(failure.clone());
                }
            }
        }
        self.pump();
    }

    async fn send(&self, writes: &[pb::Write]) -> Result<(Vec<Result<Timestamp, Status>>, bool), Failure> {
        if writes.len() > 1 {
            let reply = self.rpc.batch(writes).await?;
            return Ok((reply.value, reply.ambiguous));
        }
        match self.rpc.commit(writes).await {
            Ok(reply) => Ok((reply.value.into_iter().map(Ok).collect(), reply.ambiguous)),
            Err(failure) if recovery(failure.code) == Recovery::Reread => {
                let status = Status::new(failure.code, failure.message);
                Ok((vec![Err(status)], failure.ambiguous))
            }
            Err(failure) => Err(failure),
        }
    }

    fn land(self: &Arc<Self>, mut waiting: Waiting, result: Result<Timestamp, Status>) {
        let meter = &self.rpc.meter;
        let status = match result {
            Ok(at) => {
                match waiting.write.operation {
                    Some(pb::write::Operation::Delete(_)) => meter.deleted(),
                    _ => meter.wrote(1),
                }
                return waiting.answer(WriteOutcome::Stored(at));
            }
            Err(status) => status,
        };
        let next = recovery(status.code());
        if next == Recovery::Reread {
            meter.refused();
            let ambiguous = waiting.ambiguous;
            return waiting.answer(WriteOutcome::Refused { ambiguous });
        }
        waiting.ambiguous |= next == Recovery::RetryAmbiguous;
        waiting.attempts += 1;
        let wait = backoff(waiting.attempts);
        let is_over = waiting.since.elapsed() + wait >= self.rpc.deadlines().request;
        if next == Recovery::GiveUp || is_over {
            let failure = Failure::new("a write", &status, waiting.ambiguous);
            return waiting.answer(WriteOutcome::Failed(failure));
        }
        let writer = self.clone();
        tokio::spawn(async move {
            sleep(wait).await;
            writer.queue().waiting.push_back(waiting);
            writer.pump();
        });
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// What the next request holds, if one is to be sent now.
    fn next_batch(&mut self) -> Option<Vec<Waiting>> {
        if self.flights >= MAX_FLIGHTS {
            return None;
        }
        let places = self.sendable();
        let first = self.waiting.get(*places.first()?)?;
        let may_wait = self.flights > 0 && places.len() < ENOUGH && !first.alone;
        if may_wait && first.since.elapsed() < GATHER {
            return None;
        }
        let mut batch = Vec::with_capacity(places.len());
        for place in places.into_iter().rev() {
            batch.extend(self.waiting.remove(place));
        }
        batch.reverse();
        Some(batch)
    }

    /// The places in the queue of the writes that one request can hold.
    fn sendable(&self) -> Vec<usize> {
        let mut places = Vec::new();
        let mut names = HashSet::new();
        let mut bytes = 0;
        for (place, waiting) in self.waiting.iter().enumerate() {
            let name = target(&waiting.write);
            if self.busy.contains(name) || !names.insert(name) {
                continue;
            }
            if waiting.alone && !places.is_empty() {
                continue;
            }
            bytes += waiting.bytes;
            if bytes > MAX_REQUEST_BYTES && !places.is_empty() {
                break;
            }
            places.push(place);
            if places.len() == MAX_WRITES || waiting.alone {
                break;
            }
        }
        places
    }
}

impl Waiting {
    fn answer(self, written: WriteOutcome) {
        // Who has gone does not demand to know.
        let _ = self.answer.send(written);
    }

    fn fail(self, mut failure: Failure) {
        failure.ambiguous |= self.ambiguous;
        self.answer(WriteOutcome::Failed(failure));
    }
}

fn abandoned() -> Failure {
    Failure {
        code: Code::Internal,
        message: "a write was abandoned, which is a bug in oncetask".to_owned(),
        ambiguous: true,
    }
}
