//! Chaos runs: real worker processes on a real store under random faults, and a checker that compares the effects
//! of the handlers with the stored tasks.
//!
//! A run consists of episodes, each on a new store. While a client creates, cancels, resets and deletes tasks,
//! workers are killed, terminated and frozen, and the disk fills up, or the server freezes and connections to it
//! fail. Then the faults stop, every task must end, and every promise is checked (`check`). The seed determines
//! the faults and their times. The processes' reactions differ from run to run.

mod check;
mod effects;
mod fleet;
mod producer;
mod records;
mod report;
mod short_run;
mod testbed;
mod work;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use self::check::History;
use self::effects::Effects;
use self::fleet::Fleet;
use self::producer::{Ledger, produce, record_ends};
use self::records::{Records, have_ended};
pub use self::report::Report;
pub use self::short_run::short_run;
use self::testbed::TestBed;
pub use self::work::worker;
use crate::emulator::Emulator;
use crate::harness::wait;
use crate::journal::Journal;

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The duration of the faults of an episode.
const EPISODE: Duration = Duration::from_mins(1);
/// The maximum time from the end of the faults to the end of all tasks.
const SETTLE_TIMEOUT: Duration = Duration::from_mins(5);
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The store of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A SQLite file.
    Sqlite,
    /// The Firestore emulator behind a proxy.
    Firestore,
}

impl Kind {
    /// Returns the heartbeat of the workers. On a busy machine a claim in the emulator takes seconds.
    pub(crate) const fn heartbeat(self) -> Duration {
        match self {
            Self::Sqlite => Duration::from_secs(2),
            Self::Firestore => Duration::from_secs(10),
        }
    }

    /// Returns the approximate number of tasks, or bursts of tasks, that are created per second. The workers must
    /// keep up with them, and the time of a query in the emulator grows with the whole collection.
    #[must_use]
    pub const fn rate(self) -> u32 {
        match self {
            Self::Sqlite => 20,
            Self::Firestore => 3,
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "sqlite" => Ok(Self::Sqlite),
            "firestore" => Ok(Self::Firestore),
            other => Err(format!(
                "unknown store `{other}`: the stores are sqlite and firestore"
            )),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Firestore => "firestore",
        })
    }
}

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The store.
    pub kind: Kind,
    /// The duration of the run, without the time in which the last episode settles.
    pub length: Duration,
    /// The seed of the first episode. Each further episode has the next seed.
    pub seed: u64,
    /// The number of tasks per second, if it is not [the default of the store](Kind::rate).
    pub per_second: Option<u32>,
    /// The program that is started as `PROGRAM worker STORE JOURNAL` and calls [`worker`].
    pub program: PathBuf,
}

/// Runs episodes until the time is up or a promise is broken. Prints the report of each.
///
/// # Errors
///
/// Returns an error if an episode cannot be set up, or if a worker does not end.
pub async fn run(options: &Options) -> Result<Report> {
    let emulator = match options.kind {
        Kind::Sqlite => None,
        // The emulator is not shared, because the run freezes it.
        Kind::Firestore => Some(Arc::new(tokio::task::spawn_blocking(Emulator::start).await??)),
    };
    let (started, mut report, mut seed) = (Instant::now(), Report::default(), options.seed);
    while started.elapsed() < options.length && report.violations.is_empty() {
        let left = options.length.saturating_sub(started.elapsed());
        let episode = Episode {
            options,
            seed,
            length: left.min(EPISODE),
        };
        let result = episode.run(emulator.as_ref()).await?;
        print(&format!("seed {seed}: {result}"));
        report.merge(result);
        seed += 1;
    }
    Ok(report)
}

struct Episode<'a> {
    options: &'a Options,
    seed: u64,
    length: Duration,
}

impl Episode<'_> {
    async fn run(&self, emulator: Option<&Arc<Emulator>>) -> Result<Report> {
        let mut testbed = TestBed::new(self.options.kind, emulator).await?;
        let result = self.run_on(&mut testbed).await;
        if result.as_ref().is_ok_and(|report| report.violations.is_empty()) {
            return result;
        }
        eprintln!(
            "seed {} on {}: the journal, the logs and the store are kept in {}",
            self.seed,
            self.options.kind,
            testbed.keep()?.display()
        );
        result
    }

    async fn run_on(&self, testbed: &mut TestBed) -> Result<Report> {
        let kind = self.options.kind;
        let mut fleet = Fleet::new(self.options.program.clone(), self.seed, kind.heartbeat());
        let (client, direct) = (testbed.client().await?, testbed.direct_client().await?);
        let (ledger, journal) = (Arc::new(Ledger::default()), Journal::new(testbed.journal()));
        let rate = self.options.per_second.unwrap_or(kind.rate());
        // Both are aborted when this function returns.
        let (mut producers, mut observers) = (JoinSet::new(), JoinSet::new());
        producers.spawn(produce(
            client.clone(),
            ledger.clone(),
            self.seed,
            (self.length, rate),
        ));
        observers.spawn(record_ends(client, ledger.clone()));
        fleet.inject_faults(testbed, self.length).await?;
        let faults_stopped = Instant::now();
        let mut settled = async || -> Result<bool> {
            fleet.maintain(testbed)?;
            while let Some(ended) = producers.try_join_next() {
                ended?;
            }
            let children = Effects::read(&journal).children;
            Ok(producers.is_empty() && have_ended(&direct, &ledger, &children).await?)
        };
        // After a timeout the checker reports the tasks that have not ended.
        wait::poll(POLL_INTERVAL, SETTLE_TIMEOUT, async || {
            settled().await.map(|settled| settled.then_some(())).transpose()
        })
        .await
        .transpose()?;
        let (kills, counts) = (std::mem::take(&mut fleet.kills), fleet.counts.clone());
        // The workers stop first, so that the tasks do not change while they are read.
        drop((fleet, observers));
        let unacknowledged = producers.len();
        producers.shutdown().await;
        let effects = Effects::read(&journal);
        let history = History {
            records: Records::read(&direct, &ledger, &effects.children).await?,
            known: ledger.all(),
            permanent_errors: ledger.permanent_errors(),
            unacknowledged,
            effects,
            kills,
            heartbeat: kind.heartbeat(),
        };
        Ok(Report::of(&history, &counts, faults_stopped.elapsed()))
    }
}

#[expect(clippy::print_stdout, reason = "a run of half an hour reports its progress")]
fn print(line: &str) {
    println!("{line}");
}
