//! What the command line says.

use std::process::Command;
use std::sync::OnceLock;

use oncetask::Client;
use oncetask::store::{Durability, FirestoreStore, MemoryStore, SqliteStore};
use tests::emulator::Emulator;

use crate::report::Asked;

type Error = Box<dyn std::error::Error>;

/// A measurement and its measure.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) case: String,
    pub(crate) store: String,
    pub(crate) tasks: usize,
    pub(crate) concurrency: Option<usize>,
    /// In how many processes of their own; this one does the work if nothing is said.
    pub(crate) processes: Option<usize>,
    /// How often to measure, one after the other, after one warm-up.
    pub(crate) rounds: usize,
    /// In seconds; the case `recovery` has some of its own.
    pub(crate) heartbeat: Option<u64>,
    /// For the process that a case starts: the file or project to work on.
    pub(crate) place: Option<String>,
}

pub(crate) const CASES: &str =
    "create, create_many, drain, latency, idle, overhead, grow, list, recovery, recurrence, macros";

impl Options {
    pub(crate) fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self, Error> {
        let case = arguments.next().ok_or_else(|| format!("which case? {CASES}"))?;
        let store = "sqlite".to_owned();
        let mut options = Self {
            case,
            store,
            tasks: 20_000,
            concurrency: None,
            processes: None,
            rounds: 1,
            heartbeat: None,
            place: None,
        };
        while let Some(name) = arguments.next() {
            let value = arguments
                .next()
                .ok_or_else(|| format!("`{name}` needs a value"))?;
            match name.as_str() {
                "--store" => options.store = value,
                "--tasks" => options.tasks = value.parse()?,
                "--concurrency" => options.concurrency = Some(value.parse()?),
                "--processes" => options.processes = Some(value.parse()?),
                "--rounds" => options.rounds = value.parse()?,
                "--heartbeat" => options.heartbeat = Some(value.parse()?),
                "--place" => options.place = Some(value),
                _ => {
                    return Err(format!(
                        "there is no option `{name}`; the options are --store, --tasks, --concurrency, --processes, --rounds and --heartbeat"
                    )
                    .into());
                }
            }
        }
        Ok(options)
    }
}

/// A store for a measurement, and what it stands on, which goes with it.
pub(crate) struct Place {
    store: String,
    ground: Ground,
}

enum Ground {
    Folder(tempfile::TempDir),
    /// An emulator, and a project of it that nobody else uses.
    Emulator(&'static Emulator, String),
}

/// An open store.
pub(crate) struct Opened {
    pub(crate) client: Client,
    firestore: Option<FirestoreStore>,
}

impl Place {
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        let ground = if options.store == "firestore" {
            Ground::Emulator(emulator()?, format!("bench-{:08x}", rand()))
        } else {
            // Beside the build, not in /tmp, which may be memory: the figures are about a disk.
            let here = std::env::current_exe()?;
            Ground::Folder(tempfile::tempdir_in(
                here.parent().ok_or("the program has no folder")?,
            )?)
        };
        Ok(Self {
            store: options.store.clone(),
            ground,
        })
    }

    pub(crate) async fn open(&self) -> Result<Opened, Error> {
        match &self.ground {
            Ground::Folder(folder) => {
                open(&self.store, &folder.path().join("bench.db").to_string_lossy()).await
            }
            Ground::Emulator(emulator, project) => open_firestore(emulator.host(), project).await,
        }
    }

    pub(crate) async fn client(&self) -> Result<Client, Error> {
        Ok(self.open().await?.client)
    }

    /// The size of the files of the store; `None` where there are none.
    pub(crate) fn file_bytes(&self) -> Result<Option<u64>, Error> {
        let Ground::Folder(folder) = &self.ground else {
            return Ok(None);
        };
        let mut bytes = None;
        for file in std::fs::read_dir(folder.path())? {
            bytes = Some(bytes.unwrap_or(0) + file?.metadata()?.len());
        }
        Ok(bytes)
    }

    /// This program once more, on the same store.
    pub(crate) fn another_process(&self, case: &str) -> Result<Command, Error> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([case, "--store", &self.store, "--place"]);
        match &self.ground {
            Ground::Folder(folder) => command.arg(folder.path().join("bench.db")),
            Ground::Emulator(emulator, project) => command
                .arg(project)
                .env("FIRESTORE_EMULATOR_HOST", emulator.host()),
        };
        Ok(command)
    }
}

/// One emulator for all that this process measures. It ends with the process.
fn emulator() -> Result<&'static Emulator, Error> {
    static EMULATOR: OnceLock<Emulator> = OnceLock::new();
    if EMULATOR.get().is_none() {
        let started = Emulator::find()?;
        // Nobody else starts one meanwhile: cases are measured one after the other.
        let _ = EMULATOR.set(started);
    }
    Ok(EMULATOR.get().ok_or("there is no emulator")?)
}

impl Opened {
    /// What Firestore was asked so far.
    pub(crate) fn usage(&self) -> Option<Asked> {
        let usage = self.firestore.as_ref()?.usage();
        Some(Asked {
            rpcs: usage.rpcs,
            reads: usage.reads,
            conflicts: usage.conflicts,
        })
    }
}

/// Opens the store of the process that started this one.
pub(crate) async fn open_as_told(options: &Options) -> Result<Opened, Error> {
    let place = options
        .place
        .as_deref()
        .ok_or("this case is started by another one")?;
    open(&options.store, place).await
}

async fn open(store: &str, place: &str) -> Result<Opened, Error> {
    let sqlite = |durability| SqliteStore::options(place).durability(durability);
    let client = match store {
        "memory" => Client::new(MemoryStore::new("BENCH")),
        "sqlite" => Client::new(sqlite(Durability::Full).open("BENCH").await?),
        "sqlite-normal" => Client::new(sqlite(Durability::Normal).open("BENCH").await?),
        "firestore" => return open_firestore(&std::env::var("FIRESTORE_EMULATOR_HOST")?, place).await,
        other => {
            return Err(format!(
                "there is no store `{other}`; there are memory, sqlite, sqlite-normal and firestore"
            )
            .into());
        }
    };
    Ok(Opened {
        client,
        firestore: None,
    })
}

async fn open_firestore(host: &str, project: &str) -> Result<Opened, Error> {
    let store = FirestoreStore::options(project)
        .emulator(host)
        .open("BENCH")
        .await?;
    Ok(Opened {
        client: Client::new(store.clone()),
        firestore: Some(store),
    })
}

/// A number that another run does not have.
fn rand() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id())
}
