//! The plan of a simulation. It is drawn from the seed in advance, so that shrinking can leave out parts of it.

use fastrand::Rng;

use super::broken::Broken;
use super::clock::{Millis, Skew};
use super::process::Trigger;
use super::rng::{happens, rng_for};
use super::tasks::{End, Kind, Script};

/// The events of a simulation, except for the delivery of single messages, which is drawn from the seed later.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) seed: u64,
    /// Selects other deliveries of the messages. A shrunk plan may violate the invariant only with some of them.
    pub(crate) delivery: u64,
    pub(crate) heartbeat: Millis,
    /// The time at which the faults stop.
    pub(crate) lasts: Millis,
    pub(crate) workers: Vec<WorkerPlan>,
    /// The clock of the client.
    pub(crate) client: Skew,
    pub(crate) tasks: Vec<TaskPlan>,
    pub(crate) client_actions: Vec<PlannedAction>,
    pub(crate) faults: Vec<PlannedFault>,
    pub(crate) network: NetworkPlan,
}

/// One worker.
#[derive(Clone, Debug)]
pub(crate) struct WorkerPlan {
    pub(crate) starts: Millis,
    pub(crate) skew: Skew,
}

/// One task that the client creates.
#[derive(Clone, Debug)]
pub(crate) struct TaskPlan {
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) created: Millis,
    /// The time from its creation until it is due.
    pub(crate) delay: Millis,
    pub(crate) key: Option<u32>,
    pub(crate) script: Script,
    pub(crate) rule: Option<RulePlan>,
}

/// A generator's rule: `count` occurrences, `every` seconds apart.
#[derive(Clone, Debug)]
pub(crate) struct RulePlan {
    pub(crate) every: u32,
    pub(crate) count: u32,
    pub(crate) missed: oncetask::Missed,
}

/// A request of the client for an existing task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedAction {
    pub(crate) task: u32,
    pub(crate) at: Millis,
    pub(crate) action: ClientAction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAction {
    CreateAgain,
    Cancel,
    Delete,
    /// Resets the task this long after it is done.
    ResetOnceDone(Millis),
}

/// A fault of a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedFault {
    pub(crate) worker: usize,
    pub(crate) at: Millis,
    pub(crate) fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process freezes after one of its next polls.
    Freeze { trigger: Trigger, lasts: Millis },
    /// The process crashes after one of its next polls, and restarts after `downtime`.
    Crash { trigger: Trigger, downtime: Millis },
    /// The worker shuts down gracefully, and restarts after `downtime`.
    Shutdown { downtime: Millis },
    /// No message passes between the worker and the store.
    Partition { lasts: Millis },
}

/// The faults of the network. Probabilities are in thousandths.
#[derive(Clone, Debug)]
pub(crate) struct NetworkPlan {
    /// The shortest and the longest time of a message that is not slow.
    pub(crate) latency: (Millis, Millis),
    /// The time after which a caller gives up waiting for a reply.
    pub(crate) deadline: Millis,
    pub(crate) slow: u32,
    /// The longest extra time of a slow message.
    pub(crate) slow_by: Millis,
    pub(crate) lose_request: u32,
    pub(crate) lose_reply: u32,
    pub(crate) duplicate: u32,
    /// The probability of an error before the write.
    pub(crate) fail_before: u32,
    /// The probability of an error after the write.
    pub(crate) fail_after: u32,
    /// The longest time of a wake-up.
    pub(crate) wakeup_delay: Millis,
    pub(crate) lose_wakeup: u32,
    /// The interval at which the store wakes its subscribers without a reason, if wake-ups may be lost.
    pub(crate) poll: Option<Millis>,
    /// True if the store allows prefetching.
    pub(crate) prefetch: bool,
    /// The extra time of every claim, renewal and finish; about a heartbeat if the store is starved for good.
    pub(crate) starved: Millis,
}

