//! Plays a plan: the workers, what befalls them, and those who ask for things.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use oncetask::Client;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::actor::{Actor, Stage};
use super::broken::{self, Broken};
use super::clock::{Millis, Skew, Time};
use super::front::Front;
use super::history::{History, Scribe, What, Who};
use super::life::{Fall, Life};
use super::network::{Line, Network, Tally};
use super::plan::{Blow, Plan, Trouble};
use super::server::Server;

/// How long everything has to end once the faults have stopped.
const PATIENCE: Millis = 3_600_000;
/// More requests than any sound run has: a run that goes round in circles ends.
const TOO_MANY: u64 = 100_000;

/// A simulation that was played.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) history: History,
    pub(crate) tally: Tally,
}

/// Plays a plan on this thread.
pub(crate) fn play(plan: &Plan, broken: Option<Broken>) -> Played {
    fastrand::seed(plan.seed ^ plan.luck << 32);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O can be built");
    runtime.block_on(async {
        let world = World::new(plan.clone().without(broken), broken);
        world.clone().run().await
    })
}

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) network: Arc<Network>,
    pub(super) server: Arc<Server>,
    pub(super) stage: Stage,
    seats: Vec<Seat>,
}

/// Where a worker sits, life after life.
#[derive(Default)]
struct Seat {
    life: Mutex<Option<(Arc<Life>, CancellationToken)>>,
    /// How long it stays down when it ends.
    down: AtomicU64,
}

impl World {
    fn new(plan: Plan, broken: Option<Broken>) -> Arc<Self> {
        let time = Time::begin();
        let scribe = Scribe::new(time);
        let network = Network {
            seed: plan.seed ^ plan.luck << 32,
            plan: plan.network.clone(),
            time,
            scribe: scribe.clone(),
            broken,
            tally: Mutex::default(),
            quiet: AtomicBool::new(false),
        };
        Arc::new(Self {
            server: Arc::new(Server::new(broken::store(broken), scribe.clone())),
            stage: Stage::new(scribe, broken),
            seats: plan.workers.iter().map(|_| Seat::default()).collect(),
            network: Arc::new(network),
            plan,
        })
    }

    async fn run(self: Arc<Self>) -> Played {
        for _ in self.plan.workers.iter().flat_map(|worker| &worker.skew.jumps) {
            self.network.count("clocks set");
        }
        for place in 0..self.plan.workers.len() {
            tokio::spawn(self.clone().supervise(place));
        }
        for trouble in &self.plan.troubles {
            tokio::spawn(self.clone().befall(*trouble));
        }
        let mut asking = self.clients();
        sleep(Duration::from_millis(self.plan.lasts)).await;
        self.calm_down();
        let ended = async {
            while asking.join_next().await.is_some() {}
            while !self.server.are_all_done() && self.server.requests() < TOO_MANY {
                let written = self.server.written.notified();
                // Only a write changes anything, but a run in circles writes nothing.
                let _ = timeout(Duration::from_mins(1), written).await;
            }
        };
        let _ = timeout(Duration::from_millis(PATIENCE), ended).await;
        let mut left = self.server.everything();
        left.sort_by(|one, other| one.id().as_str().cmp(other.id().as_str()));
        for task in left {
            self.stage
                .scribe
                .note(Who::Client, What::Left { task: Box::new(task) });
        }
        self.played()
    }

    fn played(&self) -> Played {
        let tally = self
            .network
            .tally
            .lock()
            .expect("nothing panics while it holds the lock");
        Played {
            history: self.stage.scribe.take(),
            tally: tally.clone(),
        }
    }

    /// The faults stop.
    fn calm_down(&self) {
        self.network.quiet.store(true, Ordering::Relaxed);
        self.stage.scribe.note(Who::Client, What::Quiet);
        for seat in &self.seats {
            if let Some((life, _)) = &*seat.life() {
                life.thaw();
            }
        }
    }

