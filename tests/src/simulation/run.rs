//! The execution of a plan: starts the nodes, injects the faults, runs the clients, and collects the history.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use oncetask::Client;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::broken::{self, Broken};
use super::clock::{Millis, Skew, TrueTime};
use super::history::{EventKind, History, NodeId, Recorder};
use super::network::{Connection, FaultCounts, Network};
use super::node::{Node, SharedState};
use super::plan::{Fault, Plan, PlannedFault};
use super::process::{Process, ProcessFault};
use super::server::Server;
use super::store_proxy::StoreProxy;

/// The maximum time from the end of the faults to the end of all tasks, in milliseconds.
const SETTLE_TIMEOUT: Millis = 3_600_000;
/// The number of requests after which a run is stopped. A correct run sends fewer; a livelock sends more.
const MAX_REQUESTS: u64 = 100_000;

/// The result of an executed plan.
#[derive(Debug)]
pub(crate) struct Execution {
    pub(crate) history: History,
    pub(crate) faults: FaultCounts,
}

/// Executes a plan on this thread.
pub(crate) fn execute(plan: &Plan, broken: Option<Broken>) -> Execution {
    fastrand::seed(plan.seed ^ plan.delivery << 32);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O can be built");
    runtime.block_on(async {
        let simulation = Simulation::new(plan.clone().without(broken), broken);
        simulation.clone().run().await
    })
}

/// A running simulation.
pub(super) struct Simulation {
    pub(super) plan: Plan,
    pub(super) network: Arc<Network>,
    pub(super) server: Arc<Server>,
    pub(super) shared: SharedState,
    workers: Vec<WorkerSlot>,
}

/// The current process of a worker.
#[derive(Default)]
struct WorkerSlot {
    /// The process and its shutdown token; `None` while the worker is down.
    current: Mutex<Option<(Arc<Process>, CancellationToken)>>,
    /// The time before the next restart, in milliseconds.
    downtime: AtomicU64,
}

impl Simulation {
    fn new(plan: Plan, broken: Option<Broken>) -> Arc<Self> {
        let time = TrueTime::start();
        let recorder = Recorder::new(time);
        let network = Network {
            seed: plan.seed ^ plan.delivery << 32,
            plan: plan.network.clone(),
            time,
            recorder: recorder.clone(),
            broken,
            fault_counts: Mutex::default(),
            healed: AtomicBool::new(false),
        };
        Arc::new(Self {
            server: Arc::new(Server::new(broken::store(broken), recorder.clone())),
            shared: SharedState::new(recorder, broken),
            workers: plan.workers.iter().map(|_| WorkerSlot::default()).collect(),
            network: Arc::new(network),
            plan,
        })
    }

    async fn run(self: Arc<Self>) -> Execution {
        for _ in self.plan.workers.iter().flat_map(|worker| &worker.skew.jumps) {
            self.network.count("clocks set");
        }
        for index in 0..self.plan.workers.len() {
            tokio::spawn(self.clone().supervise(index));
        }
        for planned in &self.plan.faults {
            tokio::spawn(self.clone().inject(*planned));
        }
        let mut clients = self.start_clients();
        sleep(Duration::from_millis(self.plan.lasts)).await;
        self.stop_faults();
        let settled = async {
            while clients.join_next().await.is_some() {}
            while !self.server.are_all_done() && self.server.requests() < MAX_REQUESTS {
                let written = self.server.written.notified();
                // The time limit notices a livelock that writes nothing.
                let _ = timeout(Duration::from_mins(1), written).await;
            }
        };
        let _ = timeout(Duration::from_millis(SETTLE_TIMEOUT), settled).await;
        self.record_final_tasks();
        self.finish()
    }

    fn record_final_tasks(&self) {
        let mut tasks = self.server.all_tasks();
        tasks.sort_by(|one, other| one.id().as_str().cmp(other.id().as_str()));
        for task in tasks {
            let task = Box::new(task);
            self.shared
                .recorder
                .record(NodeId::Client, EventKind::Final { task });
        }
    }

    fn finish(&self) -> Execution {
        let faults = self.network.fault_counts.lock().expect("no panic while locked");
        Execution {
            history: self.shared.recorder.take(),
            faults: faults.clone(),
        }
    }

