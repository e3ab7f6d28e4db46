//! The network between the nodes and the store: messages are delayed, lost and duplicated.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use oncetask::TaskId;
use oncetask::store::Notifier;
use tokio::time::sleep;

use super::broken::Broken;
use super::clock::{Millis, TrueTime};
use super::history::{NodeId, Recorder};
use super::plan::NetworkPlan;
use super::rng::{happens, rng_for};

/// The number of faults of each kind.
pub type FaultCounts = BTreeMap<&'static str, u64>;

/// The state that all connections share.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) seed: u64,
    pub(crate) plan: NetworkPlan,
    pub(crate) time: TrueTime,
    pub(crate) recorder: Recorder,
    pub(crate) broken: Option<Broken>,
    pub(crate) fault_counts: Mutex<FaultCounts>,
    /// True if the faults have stopped.
    pub(crate) healed: AtomicBool,
}

/// The connection of one process to the store.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) network: Arc<Network>,
    pub(crate) node: NodeId,
    pub(crate) notifier: Notifier,
    /// The start and the end of each partition.
    partitions: Vec<(Millis, Millis)>,
    /// The number of requests sent.
    sent: AtomicU64,
    /// The highest number of a request that has arrived.
    arrived: AtomicU64,
    /// The number of wake-ups sent.
    wakeups: AtomicU64,
}

/// The delivery of one request and its reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    /// The time until the request arrives; `None` if it is lost.
    pub(crate) request_delay: Option<Millis>,
    /// True if the request arrives and is answered with an error before the write.
    pub(crate) fails_before: bool,
    /// True if the request is answered with an error after the write.
    pub(crate) fails_after: bool,
    /// The number of tasks of the request that are written before the error.
    pub(crate) max_written: usize,
    /// True if the request is executed and its reply is lost.
    pub(crate) reply_lost: bool,
    /// The time until the reply arrives.
    pub(crate) reply_delay: Millis,
    /// The time after which the request arrives a second time; `None` if it arrives once.
    pub(crate) duplicate_after: Option<Millis>,
}

impl Network {
    pub(crate) fn is_healed(&self) -> bool {
        self.healed.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, fault: &'static str) {
        let mut counts = self.fault_counts.lock().expect("no panic while locked");
        *counts.entry(fault).or_default() += 1;
    }
}

impl Connection {
    pub(crate) fn open(network: Arc<Network>, node: NodeId, partitions: Vec<(Millis, Millis)>) -> Arc<Self> {
        let connection = Arc::new(Self {
            network,
            node,
            notifier: Notifier::default(),
            partitions,
            sent: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            wakeups: AtomicU64::new(0),
        });
        if let Some(interval) = connection.network.plan.poll {
            tokio::spawn(poll(Arc::downgrade(&connection), interval));
        }
        connection
    }

    /// Draws the delivery of the next request. `tasks` is the number of its tasks.
    pub(crate) fn delivery(&self, tasks: usize) -> Delivery {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let rng = &mut rng_for(self.network.seed, &[2, self.rng_purpose(), number]);
        let plan = &self.network.plan;
        let (fastest, slowest) = plan.latency;
        let (request_delay, reply_delay) = (rng.u64(fastest..=slowest), rng.u64(fastest..=slowest));
        let [request_slow, reply_slow] = [happens(rng, plan.slow), happens(rng, plan.slow)].map(|slow| {
            let by = rng.u64(..=plan.slow_by);
            if slow { by } else { 0 }
        });
        let lost = happens(rng, plan.lose_request);
        let [fails_before, fails_after, reply_lost] =
            [plan.fail_before, plan.fail_after, plan.lose_reply].map(|per_mille| happens(rng, per_mille));
        let duplicate_after = happens(rng, plan.duplicate).then(|| rng.u64(..=plan.slow_by.max(100)));
        let is_partial = fails_after && rng.bool();
        let max_written = if is_partial { 1 } else { usize::MAX };
        let partitioned_for = self.partitioned_for();
        // Half of the requests sent during a partition are lost. The others arrive after it.
        let lost = lost || partitioned_for > 0 && rng.bool();
        if self.network.is_healed() {
            return Delivery::without_faults(request_delay, reply_delay);
        }
        let executed = !lost && !fails_before;
        self.count(&[
            ("requests lost", lost),
            ("requests late", request_slow > 0 || partitioned_for > 0),
            ("replies late", reply_slow > 0),
            ("errors before the write", fails_before),
            ("errors after the write", fails_after && executed && !reply_lost),
            ("calls done in part", max_written < tasks && executed),
            ("replies lost", reply_lost && executed),
            ("requests repeated", duplicate_after.is_some() && executed),
        ]);
        Delivery {
            request_delay: (!lost).then_some(request_delay + request_slow + partitioned_for),
            fails_before,
            fails_after,
            max_written,
            reply_lost,
            reply_delay: reply_delay + reply_slow,
            duplicate_after,
        }
    }

