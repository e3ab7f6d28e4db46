//! Chaos: real worker processes on a real store, with everything around them going wrong at random, and a
//! checker that compares what handlers did with what the store says.
//!
//! A run is a number of episodes, each on a store of its own: the workers are killed, told to end and frozen,
//! the disk fills up or the server freezes and the line to it is cut, while tasks of every sort are created,
//! cancelled, reset and deleted. Then everything is mended, all tasks must come to an end, and
//! every promise is checked (`check`). The seed decides what goes wrong and when; what the processes make of
//! it differs from run to run.

mod brief;
mod check;
mod effects;
mod fleet;
mod ground;
mod producer;
mod records;
mod report;
mod work;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

pub use self::brief::brief;
use self::check::History;
use self::effects::Effects;
use self::fleet::Fleet;
use self::ground::Ground;
use self::producer::{Ledger, produce, witness};
use self::records::{Records, have_ended};
pub use self::report::Report;
pub use self::work::worker;
use crate::emulator::Emulator;
use crate::harness::wait;
use crate::journal::Journal;

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// How long things go wrong in an episode.
const EPISODE: Duration = Duration::from_mins(1);
/// How long all tasks may take to end when nothing goes wrong any more.
const TO_SETTLE: Duration = Duration::from_mins(5);
const LOOK: Duration = Duration::from_millis(200);

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A SQLite file.
    Sqlite,
    /// The Firestore emulator, behind a proxy.
    Firestore,
}

impl Kind {
    /// How long a lease is stored for at a time. On a busy machine the emulator demands seconds for a claim.
    pub(crate) const fn heartbeat(self) -> Duration {
        match self {
            Self::Sqlite => Duration::from_secs(2),
            Self::Firestore => Duration::from_secs(10),
        }
    }

    /// About how many tasks, or bursts of them, are created a second, so that workers keep up with them. A
    /// query of the emulator costs what the whole collection costs.
    #[must_use]
    pub const fn pace(self) -> u32 {
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
                "there is no store `{other}`; there are sqlite and firestore"
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

/// A run.
#[derive(Clone, Debug)]
pub struct Options {
    /// On which store.
    pub kind: Kind,
    /// How long, without the time that the last episode takes to settle.
    pub length: Duration,
    /// Decides what goes wrong. The second episode has the next one.
    pub seed: u64,
    /// Another pace than [that of the store](Kind::pace).
    pub per_second: Option<u32>,
    /// The program to run as `PROGRAM worker STORE JOURNAL`, which calls [`worker`].
    pub program: PathBuf,
}

/// Runs episode after episode until the time is up or a promise is broken. Prints what each came to.
///
/// # Errors
///
/// When something could not be set up, or a worker does not end.
pub async fn run(options: &Options) -> Result<Report> {
    let emulator = match options.kind {
        Kind::Sqlite => None,
        // One of our own, for it is frozen.
        Kind::Firestore => Some(Arc::new(tokio::task::spawn_blocking(Emulator::start).await??)),
    };
    let (began, mut report, mut seed) = (Instant::now(), Report::default(), options.seed);
    while began.elapsed() < options.length && report.violations.is_empty() {
        let left = options.length.saturating_sub(began.elapsed());
        let episode = Episode {
            options,
            seed,
            length: left.min(EPISODE),
        };
        let ended = episode.run(emulator.as_ref()).await?;
        print(&format!("seed {seed}: {ended}"));
        report.merge(ended);
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
        let mut ground = Ground::new(self.options.kind, emulator).await?;
        let ended = self.run_on(&mut ground).await;
        if ended.as_ref().is_ok_and(|report| report.violations.is_empty()) {
            return ended;
        }
        eprintln!(
            "seed {} on {}: all that was written is in {}",
            self.seed,
            self.options.kind,
            ground.keep()?.display()
        );
        ended
    }

    async fn run_on(&self, ground: &mut Ground) -> Result<Report> {
        let heartbeat = self.options.kind.heartbeat();
        let mut fleet = Fleet::new(self.options.program.clone(), self.seed, heartbeat);
        let (client, direct) = (ground.client().await?, ground.direct_client().await?);
        let (ledger, journal) = (Arc::new(Ledger::default()), Journal::new(ground.journal()));
        let kind = self.options.kind;
        let pace = self.options.per_second.unwrap_or(kind.pace());
        // Both end with this episode, however it ends.
        let (mut producing, mut watching) = (JoinSet::new(), JoinSet::new());
        producing.spawn(produce(
            client.clone(),
            ledger.clone(),
            self.seed,
            (self.length, pace),
        ));
        watching.spawn(witness(client, ledger.clone()));
        fleet.suffer(ground, self.length).await?;
        let healed = Instant::now();
        let mut settled = async || -> Result<bool> {
            fleet.tend(ground)?;
            while let Some(ended) = producing.try_join_next() {
                ended?;
            }
            let children = Effects::read(&journal).children;
            Ok(producing.is_empty() && have_ended(&direct, &ledger, &children).await?)
        };
        // If it never does, the history tells what is left.
        wait::poll(LOOK, TO_SETTLE, async || {
            settled().await.map(|settled| settled.then_some(())).transpose()
        })
        .await
        .transpose()?;
        let (kills, counts) = (std::mem::take(&mut fleet.kills), fleet.counts.clone());
        // The workers go first: what they hold is not to be changed while it is looked at.
        drop((fleet, watching));
        let unacknowledged = producing.len();
        producing.shutdown().await;
        let effects = Effects::read(&journal);
        let history = History {
            records: Records::read(&direct, &ledger, &effects.children).await?,
            known: ledger.all(),
            errors: ledger.errors(),
            unacknowledged,
            effects,
            kills,
            heartbeat,
        };
        Ok(Report::of(&history, &counts, healed.elapsed()))
    }
}

#[expect(
    clippy::print_stdout,
    reason = "who waits for half an hour demands to see something"
)]
fn print(line: &str) {
    println!("{line}");
}