    /// Starts a worker, again and again.
    async fn supervise(self: Arc<Self>, place: usize) {
        sleep(Duration::from_millis(self.plan.workers[place].starts)).await;
        for number in 0.. {
            let who = Who::Worker(place, number);
            let (life, stop) = (self.life(who), CancellationToken::new());
            self.stage.scribe.trouble(who, "starts");
            self.network.count("workers started");
            let worker = self.worker(who, &life);
            *self.seats[place].life() = Some((life.clone(), stop.clone()));
            let main = async move {
                let worker = worker.start().await.expect("the task types are sound");
                stop.cancelled().await;
                worker.shutdown().await;
            };
            let main = tokio::spawn(life.wrap(Box::pin(main)));
            main.await.expect("a worker does not panic");
            life.end();
            *self.seats[place].life() = None;
            let down = self.seats[place].down.load(Ordering::Relaxed);
            sleep(Duration::from_millis(down.max(1))).await;
        }
    }

    fn life(self: &Arc<Self>, who: Who) -> Arc<Life> {
        let network = self.network.clone();
        Life::begin(move |life, fall| match fall {
            Fall::Kill => {
                network.count("workers killed");
                network.scribe.trouble(who, "killed");
            }
            Fall::Freeze(lasts) => {
                network.count("workers frozen");
                network.scribe.trouble(who, format!("frozen for {lasts} ms"));
                let (life, scribe) = (life.clone(), network.scribe.clone());
                tokio::spawn(async move {
                    sleep(Duration::from_millis(lasts)).await;
                    if life.thaw() {
                        scribe.trouble(who, "thawed");
                    }
                });
            }
        })
    }

    fn worker(&self, who: Who, life: &Arc<Life>) -> oncetask::WorkerBuilder {
        let Who::Worker(place, _) = who else {
            unreachable!("only workers work")
        };
        let actor = Actor {
            stage: self.stage.clone(),
            who,
            life: life.clone(),
        };
        let living = life.clone();
        let builder = oncetask::builder()
            .only(&[])
            .client(self.client(who, &self.plan.workers[place].skew))
            .heartbeat(Duration::from_millis(self.plan.heartbeat))
            .grace(Duration::from_millis(self.plan.heartbeat / 2))
            .driven(move |future| living.wrap(future));
        let handlers = actor.handlers(self.plan.heartbeat).into_iter();
        handlers.fold(builder, oncetask::WorkerBuilder::handler)
    }

    pub(super) fn client(&self, who: Who, skew: &Skew) -> Client {
        let partitions = match who {
            Who::Client => Vec::new(),
            Who::Worker(place, _) => self.plan.partitions(place),
        };
        let line = Line::new(self.network.clone(), who, partitions);
        Client::new(Front::new(line, self.server.clone())).with_clock(skew.clock(self.network.time))
    }

    async fn befall(self: Arc<Self>, trouble: Trouble) {
        sleep(Duration::from_millis(trouble.at)).await;
        let seat = &self.seats[trouble.worker];
        let Some((life, stop)) = seat.life().clone() else {
            return;
        };
        match trouble.what {
            Blow::Freeze { .. } if life.is_frozen() => {}
            Blow::Freeze { when, lasts } => life.order(when, Fall::Freeze(lasts)),
            Blow::Kill { when, down } => {
                seat.down.store(down, Ordering::Relaxed);
                life.order(when, Fall::Kill);
            }
            Blow::Stop { down } => {
                seat.down.store(down, Ordering::Relaxed);
                self.network.count("workers stopped");
                stop.cancel();
            }
            Blow::Partition { lasts } => {
                self.network.count("partitions");
                let what = format!("worker {} is cut off for {lasts} ms", trouble.worker);
                self.stage.scribe.trouble(Who::Client, what);
            }
        }
    }
}

impl Seat {
    fn life(&self) -> MutexGuard<'_, Option<(Arc<Life>, CancellationToken)>> {
        self.life.lock().expect("nothing panics while it holds the lock")
    }
}