impl Plan {
    /// Returns the plan of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let rng = &mut rng_for(seed, &[1]);
        let heartbeat = [1_000, 2_000, 4_000, 10_000][rng.usize(..4)];
        let lasts = heartbeat * rng.u64(4..12);
        let workers = (0..rng.usize(1..5))
            .map(|_| worker(rng, heartbeat, lasts))
            .collect::<Vec<_>>();
        let tasks = (0..rng.u32(1..28))
            .map(|number| task(rng, number, heartbeat, lasts))
            .collect::<Vec<_>>();
        let band = Self::band(heartbeat);
        let plan = Self {
            client: Skew {
                offset: rng.i64(-band..=band),
                band,
                ..Skew::default()
            },
            client_actions: client_actions(rng, &tasks, lasts),
            faults: faults(rng, workers.len(), heartbeat, lasts),
            network: network(rng, heartbeat),
            seed,
            delivery: 0,
            heartbeat,
            lasts,
            workers,
            tasks,
        };
        let rng = &mut rng_for(seed, &[2]);
        let plan = if rng.u8(..5) == 0 {
            plan.on_one_machine(rng)
        } else {
            plan
        };
        plan.perhaps_starved(&mut rng_for(seed, &[4]))
    }

    /// Starves the store in one seed of eight: a claim then takes as long as the initial lease. It takes less than
    /// the shortest maximum duration of an attempt, which is counted from the claim.
    fn perhaps_starved(mut self, rng: &mut Rng) -> Self {
        if rng.u8(..8) == 0 {
            self.network.starved = rng.u64(self.heartbeat * 9 / 10..self.heartbeat * 5 / 4);
        }
        self
    }

    /// Gives every node the same clock, and adds so many tasks with short handlers that workers prefetch.
    fn on_one_machine(mut self, rng: &mut Rng) -> Self {
        self.network.prefetch = true;
        self.client = Skew::default();
        for worker in &mut self.workers {
            worker.skew = Skew::default();
        }
        let first = self.tasks.len().try_into().expect("a plan has few tasks");
        for number in first..first + rng.u32(60..160) {
            let mut task = task(rng, number, self.heartbeat, self.lasts);
            task.created = rng.u64(..self.lasts / 4);
            task.kind = Kind::ALL[0];
            (task.delay, task.key, task.rule) = (0, None, None);
            task.script.steps = if rng.u8(..60) == 0 { task.script.steps } else { 0 };
            self.tasks.push(task);
        }
        self
    }

    /// Removes the missing guard from the plan, if it is a guard of the plan.
    pub(crate) fn without(mut self, broken: Option<Broken>) -> Self {
        if broken == Some(Broken::ClocksTooFarApart) {
            for skew in self.workers.iter_mut().map(|worker| &mut worker.skew) {
                skew.offset *= 2;
                skew.band *= 2;
            }
        }
        self
    }

    /// Returns the start and the end of each partition of a worker.
    pub(crate) fn partitions(&self, worker: usize) -> Vec<(Millis, Millis)> {
        let faults = self.faults.iter().filter(|planned| planned.worker == worker);
        faults
            .filter_map(|planned| match planned.fault {
                Fault::Partition { lasts } => Some((planned.at, (planned.at + lasts).min(self.lasts))),
                _ => None,
            })
            .collect()
    }

    /// Returns the largest error of a clock. Two clocks always differ by less than half of a lease's margin, which
    /// is a tenth of the heartbeat.
    fn band(heartbeat: Millis) -> i64 {
        i64::try_from(heartbeat / 40).expect("a heartbeat is short") - 2
    }
}

fn worker(rng: &mut Rng, heartbeat: Millis, lasts: Millis) -> WorkerPlan {
    let band = Plan::band(heartbeat);
    let jumps = if rng.bool() { rng.usize(..4) } else { 0 };
    let skew = Skew {
        offset: rng.i64(-band..=band),
        drift: [0, 0, rng.i64(-5_000..=5_000)][rng.usize(..3)],
        jumps: (0..jumps)
            .map(|_| (rng.u64(..lasts), rng.i64(-2 * band..=2 * band)))
            .collect(),
        band,
    };
    WorkerPlan {
        starts: rng.u64(..500),
        skew,
    }
}

fn task(rng: &mut Rng, number: u32, heartbeat: Millis, lasts: Millis) -> TaskPlan {
    let kind = Kind::ALL[rng.usize(..Kind::ALL.len())];
    let rule = (kind == Kind::Tick).then(|| RulePlan {
        every: rng.u32(1..6),
        count: rng.u32(1..8),
        missed: [
            oncetask::Missed::One,
            oncetask::Missed::All { max: rng.u32(1..5) },
            oncetask::Missed::Skip,
        ][rng.usize(..3)],
    });
    TaskPlan {
        number,
        kind,
        created: rng.u64(..lasts * 3 / 4),
        delay: if rng.u8(..4) == 0 {
            rng.u64(..heartbeat * 2)
        } else {
            0
        },
        key: (kind.has_key() && rng.u8(..8) > 0).then(|| rng.u32(..3)),
        script: script(rng, heartbeat),
        rule,
    }
}