    /// Draws the delivery of a claim, a renewal or a finish. A starved store adds its time to each of them, also
    /// after the faults have stopped.
    pub(crate) fn delivery_of_work(&self, tasks: usize) -> Delivery {
        let starved = self.network.plan.starved;
        let delivery = self.delivery(tasks);
        if starved == 0 {
            return delivery;
        }
        self.network.count("calls of a starved store");
        Delivery {
            request_delay: delivery.request_delay.map(|delay| delay + starved / 2),
            reply_delay: delivery.reply_delay + starved.div_ceil(2),
            ..delivery
        }
    }

    fn count(&self, faults: &[(&'static str, bool)]) {
        for (fault, _) in faults.iter().filter(|(_, happened)| *happened) {
            self.network.count(fault);
        }
    }

    /// Counts a request that arrives after a later one.
    pub(crate) fn request_arrives(&self, request: u64) {
        if self.arrived.fetch_max(request, Ordering::Relaxed) > request {
            self.network.count("requests out of order");
        }
    }

    /// Returns the time until the current partition ends; 0 if there is none.
    pub(crate) fn partitioned_for(&self) -> Millis {
        let now = self.network.time.now();
        let current = self
            .partitions
            .iter()
            .filter(|(from, to)| (*from..*to).contains(&now));
        current.map(|(_, to)| to - now).max().unwrap_or_default()
    }

    /// Notifies the node that tasks of these kinds may be due, and that the handlers of these tasks must stop.
    pub(crate) fn notify(self: &Arc<Self>, kinds: &[Arc<str>], stopped: &[TaskId]) {
        let number = self.wakeups.fetch_add(1, Ordering::Relaxed);
        let rng = &mut rng_for(self.network.seed, &[3, self.rng_purpose(), number]);
        let plan = &self.network.plan;
        let delay = rng.u64(..=plan.wakeup_delay) + self.partitioned_for();
        let lost = happens(rng, plan.lose_wakeup) && !self.network.is_healed();
        if lost || self.network.broken == Some(Broken::WakeUpsLost) {
            self.network.count("wake-ups lost");
            return;
        }
        let (connection, kinds, stopped) = (Arc::downgrade(self), kinds.to_vec(), stopped.to_vec());
        tokio::spawn(async move {
            sleep(Duration::from_millis(delay)).await;
            if let Some(connection) = connection.upgrade() {
                for kind in &kinds {
                    connection.notifier.notify_due(kind);
                }
                if !stopped.is_empty() {
                    connection.notifier.notify_stopped(&stopped);
                }
            }
        });
    }

    /// Returns a number that is different for each process.
    fn rng_purpose(&self) -> u64 {
        match self.node {
            NodeId::Client => 0,
            NodeId::Worker(index, restarts) => (index as u64 + 1) << 32 | u64::from(restarts),
        }
    }
}

/// Wakes the subscribers at an interval, as a store does whose wake-ups may be lost.
async fn poll(connection: Weak<Connection>, interval: Millis) {
    loop {
        sleep(Duration::from_millis(interval)).await;
        let Some(connection) = connection.upgrade() else {
            return;
        };
        if connection.partitioned_for() == 0 && connection.network.broken != Some(Broken::WakeUpsLost) {
            connection.notifier.notify_all();
        }
    }
}

impl Delivery {
    fn without_faults(request_delay: Millis, reply_delay: Millis) -> Self {
        Self {
            request_delay: Some(request_delay),
            fails_before: false,
            fails_after: false,
            max_written: usize::MAX,
            reply_lost: false,
            reply_delay,
            duplicate_after: None,
        }
    }
}
