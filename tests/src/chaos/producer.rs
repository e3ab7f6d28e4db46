//! Who creates tasks, and changes them: everything is repeated until it is acknowledged, and what was
//! acknowledged is written down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use oncetask::task::transition::Change;
use oncetask::{Client, Error, Missed, OnceTask, Recurrence, Task, TaskId};
use tokio::task::JoinSet;

use super::work::{Cancelled, Delayed, Doomed, Flaky, Grouped, Keyed, Parent, Plain, Ticker};

const AGAIN: Duration = Duration::from_millis(100);
/// How many tasks of a key are created at once.
const BURST: u32 = 8;
const KEYS: u32 = 5;
/// How many tasks are read in a call.
const MANY: usize = 100;

/// What the producer knows of a task.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) kind: &'static str,
    /// It does not run before this.
    pub(crate) not_before: Option<DateTime<Utc>>,
    /// How often it was reset.
    pub(crate) resets: u32,
    /// When its cancellation was acknowledged, and what it did.
    pub(crate) cancelled: Option<(DateTime<Utc>, Change)>,
    /// When its deletion was acknowledged.
    pub(crate) deleted: Option<DateTime<Utc>>,
    /// Whether it is about to be reset or deleted, so that it may change after its end.
    changes: bool,
    /// The task as it was first seen to have ended.
    pub(crate) seen: Option<Task>,
}

impl Known {
    pub(crate) fn new(kind: &'static str, not_before: Option<DateTime<Utc>>, changes: bool) -> Self {
        Self {
            kind,
            not_before,
            resets: 0,
            cancelled: None,
            deleted: None,
            changes,
            seen: None,
        }
    }
}

/// What was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    known: Mutex<HashMap<TaskId, Known>>,
    /// Errors of the store that do not say that they may pass.
    hopeless: Mutex<Vec<String>>,
}

