//! The worker processes of an episode: they are killed, terminated, frozen and restarted.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::MissedTickBehavior;

use super::Result;
use super::report::Counts;
use super::testbed::TestBed;
use crate::process::Process;

const WORKERS: usize = 4;
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The maximum time from SIGTERM to the end of a worker. Its store may be frozen in the meantime.
const TERMINATION_TIMEOUT: Duration = Duration::from_secs(20);

/// The workers of an episode.
#[derive(Debug)]
pub(crate) struct Fleet {
    program: PathBuf,
    heartbeat: Duration,
    rng: fastrand::Rng,
    workers: Vec<WorkerState>,
    started: u32,
    pub(crate) counts: Counts,
    /// The id of each killed process, and the time of the kill in nanoseconds since the Unix epoch.
    pub(crate) kills: Vec<(u32, u128)>,
}

#[derive(Debug)]
enum WorkerState {
    Running(Process),
    /// Frozen until this instant.
    Frozen(Process, Instant),
    /// Sent SIGTERM at this instant.
    Terminating(Process, Instant),
    /// Down until this instant.
    Down(Instant),
}

impl Fleet {
    pub(crate) fn new(program: PathBuf, seed: u64, heartbeat: Duration) -> Self {
        Self {
            program,
            heartbeat,
            rng: fastrand::Rng::with_seed(seed),
            workers: (0..WORKERS).map(|_| WorkerState::Down(Instant::now())).collect(),
            started: 0,
            counts: Counts::default(),
            kills: Vec::new(),
        }
    }

    /// Injects faults for this time, and for longer if no worker has been killed by then: a busy machine may be slow.
    pub(crate) async fn inject_faults(&mut self, testbed: &mut TestBed, length: Duration) -> Result {
        let end = Instant::now() + length;
        let (mut next_fault, mut repair_at) = (Instant::now(), None);
        let mut polls = tokio::time::interval(POLL_INTERVAL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while Instant::now() < end || self.kills.is_empty() {
            polls.tick().await;
            self.maintain(testbed)?;
            if repair_at.is_some_and(|at| at <= Instant::now()) {
                testbed.repair();
                repair_at = None;
            }
            if next_fault <= Instant::now() {
                next_fault = Instant::now() + Duration::from_millis(self.rng.u64(30..900));
                if self.rng.u8(0..10) < 3 {
                    let duration = testbed.inject_fault(&mut self.rng, &mut self.counts);
                    repair_at = duration.map(|duration| Instant::now() + duration).or(repair_at);
                } else {
                    self.inject_worker_fault();
                }
            }
        }
        testbed.repair();
        self.end_faults();
        Ok(())
    }

    /// Thaws workers at the end of their freeze, and restarts workers at the end of their downtime.
    pub(crate) fn maintain(&mut self, testbed: &TestBed) -> Result {
        for index in 0..self.workers.len() {
            let worker = self.take(index);
            self.workers[index] = self.next_state(worker, testbed)?;
        }
        Ok(())
    }

    fn take(&mut self, index: usize) -> WorkerState {
        std::mem::replace(&mut self.workers[index], WorkerState::Down(Instant::now()))
    }

    fn next_state(&mut self, worker: WorkerState, testbed: &TestBed) -> Result<WorkerState> {
        let now = Instant::now();
        let restart_at = now + Duration::from_millis(self.rng.u64(0..1000));
        Ok(match worker {
            WorkerState::Down(until) if until <= now => WorkerState::Running(self.start(testbed)?),
            WorkerState::Frozen(process, until) if until <= now => {
                process.signal("CONT");
                WorkerState::Running(process)
            }
            WorkerState::Running(mut process) => match process.ended() {
                Some(_) => {
                    // A worker ends by itself only if it cannot open its store.
                    self.counts.add("workers that could not start", 1);
                    WorkerState::Down(restart_at)
                }
                None => WorkerState::Running(process),
            },
            WorkerState::Terminating(mut process, since) => match process.ended() {
                Some(_) => WorkerState::Down(restart_at),
                None if now > since + TERMINATION_TIMEOUT => {
                    let log = process.log();
                    return Err(format!(
                        "a worker did not end within {TERMINATION_TIMEOUT:?} of SIGTERM:\n{log}"
                    )
                    .into());
                }
                None => WorkerState::Terminating(process, since),
            },
            other => other,
        })
    }

    fn start(&mut self, testbed: &TestBed) -> Result<Process> {
        self.started += 1;
        let log = testbed.path(&format!("worker-{}.log", self.started));
        Ok(Process::start(&mut testbed.worker(&self.program), log)?)
    }

    /// Injects a fault into a random worker. The first fault is a kill, so that every episode has one.
    fn inject_worker_fault(&mut self) {
        let index = self.rng.usize(0..self.workers.len());
        let worker = self.take(index);
        let (drawn, is_first) = (self.rng.u8(0..10), self.kills.is_empty());
        self.workers[index] = match (worker, if is_first { 0 } else { drawn }) {
            (WorkerState::Running(process) | WorkerState::Frozen(process, _), 0..=3) => self.kill(process),
            (WorkerState::Running(process), 4..=5) => {
                self.counts.add("workers terminated", 1);
                process.signal("TERM");
                WorkerState::Terminating(process, Instant::now())
            }
            (WorkerState::Running(process), _) => self.freeze(process),
            (other, _) => other,
        };
    }

    fn kill(&mut self, process: Process) -> WorkerState {
        self.counts.add("workers killed", 1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.kills
            .push((process.id(), now.map_or(0, |since| since.as_nanos())));
        // Dropping the process kills it.
        drop(process);
        WorkerState::Down(Instant::now() + Duration::from_millis(self.rng.u64(0..1000)))
    }

    /// Freezes a worker for up to one or two heartbeats.
    fn freeze(&mut self, process: Process) -> WorkerState {
        self.counts.add("workers frozen", 1);
        let heartbeat = self.heartbeat;
        let longest = if self.rng.bool() { heartbeat } else { heartbeat * 2 };
        let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        let duration = Duration::from_millis(self.rng.u64(20..longest));
        process.signal("STOP");
        if duration > heartbeat {
            self.counts.add("workers frozen for longer than a lease", 1);
        }
        WorkerState::Frozen(process, Instant::now() + duration)
    }

    /// Ends every freeze and every downtime.
    fn end_faults(&mut self) {
        for worker in &mut self.workers {
            if let WorkerState::Frozen(_, until) | WorkerState::Down(until) = worker {
                *until = Instant::now();
            }
        }
    }
}
