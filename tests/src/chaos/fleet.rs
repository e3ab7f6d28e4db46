//! The workers: real processes that are killed, told to end, frozen, and started again.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::MissedTickBehavior;

use super::Result;
use super::ground::Ground;
use super::report::Counts;
use crate::process::Process;

const WORKERS: usize = 4;
const LOOK: Duration = Duration::from_millis(20);
/// How long a worker may take to end when it is told to: its store may be frozen, and so may we.
const TO_END: Duration = Duration::from_secs(20);

/// The workers of an episode.
#[derive(Debug)]
pub(crate) struct Fleet {
    program: PathBuf,
    heartbeat: Duration,
    rng: fastrand::Rng,
    slots: Vec<Slot>,
    started: u32,
    pub(crate) counts: Counts,
    /// Which process was killed, and when, by the computer's clock.
    pub(crate) kills: Vec<(u32, u128)>,
}

/// A place for a worker.
#[derive(Debug)]
enum Slot {
    Runs(Process),
    Frozen(Process, Instant),
    Ends(Process, Instant),
    Gone(Instant),
}

impl Fleet {
    pub(crate) fn new(program: PathBuf, seed: u64, heartbeat: Duration) -> Self {
        Self {
            program,
            heartbeat,
            rng: fastrand::Rng::with_seed(seed),
            slots: (0..WORKERS).map(|_| Slot::Gone(Instant::now())).collect(),
            started: 0,
            counts: Counts::default(),
            kills: Vec::new(),
        }
    }

    /// Lets things go wrong for a while, and until a worker was killed: a busy machine comes to little.
    pub(crate) async fn suffer(&mut self, ground: &mut Ground, length: Duration) -> Result {
        let end = Instant::now() + length;
        let (mut next, mut mended) = (Instant::now(), None);
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while Instant::now() < end || self.kills.is_empty() {
            looks.tick().await;
            self.tend(ground)?;
            if mended.is_some_and(|at| at <= Instant::now()) {
                ground.mend();
                mended = None;
            }
            if next <= Instant::now() {
                next = Instant::now() + Duration::from_millis(self.rng.u64(30..900));
                if self.rng.u8(0..10) < 3 {
                    let broken = ground.strike(&mut self.rng, &mut self.counts);
                    mended = broken.map(|time| Instant::now() + time).or(mended);
                } else {
                    self.strike();
                }
            }
        }
        ground.mend();
        self.calm();
        Ok(())
    }

    /// Thaws who is frozen, and starts who is gone.
    pub(crate) fn tend(&mut self, ground: &Ground) -> Result {
        for place in 0..self.slots.len() {
            let slot = std::mem::replace(&mut self.slots[place], Slot::Gone(Instant::now()));
            self.slots[place] = self.tended(slot, ground)?;
        }
        Ok(())
    }

    fn tended(&mut self, slot: Slot, ground: &Ground) -> Result<Slot> {
        let now = Instant::now();
        let soon = now + Duration::from_millis(self.rng.u64(0..1000));
        Ok(match slot {
            Slot::Gone(until) if until <= now => Slot::Runs(self.start(ground)?),
            Slot::Frozen(process, until) if until <= now => {
                process.signal("CONT");
                Slot::Runs(process)
            }
            Slot::Runs(mut process) => match process.ended() {
                Some(_) => {
                    // It could not open its store.
                    self.counts.add("workers that gave up", 1);
                    Slot::Gone(soon)
                }
                None => Slot::Runs(process),
            },
            Slot::Ends(mut process, since) => match process.ended() {
                Some(_) => Slot::Gone(soon),
                None if now > since + TO_END => {
                    return Err(format!("a worker did not end in {TO_END:?}:\n{}", process.log()).into());
                }
                None => Slot::Ends(process, since),
            },
            other => other,
        })
    }

    fn start(&mut self, ground: &Ground) -> Result<Process> {
        self.started += 1;
        let log = ground.path(&format!("worker-{}.log", self.started));
        Ok(Process::start(&mut ground.worker(&self.program), log)?)
    }

    /// Does something to one of the workers. The first is killed, so that no episode is without that.
    fn strike(&mut self) {
        let place = self.rng.usize(0..self.slots.len());
        let slot = std::mem::replace(&mut self.slots[place], Slot::Gone(Instant::now()));
        let (drawn, first) = (self.rng.u8(0..10), self.kills.is_empty());
        self.slots[place] = match (slot, if first { 0 } else { drawn }) {
            (Slot::Runs(process) | Slot::Frozen(process, _), 0..=3) => self.kill(process),
            (Slot::Runs(process), 4..=5) => {
                self.counts.add("workers told to end", 1);
                process.signal("TERM");
                Slot::Ends(process, Instant::now())
            }
            (Slot::Runs(process), _) => self.freeze(process),
            (other, _) => other,
        };
    }

    fn kill(&mut self, process: Process) -> Slot {
        self.counts.add("workers killed", 1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.kills
            .push((process.id(), now.map_or(0, |since| since.as_nanos())));
        // It is killed where it is dropped.
        drop(process);
        Slot::Gone(Instant::now() + Duration::from_millis(self.rng.u64(0..1000)))
    }

    /// For a moment, or for longer than it may hold anything.
    fn freeze(&mut self, process: Process) -> Slot {
        self.counts.add("workers frozen", 1);
        let heartbeat = self.heartbeat;
        let longest = if self.rng.bool() { heartbeat } else { heartbeat * 2 };
        let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        let time = Duration::from_millis(self.rng.u64(20..longest));
        process.signal("STOP");
        if time > heartbeat {
            self.counts.add("of these past their leases", 1);
        }
        Slot::Frozen(process, Instant::now() + time)
    }

    /// From now on nobody suffers.
    fn calm(&mut self) {
        for slot in &mut self.slots {
            if let Slot::Frozen(_, until) | Slot::Gone(until) = slot {
                *until = Instant::now();
            }
        }
    }
}
