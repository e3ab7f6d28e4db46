//! The client of an episode: creates and changes tasks. Each call is repeated until it is acknowledged, and the
//! acknowledgement is recorded in a ledger.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::task::transition::Change;
use oncetask::{Client, Error, Missed, OnceTask, Recurrence, Task, TaskId};
use tokio::task::JoinSet;

use super::records::MAX_READ;
use super::work::{Cancelled, Delayed, Doomed, Flaky, Grouped, Keyed, Parent, Plain, Ticker};

/// The pause before a failed call is repeated.
const RETRY: Duration = Duration::from_millis(100);
/// The number of tasks of a key that are created at once.
const BURST: u32 = 8;
const KEYS: u32 = 5;

/// The acknowledged facts about a task.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) kind: &'static str,
    /// The instant before which the task must not run.
    pub(crate) not_before: Option<DateTime<Utc>>,
    /// The number of resets.
    pub(crate) resets: u32,
    /// The instant at which the cancellation was acknowledged, and its result.
    pub(crate) cancelled: Option<(DateTime<Utc>, Change)>,
    /// The instant at which the deletion was acknowledged.
    pub(crate) deleted: Option<DateTime<Utc>>,
    /// True if the task will be reset or deleted, and may therefore change after its end.
    may_change: bool,
    /// The task as it was first read after its end.
    pub(crate) ended_as: Option<Task>,
}

impl Known {
    pub(crate) fn new(kind: &'static str, not_before: Option<DateTime<Utc>>, may_change: bool) -> Self {
        Self {
            kind,
            not_before,
            resets: 0,
            cancelled: None,
            deleted: None,
            may_change,
            ended_as: None,
        }
    }
}

/// The acknowledged facts about all tasks.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    known: Mutex<HashMap<TaskId, Known>>,
    /// The errors of calls that are not marked as transient.
    permanent_errors: Mutex<Vec<String>>,
}

