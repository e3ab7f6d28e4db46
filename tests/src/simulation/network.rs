//! The way between a worker and the store, on which messages are late, lost and repeated.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oncetask::TaskId;
use oncetask::store::Notifier;
use tokio::time::sleep;

use super::broken::Broken;
use super::clock::{Millis, Time};
use super::dice::{dice, happens};
use super::history::{Scribe, Who};
use super::plan::NetworkPlan;

/// How often each sort of fault happened.
pub type Tally = BTreeMap<&'static str, u64>;

/// What all ways have in common.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) seed: u64,
    pub(crate) plan: NetworkPlan,
    pub(crate) time: Time,
    pub(crate) scribe: Scribe,
    pub(crate) broken: Option<Broken>,
    pub(crate) tally: Mutex<Tally>,
    /// Nothing goes wrong any more.
    pub(crate) quiet: AtomicBool,
}

/// The way of one life of a worker.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) network: Arc<Network>,
    pub(crate) who: Who,
    pub(crate) notifier: Notifier,
    /// When it is cut off.
    partitions: Vec<(Millis, Millis)>,
    sent: AtomicU64,
    arrived: AtomicU64,
    rung: AtomicU64,
}

/// What becomes of one message and its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    /// How long it is on its way; `None` when it never arrives.
    pub(crate) there: Option<Millis>,
    /// It arrives, and is not done.
    pub(crate) refused: bool,
    /// It is done, and the answer is an error.
    pub(crate) failed: bool,
    /// How many tasks of the call are done before that.
    pub(crate) part: usize,
    /// It is done, and nobody hears of it.
    pub(crate) reply_lost: bool,
    pub(crate) back: Millis,
    /// It arrives once more, so much later.
    pub(crate) repeated: Option<Millis>,
}

impl Network {
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, what: &'static str) {
        let mut tally = self.tally.lock().expect("nothing panics while it holds the lock");
        *tally.entry(what).or_default() += 1;
    }
}

impl Line {
    pub(crate) fn new(network: Arc<Network>, who: Who, partitions: Vec<(Millis, Millis)>) -> Arc<Self> {
        let line = Arc::new(Self {
            network,
            who,
            notifier: Notifier::default(),
            partitions,
            sent: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            rung: AtomicU64::new(0),
        });
        if let Some(every) = line.network.plan.poll {
            tokio::spawn(poll(Arc::downgrade(&line), every));
        }
        line
    }

    /// Draws what becomes of the next message, about so many tasks.
    pub(crate) fn fate(&self, tasks: usize) -> Fate {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let rng = &mut dice(self.network.seed, &[2, self.code(), number]);
        let plan = &self.network.plan;
        let (fastest, slowest) = plan.latency;
        let (there, back) = (rng.u64(fastest..=slowest), rng.u64(fastest..=slowest));
        let slow = [happens(rng, plan.slow), happens(rng, plan.slow)].map(|slow| {
            let by = rng.u64(..=plan.slow_by);
            if slow { by } else { 0 }
        });
        let lost = happens(rng, plan.lose_request);
        let [refused, failed, reply_lost] =
            [plan.fail_before, plan.fail_after, plan.lose_reply].map(|chance| happens(rng, chance));
        let again = happens(rng, plan.repeat).then(|| rng.u64(..=plan.slow_by.max(100)));
        let torn = failed && rng.bool();
        let part = if torn { 1 } else { usize::MAX };
        let held_up = self.held_up();
        // What is sent into a partition comes out of it, or does not.
        let lost = lost || held_up > 0 && rng.bool();
        if self.network.is_quiet() {
            return Fate::good(there, back);
        }
        self.count(&[
            ("requests lost", lost),
            ("requests late", slow[0] > 0 || held_up > 0),
            ("replies late", slow[1] > 0),
            ("errors before the write", refused),
            (
                "errors after the write",
                failed && !lost && !refused && !reply_lost,
            ),
            ("calls done in part", part < tasks && !lost && !refused),
            ("replies lost", reply_lost && !lost && !refused),
            ("requests repeated", again.is_some() && !lost && !refused),
        ]);
        Fate {
            there: (!lost).then_some(there + slow[0] + held_up),
            refused,
            failed,
            part,
            reply_lost,
            back: back + slow[1],
            repeated: again,
        }
    }

    /// The same for what a worker asks: a store that is starved takes long for it, also when all else is well.
    pub(crate) fn fate_of_work(&self, tasks: usize) -> Fate {
        let starved = self.network.plan.starved;
        let fate = self.fate(tasks);
        if starved == 0 {
            return fate;
        }
        self.network.count("calls of a starved store");
        Fate {
            there: fate.there.map(|there| there + starved / 2),
            back: fate.back + starved.div_ceil(2),
            ..fate
        }
    }

    fn count(&self, faults: &[(&'static str, bool)]) {
        for (fault, _) in faults.iter().filter(|(_, happened)| *happened) {
            self.network.count(fault);
        }
    }

    /// Notes that a request arrives at the store.
    pub(crate) fn arrives(&self, request: u64) {
        if self.arrived.fetch_max(request, Ordering::Relaxed) > request {
            self.network.count("requests out of order");
        }
    }

    /// How long it takes until the line is whole again.
    pub(crate) fn held_up(&self) -> Millis {
        let now = self.network.time.now();
        let cut = self
            .partitions
            .iter()
            .filter(|(from, to)| (*from..*to).contains(&now));
        cut.map(|(_, to)| to - now).max().unwrap_or_default()
    }

    /// Tells the worker that tasks of these kinds may be due, and that these are to be stopped.
    pub(crate) fn ring(self: &Arc<Self>, kinds: &[Arc<str>], stopped: &[TaskId]) {
        let number = self.rung.fetch_add(1, Ordering::Relaxed);
        let rng = &mut dice(self.network.seed, &[3, self.code(), number]);
        let plan = &self.network.plan;
        let delay = rng.u64(..=plan.ring_delay) + self.held_up();
        let lost = happens(rng, plan.lose_ring) && !self.network.is_quiet();
        if lost || self.network.broken == Some(Broken::WakeUpsLost) {
            self.network.count("wake-ups lost");
            return;
        }
        let (line, kinds, stopped) = (Arc::downgrade(self), kinds.to_vec(), stopped.to_vec());
        tokio::spawn(async move {
            sleep(Duration::from_millis(delay)).await;
            if let Some(line) = line.upgrade() {
                for kind in &kinds {
                    line.notifier.notify_due(kind);
                }
                if !stopped.is_empty() {
                    line.notifier.notify_stopped(&stopped);
                }
            }
        });
    }

    fn code(&self) -> u64 {
        match self.who {
            Who::Client => 0,
            Who::Worker(place, life) => (place as u64 + 1) << 32 | u64::from(life),
        }
    }
}

/// What a store does that may lose a wake-up: it looks by itself now and then.
async fn poll(line: std::sync::Weak<Line>, every: Millis) {
    loop {
        sleep(Duration::from_millis(every)).await;
        let Some(line) = line.upgrade() else { return };
        if line.held_up() == 0 && line.network.broken != Some(Broken::WakeUpsLost) {
            line.notifier.notify_all();
        }
    }
}

impl Fate {
    fn good(there: Millis, back: Millis) -> Self {
        Self {
            there: Some(there),
            refused: false,
            failed: false,
            part: usize::MAX,
            reply_lost: false,
            back,
            repeated: None,
        }
    }
}
