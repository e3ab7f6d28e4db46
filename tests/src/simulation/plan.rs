//! What happens in a simulation: drawn from its seed before it begins, so that parts of it can be left out.

use fastrand::Rng;

use super::broken::Broken;
use super::clock::{Millis, Skew};
use super::dice::{dice, happens};
use super::life::When;
use super::tasks::{End, Kind, Script};

/// Everything that a simulation does, but for the luck of single messages, which follows from the seed too.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) seed: u64,
    /// Other luck for single messages: what is left of a plan may need it to go wrong again.
    pub(crate) luck: u64,
    pub(crate) heartbeat: Millis,
    /// When the faults stop.
    pub(crate) lasts: Millis,
    pub(crate) workers: Vec<WorkerPlan>,
    /// The clock of whoever creates tasks.
    pub(crate) client: Skew,
    pub(crate) tasks: Vec<TaskPlan>,
    pub(crate) orders: Vec<Order>,
    pub(crate) troubles: Vec<Trouble>,
    pub(crate) network: NetworkPlan,
}

/// One worker.
#[derive(Clone, Debug)]
pub(crate) struct WorkerPlan {
    pub(crate) starts: Millis,
    pub(crate) skew: Skew,
}

/// One task that somebody creates.
#[derive(Clone, Debug)]
pub(crate) struct TaskPlan {
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) created: Millis,
    /// How long after its creation it is due.
    pub(crate) delay: Millis,
    pub(crate) key: Option<u32>,
    pub(crate) script: Script,
    pub(crate) rule: Option<RulePlan>,
}

/// A generator's rule: so many occurrences, so many seconds apart.
#[derive(Clone, Debug)]
pub(crate) struct RulePlan {
    pub(crate) every: u32,
    pub(crate) count: u32,
    pub(crate) missed: oncetask::Missed,
}

/// Something that somebody asks for from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) task: u32,
    pub(crate) at: Millis,
    pub(crate) what: Ask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    CreateAgain,
    Cancel,
    Delete,
    /// So long after it was seen to be done.
    ResetOnceDone(Millis),
}

/// Something that befalls a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trouble {
    pub(crate) worker: usize,
    pub(crate) at: Millis,
    pub(crate) what: Blow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    /// Frozen at the end of one of its next polls.
    Freeze { when: When, lasts: Millis },
    /// Killed at the end of one of its next polls, and started again.
    Kill { when: When, down: Millis },
    /// Told to stop, with grace, and started again.
    Stop { down: Millis },
    /// Cut off from the store.
    Partition { lasts: Millis },
}

/// How bad the way to the store is. Chances are in thousandths.
#[derive(Clone, Debug)]
pub(crate) struct NetworkPlan {
    /// How long a message takes at least and at most, when nothing is wrong.
    pub(crate) latency: (Millis, Millis),
    /// How long a caller waits for an answer.
    pub(crate) deadline: Millis,
    pub(crate) slow: u32,
    pub(crate) slow_by: Millis,
    pub(crate) lose_request: u32,
    pub(crate) lose_reply: u32,
    pub(crate) repeat: u32,
    pub(crate) fail_before: u32,
    pub(crate) fail_after: u32,
    pub(crate) ring_delay: Millis,
    pub(crate) lose_ring: u32,
    /// How often the store looks by itself, where rings may be lost.
    pub(crate) poll: Option<Millis>,
    /// Whether the store lets workers claim ahead, as one does whose workers are all on one machine.
    pub(crate) ahead: bool,
    /// How long the store takes for what workers ask of it: about a heartbeat where it is starved, which never ends.
    pub(crate) starved: Millis,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let rng = &mut dice(seed, &[1]);
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
            orders: orders(rng, &tasks, lasts),
            troubles: troubles(rng, workers.len(), heartbeat, lasts),
            network: network(rng, heartbeat),
            seed,
            luck: 0,
            heartbeat,
            lasts,
            workers,
            tasks,
        };
        let rng = &mut dice(seed, &[2]);
        let plan = if rng.u8(..5) == 0 {
            plan.on_one_machine(rng)
        } else {
            plan
        };
        plan.perhaps_starved(&mut dice(seed, &[4]))
    }

    /// In some seeds with a store that needs as long for a claim as leases last to begin with. Not longer than the
    /// shortest attempt may take: that is counted from the claim.
    fn perhaps_starved(mut self, rng: &mut Rng) -> Self {
        if rng.u8(..8) == 0 {
            self.network.starved = rng.u64(self.heartbeat * 9 / 10..self.heartbeat * 5 / 4);
        }
        self
    }

    /// The same with a single clock, and so many tasks that are done at once that workers claim ahead.
    fn on_one_machine(mut self, rng: &mut Rng) -> Self {
        self.network.ahead = true;
        self.client = Skew::default();
        for worker in &mut self.workers {
            worker.skew = Skew::default();
        }
        let first = self.tasks.len().try_into().expect("a plan is short");
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

    /// The plan without a guard that is a matter of the plan.
    pub(crate) fn without(mut self, broken: Option<Broken>) -> Self {
        if broken == Some(Broken::ClocksTooFarApart) {
            for skew in self.workers.iter_mut().map(|worker| &mut worker.skew) {
                skew.offset *= 2;
                skew.band *= 2;
            }
        }
        self
    }

    /// When a worker is cut off from the store.
    pub(crate) fn partitions(&self, worker: usize) -> Vec<(Millis, Millis)> {
        let of_it = self.troubles.iter().filter(|trouble| trouble.worker == worker);
        of_it
            .filter_map(|trouble| match trouble.what {
                Blow::Partition { lasts } => Some((trouble.at, (trouble.at + lasts).min(self.lasts))),
                _ => None,
            })
            .collect()
    }

    /// How far a clock may be off: two clocks never differ by half of a lease's margin, which is a tenth of the
    /// heartbeat.
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
        listens: rng.bool(),
        tells: rng.u8(..4) == 0,
        ends: (0..rng.usize(..4)).map(|_| end(rng)).collect(),
        cleanups: (0..rng.usize(..3)).map(|_| end(rng)).collect(),
    }
}