impl Ledger {
    fn known(&self) -> MutexGuard<'_, HashMap<TaskId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hopeless(&self) -> MutexGuard<'_, Vec<String>> {
        self.hopeless.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn all(&self) -> HashMap<TaskId, Known> {
        self.known().clone()
    }

    pub(crate) fn errors(&self) -> Vec<String> {
        self.hopeless().clone()
    }

    fn acknowledge(&self, id: TaskId, kind: &'static str, not_before: Option<DateTime<Utc>>, changes: bool) {
        let known = Known::new(kind, not_before, changes);
        self.known().insert(id, known);
    }

    fn update(&self, id: &TaskId, change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.known().get_mut(id) {
            change(known);
        }
    }

    /// Tasks that have not ended as far as anybody has seen.
    fn unseen(&self) -> Vec<TaskId> {
        let known = self.known();
        let unseen = known
            .iter()
            .filter(|(_, known)| known.seen.is_none() && !known.changes);
        unseen.map(|(id, _)| id.clone()).collect()
    }

    /// Calls until it is acknowledged.
    async fn insist<T, F: Future<Output = Result<T, Error>>>(&self, mut call: impl FnMut() -> F) -> T {
        loop {
            match call().await {
                Ok(done) => return done,
                Err(Error::Store(error)) if error.is_transient() => {}
                Err(error) => self.hopeless().push(error.to_string()),
            }
            // An outage tells nobody when it ends.
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Creates tasks for a while, then waits until all that it does is acknowledged.
pub(crate) async fn produce(
    client: Client,
    ledger: Arc<Ledger>,
    seed: u64,
    (length, per_second): (Duration, u32),
) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut lives, mut number) = (JoinSet::new(), 0);
    let end = tokio::time::Instant::now() + length;
    let longest = 2000 / u64::from(per_second);
    while tokio::time::Instant::now() < end {
        number += BURST;
        let life = Life {
            client: client.clone(),
            ledger: ledger.clone(),
            rng: fastrand::Rng::with_seed(rng.u64(..)),
            number,
        };
        lives.spawn(life.live());
        while let Some(ended) = lives.try_join_next() {
            ended.expect("a life does not panic");
        }
        // The pace of the load.
        tokio::time::sleep(Duration::from_millis(rng.u64(0..longest))).await;
    }
    while let Some(ended) = lives.join_next().await {
        ended.expect("a life does not panic");
    }
}

/// Looks at tasks again and again, and keeps each as it is first seen to have ended.
pub(crate) async fn witness(client: Client, ledger: Arc<Ledger>) {
    loop {
        let unseen = ledger.unseen();
        for some in unseen.chunks(MANY) {
            // Whoever cannot look now looks again.
            let tasks = client.get_many(some).await.unwrap_or_default();
            for task in tasks.into_iter().flatten().filter(Task::is_done) {
                let id = task.id().clone();
                ledger.update(&id, |known| known.seen = Some(task));
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// What is done to a task, from its creation on.
struct Life {
    client: Client,
    ledger: Arc<Ledger>,
    rng: fastrand::Rng,
    /// And those that follow are its own.
    number: u32,
}

impl Life {
    async fn live(mut self) {
        let number = self.number;
        let millis = self.millis();
        let plain = Plain { number, millis };
        match self.rng.u8(0..20) {
            0..=3 => self.create(plain).await,
            4..=5 => {
                let failures = self.rng.u32(1..4);
                self.create(Flaky { number, failures }).await;
            }
            6 => self.create(Doomed { number }).await,
            7..=8 => self.keyed().await,
            9..=10 => self.grouped().await,
            11..=12 => self.delayed().await,
            13 => self.ticker().await,
            14..=16 => self.cancelled().await,
            17 => self.reset(plain).await,
            18 => self.deleted(plain).await,
            _ => self.create(Parent { number }).await,
        }
    }

    /// Short work mostly, and now and then some that needs its lease extended.
    fn millis(&mut self) -> u64 {
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
        changes: bool,
    ) -> TaskId {
        let created = self.ledger.insist(|| self.client.create(task.clone()));
        let id = created.await.id().clone();
        self.ledger.acknowledge(id.clone(), T::KIND, not_before, changes);
        id
    }

    async fn create_many<T: OnceTask + Clone>(&self, tasks: Vec<T>) {
        let created = self.ledger.insist(|| {
            let creating = self.client.create_many(tasks.clone());
            async { creating.await?.into_iter().collect::<Result<Vec<_>, _>>() }
        });
        for created in created.await {
            self.ledger
                .acknowledge(created.id().clone(), T::KIND, None, false);
        }
    }

    async fn keyed(&mut self) {
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

    async fn grouped(&mut self) {
        let (key, first) = (self.rng.u32(0..KEYS), self.number);
        let tasks = (first..first + BURST).map(|number| Grouped { key, number });
        self.create_many(tasks.collect()).await;
    }

    async fn delayed(&mut self) {
        let at = Utc::now() + TimeDelta::milliseconds(self.rng.i64(200..4000));
        let task = Delayed {
            number: self.number,
            at,
        };
        self.create_with(task, Some(at), false).await;
    }

    /// One of each policy for what was missed, and some are cancelled.
    async fn ticker(&mut self) {
        let missed = match self.rng.u8(0..4) {
            0 => Missed::One,
            1 => Missed::Skip,
            _ => Missed::All { max: 10_000 },
        };
        let count = self.rng.u32(3..12);
        let every = Recurrence::new(&format!("FREQ=SECONDLY;COUNT={count}"))
            .expect("a rule")
            .missed(missed);
        let number = self.number;
        let id = self.create_with(Ticker { number, every }, None, false).await;
        if self.rng.u8(0..4) == 0 {
            self.pause(8000).await;
            self.cancel(&id).await;
        }
    }

    async fn cancelled(&mut self) {
        let task = Cancelled {
            number: self.number,
            millis: self.rng.u64(200..2500),
            deaf: self.rng.bool(),
        };
        let id = self.create_with(task, None, false).await;
        self.pause(1500).await;
        self.cancel(&id).await;
    }

    async fn cancel(&self, id: &TaskId) {
        let change = self.ledger.insist(|| self.client.cancel(id)).await;
        let now = Utc::now();
        self.ledger
            .update(id, |known| known.cancelled = Some((now, change)));
    }

    async fn reset(&mut self, plain: Plain) {
        let id = self.create_with(plain, None, true).await;
        for _ in 0..self.rng.u32(1..3) {
            loop {
                let change = self.ledger.insist(|| self.client.reset(&id)).await;
                if change == Change::Applied {
                    break;
                }
                tokio::time::sleep(AGAIN * 3).await;
            }
            self.ledger.update(&id, |known| known.resets += 1);
        }
        self.ledger.update(&id, |known| known.changes = false);
    }

    async fn deleted(&mut self, plain: Plain) {
        let id = self.create_with(plain, None, true).await;
        self.pause(1500).await;
        self.ledger.insist(|| self.client.delete(&id)).await;
        let now = Utc::now();
        self.ledger.update(&id, |known| known.deleted = Some(now));
    }

    async fn pause(&mut self, longest: u64) {
        tokio::time::sleep(Duration::from_millis(self.rng.u64(0..longest))).await;
    }
}