fn script(rng: &mut Rng, heartbeat: Millis) -> Script {
    let longest = if rng.u8(..4) == 0 {
        heartbeat * 2
    } else {
        heartbeat / 3
    };
    let step = rng.u64(1..heartbeat / 8);
    let end = |rng: &mut Rng| match rng.u32(..16) {
        0..4 => End::Fail,
        4 => End::Permanent,
        5 => End::Snooze(rng.u64(..heartbeat)),
        6 => End::RetryAfter(rng.u64(..heartbeat)),
        7 => End::Cancel,
        8 => End::Panic,
        _ => End::Done,
    };
    Script {
        step,
        steps: u32::try_from(rng.u64(..=longest) / step).expect("a script is short"),
        obeys_cancellation: rng.bool(),
        reports_progress: rng.u8(..4) == 0,
        ends: (0..rng.usize(..4)).map(|_| end(rng)).collect(),
        cleanup_ends: (0..rng.usize(..3)).map(|_| end(rng)).collect(),
    }
}

fn client_actions(rng: &mut Rng, tasks: &[TaskPlan], lasts: Millis) -> Vec<PlannedAction> {
    let ([cancels, deletes, resets], again) =
        ([rng.u32(..400), rng.u32(..100), rng.u32(..400)], rng.u32(..300));
    let mut actions = Vec::new();
    for task in tasks {
        let later = |rng: &mut Rng| task.created + rng.u64(..(lasts - task.created) * 3 / 4);
        let mut perhaps = |rng: &mut Rng, per_mille, action: fn(&mut Rng) -> ClientAction| {
            if happens(rng, per_mille) {
                let (at, action) = (later(rng), action(rng));
                actions.push(PlannedAction {
                    task: task.number,
                    at,
                    action,
                });
            }
        };
        perhaps(rng, cancels, |_| ClientAction::Cancel);
        perhaps(rng, deletes, |_| ClientAction::Delete);
        perhaps(rng, resets, |rng| {
            ClientAction::ResetOnceDone([0, 5, rng.u64(..3_000)][rng.usize(..3)])
        });
        perhaps(rng, again, |_| ClientAction::CreateAgain);
    }
    actions
}

fn faults(rng: &mut Rng, workers: usize, heartbeat: Millis, lasts: Millis) -> Vec<PlannedFault> {
    // A seed has only some types of faults, because one type alone finds errors that a mixture hides.
    let types: [bool; 4] = std::array::from_fn(|_| rng.bool());
    let fault = |rng: &mut Rng| {
        let downtime = rng.u64(..heartbeat * 2);
        match rng.usize(..4) {
            0 => Fault::Freeze {
                trigger: trigger(rng),
                lasts: rng.u64(heartbeat / 10..heartbeat * 3),
            },
            1 => Fault::Crash {
                trigger: trigger(rng),
                downtime,
            },
            2 => Fault::Shutdown { downtime },
            _ => Fault::Partition {
                lasts: rng.u64(heartbeat / 10..heartbeat * 2),
            },
        }
    };
    let count = rng.usize(..20);
    let drawn = (0..count).map(|_| (rng.usize(..workers), rng.u64(..lasts), fault(rng)));
    let drawn: Vec<_> = drawn.collect();
    let chosen = drawn.into_iter().filter(|(.., fault)| types[fault.type_index()]);
    chosen
        .map(|(worker, at, fault)| PlannedFault { worker, at, fault })
        .collect()
}

/// Draws a trigger: often the next poll, sometimes a much later one.
fn trigger(rng: &mut Rng) -> Trigger {
    let (max_polls, spawning_only) = ([1, 8, 60][rng.usize(..3)], rng.bool());
    let polls = rng.u32(
        ..if spawning_only {
            max_polls / 4 + 1
        } else {
            max_polls
        },
    );
    Trigger { polls, spawning_only }
}

impl Fault {
    fn type_index(self) -> usize {
        match self {
            Self::Freeze { .. } => 0,
            Self::Crash { .. } => 1,
            Self::Shutdown { .. } => 2,
            Self::Partition { .. } => 3,
        }
    }
}

fn network(rng: &mut Rng, heartbeat: Millis) -> NetworkPlan {
    let mut probability = |max: u32| if rng.bool() { rng.u32(1..max) } else { 0 };
    let (lose_request, lose_reply, duplicate) = (probability(120), probability(150), probability(150));
    let (fail_before, fail_after, slow, lose_wakeup) = (
        probability(150),
        probability(120),
        probability(150),
        probability(500),
    );
    let fastest = rng.u64(..3);
    NetworkPlan {
        latency: (fastest, fastest + rng.u64(1..40)),
        deadline: rng.u64(heartbeat / 4..heartbeat),
        slow,
        slow_by: rng.u64(10..heartbeat * 3 / 2),
        lose_request,
        lose_reply,
        duplicate,
        fail_before,
        fail_after,
        wakeup_delay: rng.u64(1..300),
        lose_wakeup,
        poll: (lose_wakeup > 0).then(|| rng.u64(500..5_000)),
        prefetch: false,
        starved: 0,
    }
}
