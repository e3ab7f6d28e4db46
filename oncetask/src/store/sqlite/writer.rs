//! The one thread that writes.
//!
//! Callers queue their jobs; whatever is queued goes into one transaction, and each caller is answered after
//! its commit. A job that goes wrong takes the others with it only in the first attempt: then each of them
//! gets a transaction of its own.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::checkpoint::Checkpoints;
use super::claimed::ClaimCache;
use super::file::Place;
use super::names::Names;
use super::notifiers::Notifiers;
use super::sync::Acknowledger;
use super::trouble::Trouble;
use super::tx::{News, Tx};
use crate::error::StoreError;
use crate::store::Notifier;
use crate::task::TaskId;

/// How many tasks a transaction takes before it is committed: others wait that long.
const BATCH: usize = 1000;
/// How long a transaction takes jobs.
const GATHER: Duration = Duration::from_millis(10);

/// What a caller demands done in a transaction.
pub(super) trait Job: Send {
    /// Whether it was done by looking only, so that no transaction is needed.
    fn look(&mut self, db: &Connection) -> bool;

    /// Does it. It may be done again, in another transaction, if this one is rolled back.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Trouble>;

    /// Tells the caller.
    fn settle(self: Box<Self>, outcome: Result<(), StoreError>);

    /// About how many tasks it concerns.
    fn weight(&self) -> usize;

    /// Whether what it answers must survive the loss of power.
    fn durable(&self) -> bool;
}

type Act<T> = Box<dyn FnMut(&mut Tx<'_>) -> Result<T, Trouble> + Send>;
type Look<T> = Box<dyn FnMut(&Connection) -> Result<Option<T>, Trouble> + Send>;

/// A job with an answer.
pub(super) struct Op<T> {
    pub(super) act: Act<T>,
    pub(super) look: Option<Look<T>>,
    pub(super) weight: usize,
    pub(super) durable: bool,
    pub(super) notifier: Arc<Notifier>,
    pub(super) answer: Option<T>,
    pub(super) ended: Vec<TaskId>,
    pub(super) reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send> Job for Op<T> {
    fn look(&mut self, db: &Connection) -> bool {
        // What cannot be seen now is tried, and told, in a transaction.
        self.answer = self.look.as_mut().and_then(|look| look(db).ok().flatten());
        self.answer.is_some()
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Trouble> {
        self.answer = Some((self.act)(tx)?);
        self.ended = std::mem::take(&mut tx.news.ended);
        Ok(())
    }

    fn settle(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self {
            answer,
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
        let answer = outcome.map(|()| answer.expect("a job that was committed has run"));
        // A caller that is gone has nothing to hear.
        let _ = reply.send(answer);
    }

    fn weight(&self) -> usize {
        self.weight
    }

    fn durable(&self) -> bool {
        self.durable
    }
}

/// The thread's belongings.
pub(super) struct Writer {
    pub(super) db: Connection,
    pub(super) place: Arc<Place>,
    pub(super) names: Names,
    pub(super) claimed: ClaimCache,
    pub(super) jobs: Receiver<Box<dyn Job>>,
    pub(super) notifiers: Arc<Notifiers>,
    pub(super) checkpoints: Checkpoints,
    pub(super) acknowledger: Acknowledger,
}

impl Writer {
    /// Works until nobody can send jobs any more and all of them are done.
    pub(super) fn run(mut self) {
        while let Ok(mut first) = self.jobs.recv() {
            if first.look(&self.db) {
                first.settle(Ok(()));
                continue;
            }
            self.together(first);
            self.checkpoints.after_commit(&self.db);
        }
    }

    /// Does everything that is queued in one transaction.
    fn together(&mut self, first: Box<dyn Job>) {
        if let Err(trouble) = self.begin() {
            return self.refuse(first, &trouble);
        }
        let began = Instant::now();
        let mut batch = Vec::new();
        let mut next = Some(first);
        let mut weight = 0;
        let mut tx = Tx::new(&self.db, &mut self.names, &mut self.claimed);
        let mut outcome = Ok(());
        while let Some(mut job) = next.take() {
            outcome = job.run(&mut tx);
            weight += job.weight();
            batch.push(job);
            if outcome.is_ok() && weight < BATCH && began.elapsed() < GATHER {
                next = self.jobs.try_recv().ok();
            }
        }
        let outcome = outcome.and_then(|()| tx.end());
        match outcome.and_then(|news| self.commit().map(|()| news)) {
            Ok(news) => self.committed(batch, news),
            Err(trouble) => self.one_by_one(batch, &trouble),
        }
    }

    /// Gives each job of a transaction that failed one of its own.
    fn one_by_one(&mut self, mut batch: Vec<Box<dyn Job>>, trouble: &Trouble) {
        self.roll_back();
        let full = trouble.is_full();
        if full {
            self.checkpoints.make_room(&self.db);
        }
        if batch.len() == 1 && !full && !trouble.is_outdated() {
            let job = batch.pop().expect("it has one");
            return job.settle(Err(trouble.about(&self.place.file)));
        }
        for job in batch {
            self.alone(job);
        }
    }

    fn alone(&mut self, mut job: Box<dyn Job>) {
        match self.begin().and_then(|()| self.do_alone(&mut *job)) {
            Ok(news) => self.committed(vec![job], news),
            Err(trouble) => {
                self.roll_back();
                job.settle(Err(trouble.about(&self.place.file)));
            }
        }
    }

    fn do_alone(&mut self, job: &mut dyn Job) -> Result<News, Trouble> {
        let mut tx = Tx::new(&self.db, &mut self.names, &mut self.claimed);
        job.run(&mut tx)?;
        let news = tx.end()?;
        self.commit()?;
        Ok(news)
    }

    fn begin(&self) -> Result<(), Trouble> {
        Ok(self.db.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)?)
    }

    fn commit(&self) -> Result<(), Trouble> {
        Ok(self.db.prepare_cached("COMMIT")?.execute([]).map(drop)?)
    }

    fn roll_back(&mut self) {
        self.names.forget();
        self.claimed.forget_all();
        // SQLite may have done it already.
        if !self.db.is_autocommit() {
            let _ = self.db.execute_batch("ROLLBACK");
        }
    }

    /// Refuses what waits for a file that cannot be written now, so that nobody waits for it in turn.
    fn refuse(&mut self, first: Box<dyn Job>, trouble: &Trouble) {
        self.roll_back();
        let error = trouble.about(&self.place.file);
        first.settle(Err(error.clone()));
        while let Ok(mut job) = self.jobs.try_recv() {
            let seen = job.look(&self.db);
            job.settle(if seen { Ok(()) } else { Err(error.clone()) });
        }
    }

    fn committed(&mut self, batch: Vec<Box<dyn Job>>, news: News) {
        let (durable, done): (Vec<_>, Vec<_>) = batch.into_iter().partition(|job| job.durable());
        if !durable.is_empty() {
            self.acknowledger.acknowledge(durable);
        }
        self.ring(news);
        for job in done {
            job.settle(Ok(()));
        }
    }

    fn ring(&mut self, news: News) {
        for kind in news.due {
            if let Ok((env, name)) = self.names.of_kind(&self.db, kind) {
                self.notifiers.of(&env).notify_due(&name);
            }
        }
        for (env, id) in news.stopped {
            self.notifiers.of(&env).notify_stopped(&[id]);
        }
    }
}