fn orders(rng: &mut Rng, tasks: &[TaskPlan], lasts: Millis) -> Vec<Order> {
    let ([cancels, deletes, resets], again) =
        ([rng.u32(..400), rng.u32(..100), rng.u32(..400)], rng.u32(..300));
    let mut orders = Vec::new();
    for task in tasks {
        let later = |rng: &mut Rng| task.created + rng.u64(..(lasts - task.created) * 3 / 4);
        let mut order = |rng: &mut Rng, per_mille, what: fn(&mut Rng) -> Ask| {
            if happens(rng, per_mille) {
                let (at, what) = (later(rng), what(rng));
                orders.push(Order {
                    task: task.number,
                    at,
                    what,
                });
            }
        };
        order(rng, cancels, |_| Ask::Cancel);
        order(rng, deletes, |_| Ask::Delete);
        order(rng, resets, |rng| {
            Ask::ResetOnceDone([0, 5, rng.u64(..3_000)][rng.usize(..3)])
        });
        order(rng, again, |_| Ask::CreateAgain);
    }
    orders
}

fn troubles(rng: &mut Rng, workers: usize, heartbeat: Millis, lasts: Millis) -> Vec<Trouble> {
    // Not every seed has every sort of trouble: one sort alone finds what many together cover up.
    let sorts: [bool; 4] = std::array::from_fn(|_| rng.bool());
    let blow = |rng: &mut Rng| {
        let down = rng.u64(..heartbeat * 2);
        match rng.usize(..4) {
            0 => Blow::Freeze {
                when: when(rng),
                lasts: rng.u64(heartbeat / 10..heartbeat * 3),
            },
            1 => Blow::Kill {
                when: when(rng),
                down,
            },
            2 => Blow::Stop { down },
            _ => Blow::Partition {
                lasts: rng.u64(heartbeat / 10..heartbeat * 2),
            },
        }
    };
    let many = rng.usize(..20);
    let drawn = (0..many).map(|_| (rng.usize(..workers), rng.u64(..lasts), blow(rng)));
    let drawn: Vec<_> = drawn.collect();
    let wanted = drawn.into_iter().filter(|(.., blow)| sorts[blow.sort()]);
    wanted
        .map(|(worker, at, what)| Trouble { worker, at, what })
        .collect()
}

/// After how many polls: often at once, sometimes much later.
fn when(rng: &mut Rng) -> When {
    let (most, births) = ([1, 8, 60][rng.usize(..3)], rng.bool());
    let polls = rng.u32(..if births { most / 4 + 1 } else { most });
    When { polls, births }
}

impl Blow {
    fn sort(self) -> usize {
        match self {
            Self::Freeze { .. } => 0,
            Self::Kill { .. } => 1,
            Self::Stop { .. } => 2,
            Self::Partition { .. } => 3,
        }
    }
}

fn network(rng: &mut Rng, heartbeat: Millis) -> NetworkPlan {
    let mut chance = |most: u32| if rng.bool() { rng.u32(1..most) } else { 0 };
    let (lose_request, lose_reply, repeat) = (chance(120), chance(150), chance(150));
    let (fail_before, fail_after, slow, lose_ring) = (chance(150), chance(120), chance(150), chance(500));
    let fastest = rng.u64(..3);
    NetworkPlan {
        latency: (fastest, fastest + rng.u64(1..40)),
        deadline: rng.u64(heartbeat / 4..heartbeat),
        slow,
        slow_by: rng.u64(10..heartbeat * 3 / 2),
        lose_request,
        lose_reply,
        repeat,
        fail_before,
        fail_after,
        ring_delay: rng.u64(1..300),
        lose_ring,
        poll: (lose_ring > 0).then(|| rng.u64(500..5_000)),
        ahead: false,
        starved: 0,
    }
}