    fn stop_faults(&self) {
        self.network.healed.store(true, Ordering::Relaxed);
        self.shared
            .recorder
            .record(NodeId::Client, EventKind::FaultsStopped);
        for worker in &self.workers {
            if let Some((process, _)) = &*worker.current() {
                process.thaw();
            }
        }
    }

    /// Starts a worker again whenever it ends.
    async fn supervise(self: Arc<Self>, index: usize) {
        sleep(Duration::from_millis(self.plan.workers[index].starts)).await;
        for restarts in 0.. {
            let id = NodeId::Worker(index, restarts);
            let (process, shutdown) = (self.process(id), CancellationToken::new());
            self.shared.recorder.record_fault(id, "starts");
            self.network.count("workers started");
            let worker = self.worker(id, index, &process);
            *self.workers[index].current() = Some((process.clone(), shutdown.clone()));
            let main = async move {
                let worker = worker.start().await.expect("the task types are valid");
                shutdown.cancelled().await;
                worker.shutdown().await;
            };
            let main = tokio::spawn(process.wrap(Box::pin(main)));
            main.await.expect("a worker does not panic");
            process.terminate();
            *self.workers[index].current() = None;
            let downtime = self.workers[index].downtime.load(Ordering::Relaxed);
            sleep(Duration::from_millis(downtime.max(1))).await;
        }
    }

    fn process(self: &Arc<Self>, id: NodeId) -> Arc<Process> {
        let network = self.network.clone();
        Process::start(move |process, fault| match fault {
            ProcessFault::Crash => {
                network.count("workers killed");
                network.recorder.record_fault(id, "killed");
            }
            ProcessFault::Freeze(lasts) => {
                network.count("workers frozen");
                network
                    .recorder
                    .record_fault(id, format!("frozen for {lasts} ms"));
                let (process, recorder) = (process.clone(), network.recorder.clone());
                tokio::spawn(async move {
                    sleep(Duration::from_millis(lasts)).await;
                    if process.thaw() {
                        recorder.record_fault(id, "thawed");
                    }
                });
            }
        })
    }

    fn worker(&self, id: NodeId, index: usize, process: &Arc<Process>) -> oncetask::WorkerBuilder {
        let node = Node {
            id,
            process: process.clone(),
            shared: self.shared.clone(),
        };
        let process = process.clone();
        let builder = oncetask::builder()
            .only(&[])
            .client(self.client(id, &self.plan.workers[index].skew))
            .heartbeat(Duration::from_millis(self.plan.heartbeat))
            .grace(Duration::from_millis(self.plan.heartbeat / 2))
            .driven(move |future| process.wrap(future));
        let handlers = node.handlers(self.plan.heartbeat).into_iter();
        handlers.fold(builder, oncetask::WorkerBuilder::handler)
    }

    /// Returns a client of a node. Its requests pass through the simulated network.
    pub(super) fn client(&self, id: NodeId, skew: &Skew) -> Client {
        let partitions = match id {
            NodeId::Client => Vec::new(),
            NodeId::Worker(index, _) => self.plan.partitions(index),
        };
        let connection = Connection::open(self.network.clone(), id, partitions);
        let store = StoreProxy::new(connection, self.server.clone());
        Client::new(store).with_clock(skew.clock(self.network.time))
    }

    async fn inject(self: Arc<Self>, planned: PlannedFault) {
        sleep(Duration::from_millis(planned.at)).await;
        let slot = &self.workers[planned.worker];
        let Some((process, shutdown)) = slot.current().clone() else {
            return;
        };
        match planned.fault {
            Fault::Freeze { .. } if process.is_frozen() => {}
            Fault::Freeze { trigger, lasts } => process.schedule(trigger, ProcessFault::Freeze(lasts)),
            Fault::Crash { trigger, downtime } => {
                slot.downtime.store(downtime, Ordering::Relaxed);
                process.schedule(trigger, ProcessFault::Crash);
            }
            Fault::Shutdown { downtime } => {
                slot.downtime.store(downtime, Ordering::Relaxed);
                self.network.count("workers stopped");
                shutdown.cancel();
            }
            Fault::Partition { lasts } => {
                self.network.count("partitions");
                let description = format!("worker {} is partitioned for {lasts} ms", planned.worker);
                self.shared.recorder.record_fault(NodeId::Client, description);
            }
        }
    }
}

impl WorkerSlot {
    fn current(&self) -> MutexGuard<'_, Option<(Arc<Process>, CancellationToken)>> {
        self.current.lock().expect("no panic while locked")
    }
}