impl Ledger {
    fn known(&self) -> MutexGuard<'_, HashMap<TaskId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn errors(&self) -> MutexGuard<'_, Vec<String>> {
        self.permanent_errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn all(&self) -> HashMap<TaskId, Known> {
        self.known().clone()
    }

    pub(crate) fn permanent_errors(&self) -> Vec<String> {
        self.errors().clone()
    }

    fn add(&self, id: TaskId, kind: &'static str, not_before: Option<DateTime<Utc>>, may_change: bool) {
        let known = Known::new(kind, not_before, may_change);
        self.known().insert(id, known);
    }

    fn update(&self, id: &TaskId, update: impl FnOnce(&mut Known)) {
        if let Some(known) = self.known().get_mut(id) {
            update(known);
        }
    }

    /// Returns the tasks that were not yet read after their end.
    fn not_ended(&self) -> Vec<TaskId> {
        let known = self.known();
        let not_ended = known
            .iter()
            .filter(|(_, known)| known.ended_as.is_none() && !known.may_change);
        not_ended.map(|(id, _)| id.clone()).collect()
    }

    /// Repeats a call until it succeeds. Records its permanent errors.
    async fn until_acknowledged<T, F: Future<Output = Result<T, Error>>>(
        &self,
        mut call: impl FnMut() -> F,
    ) -> T {
        loop {
            match call().await {
                Ok(result) => return result,
                Err(Error::Store(error)) if error.is_transient() => {}
                Err(error) => self.errors().push(error.to_string()),
            }
            // No event announces the end of an injected outage.
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Creates tasks for the duration `length`, and then waits until every call is acknowledged.
pub(crate) async fn produce(
    client: Client,
    ledger: Arc<Ledger>,
    seed: u64,
    (length, per_second): (Duration, u32),
) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut scenarios, mut number) = (JoinSet::new(), 0);
    let end = tokio::time::Instant::now() + length;
    let longest_pause = 2000 / u64::from(per_second);
    while tokio::time::Instant::now() < end {
        number += BURST;
        let scenario = Scenario {
            client: client.clone(),
            ledger: ledger.clone(),
            rng: fastrand::Rng::with_seed(rng.u64(..)),
            number,
        };
        scenarios.spawn(scenario.run());
        while let Some(ended) = scenarios.try_join_next() {
            ended.expect("a scenario does not panic");
        }
        // This pause is the rate of the load. It waits for nothing.
        tokio::time::sleep(Duration::from_millis(rng.u64(0..longest_pause))).await;
    }
    while let Some(ended) = scenarios.join_next().await {
        ended.expect("a scenario does not panic");
    }
}

/// Reads the tasks repeatedly, and records each as it is first read after its end.
pub(crate) async fn record_ends(client: Client, ledger: Arc<Ledger>) {
    loop {
        let not_ended = ledger.not_ended();
        for chunk in not_ended.chunks(MAX_READ) {
            // A failed read is repeated in the next round.
            let tasks = client.get_many(chunk).await.unwrap_or_default();
            for task in tasks.into_iter().flatten().filter(Task::is_done) {
                let id = task.id().clone();
                ledger.update(&id, |known| known.ended_as = Some(task));
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The calls for one task, or for a burst of tasks.
struct Scenario {
    client: Client,
    ledger: Arc<Ledger>,
    rng: fastrand::Rng,
    /// The number of the first task. The next [`BURST`] numbers belong to this scenario.
    number: u32,
}

impl Scenario {
    async fn run(mut self) {
        let number = self.number;
        let millis = self.work_millis();
        let plain = Plain { number, millis };
        match self.rng.u8(0..20) {
            0..=3 => self.create(plain).await,
            4..=5 => {
                let failures = self.rng.u32(1..4);
                self.create(Flaky { number, failures }).await;
            }
            6 => self.create(Doomed { number }).await,
            7..=8 => self.create_keyed().await,
            9..=10 => self.create_grouped().await,
            11..=12 => self.create_delayed().await,
            13 => self.create_ticker().await,
            14..=16 => self.create_and_cancel().await,
            17 => self.create_and_reset(plain).await,
            18 => self.create_and_delete(plain).await,
            _ => self.create(Parent { number }).await,
        }
    }

    /// Draws the duration of a handler: mostly short, sometimes so long that its lease must be renewed.
    fn work_millis(&mut self) -> u64 {
        match self.rng.u8(0..10) {
            0 => self.rng.u64(1000..4000),
            1..=2 => self.rng.u64(200..1000),
            _ => self.rng.u64(1..200),
        }
    }

    async fn create<T: OnceTask + Clone>(&self, task: T) {
        self.create_with(task, None, false).await;
    }

    async fn create_with<T: OnceTask + Clone>(
        &self,
        task: T,
        not_before: Option<DateTime<Utc>>,
        may_change: bool,
    ) -> TaskId {
        let created = self
            .ledger
            .until_acknowledged(|| self.client.create(task.clone()));
        let id = created.await.id().clone();
        self.ledger.add(id.clone(), T::KIND, not_before, may_change);
        id
    }

    async fn create_many<T: OnceTask + Clone>(&self, tasks: Vec<T>) {
        let created = self.ledger.until_acknowledged(|| {
            let creating = self.client.create_many(tasks.clone());
            async { creating.await?.into_iter().collect::<Result<Vec<_>, _>>() }
        });
        for enqueued in created.await {
            self.ledger.add(enqueued.id().clone(), T::KIND, None, false);
        }
    }

    async fn create_keyed(&mut self) {
        let (key, first) = (self.rng.u32(0..KEYS), self.number);
        let keyed = |number| Keyed {
            key,
            number,
            millis: u64::from(number % 7) * 25,
        };
        let mut tasks: Vec<_> = (first..first + BURST).map(keyed).collect();
        if self.rng.u8(0..6) == 0 {
            tasks[0].millis = self.rng.u64(1000..3000);
        }
        self.create_many(tasks).await;
    }

    async fn create_grouped(&mut self) {
        let (key, first) = (self.rng.u32(0..KEYS), self.number);
        let tasks = (first..first + BURST).map(|number| Grouped { key, number });
        self.create_many(tasks.collect()).await;
    }

    async fn create_delayed(&mut self) {
        let at = Utc::now() + TimeDelta::milliseconds(self.rng.i64(200..4000));
        let task = Delayed {
            number: self.number,
            at,
        };
        self.create_with(task, Some(at), false).await;
    }

    /// Creates a generator with a random policy for missed occurrences. One of four is cancelled.
    async fn create_ticker(&mut self) {
        let missed = match self.rng.u8(0..4) {
            0 => Missed::One,
            1 => Missed::Skip,
            _ => Missed::All { max: 10_000 },
        };
        let count = self.rng.u32(3..12);
        let every = Recurrence::new(&format!("FREQ=SECONDLY;COUNT={count}"))
            .expect("a valid rule")
            .missed(missed);
        let number = self.number;
        let id = self.create_with(Ticker { number, every }, None, false).await;
        if self.rng.u8(0..4) == 0 {
            self.pause(8000).await;
            self.cancel(&id).await;
        }
    }

    async fn create_and_cancel(&mut self) {
        let task = Cancelled {
            number: self.number,
            millis: self.rng.u64(200..2500),
            ignores_signal: self.rng.bool(),
        };
        let id = self.create_with(task, None, false).await;
        self.pause(1500).await;
        self.cancel(&id).await;
    }

    async fn cancel(&self, id: &TaskId) {
        let change = self.ledger.until_acknowledged(|| self.client.cancel(id)).await;
        let now = Utc::now();
        self.ledger
            .update(id, |known| known.cancelled = Some((now, change)));
    }

    async fn create_and_reset(&mut self, plain: Plain) {
        let id = self.create_with(plain, None, true).await;
        for _ in 0..self.rng.u32(1..3) {
            loop {
                let change = self.ledger.until_acknowledged(|| self.client.reset(&id)).await;
                if change == Change::Applied {
                    break;
                }
                // The task may end in a worker that is killed, so only another reset tells.
                tokio::time::sleep(RETRY * 3).await;
            }
            self.ledger.update(&id, |known| known.resets += 1);
        }
        self.ledger.update(&id, |known| known.may_change = false);
    }

    async fn create_and_delete(&mut self, plain: Plain) {
        let id = self.create_with(plain, None, true).await;
        self.pause(1500).await;
        self.ledger.until_acknowledged(|| self.client.delete(&id)).await;
        let now = Utc::now();
        self.ledger.update(&id, |known| known.deleted = Some(now));
    }

    /// Pauses for a random time of at most this number of milliseconds.
    async fn pause(&mut self, longest: u64) {
        tokio::time::sleep(Duration::from_millis(self.rng.u64(0..longest))).await;
    }
}
