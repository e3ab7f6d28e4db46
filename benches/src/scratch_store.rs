//! The stores that are measured.

use std::process::Command;
use std::sync::OnceLock;

use oncetask::Client;
use oncetask::store::{Durability, FirestoreStore, MemoryStore, SqliteStore};
use tests::emulator::Emulator;

use crate::options::Options;
use crate::report::ServerUsage;

type Error = Box<dyn std::error::Error>;

const ENV: &str = "BENCH";

/// A new, empty store. A store in a file is deleted when this is dropped.
pub(crate) struct ScratchStore {
    /// The value of `--store`.
    store: String,
    backing: Backing,
}

enum Backing {
    Folder(tempfile::TempDir),
    /// An emulator, and a project that only this store uses.
    Emulator(&'static Emulator, String),
}

/// An open store.
pub(crate) struct OpenStore {
    pub(crate) client: Client,
    firestore: Option<FirestoreStore>,
}

impl ScratchStore {
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        let backing = if options.store == "firestore" {
            Backing::Emulator(emulator()?, format!("bench-{:08x}", random_number()))
        } else {
            // Next to the program and not in /tmp, because /tmp may be in memory and the disk is measured.
            let program = std::env::current_exe()?;
            let folder = program.parent().ok_or("the program has no folder")?;
            Backing::Folder(tempfile::tempdir_in(folder)?)
        };
        Ok(Self {
            store: options.store.clone(),
            backing,
        })
    }

    pub(crate) async fn open(&self) -> Result<OpenStore, Error> {
        match &self.backing {
            Backing::Folder(folder) => {
                open(&self.store, &folder.path().join("bench.db").to_string_lossy()).await
            }
            Backing::Emulator(emulator, project) => open_firestore(emulator.host(), project).await,
        }
    }

    pub(crate) async fn client(&self) -> Result<Client, Error> {
        Ok(self.open().await?.client)
    }

    /// Returns the size of the store's files in bytes, or `None` if it has no files.
    pub(crate) fn file_bytes(&self) -> Result<Option<u64>, Error> {
        let Backing::Folder(folder) = &self.backing else {
            return Ok(None);
        };
        let mut bytes = None;
        for file in std::fs::read_dir(folder.path())? {
            bytes = Some(bytes.unwrap_or(0) + file?.metadata()?.len());
        }
        Ok(bytes)
    }

    /// Returns a command that runs a case of this program on the same store, in a process of its own.
    pub(crate) fn child_command(&self, case: &str) -> Result<Command, Error> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([case, "--store", &self.store, "--place"]);
        match &self.backing {
            Backing::Folder(folder) => command.arg(folder.path().join("bench.db")),
            Backing::Emulator(emulator, project) => command
                .arg(project)
                .env("FIRESTORE_EMULATOR_HOST", emulator.host()),
        };
        Ok(command)
    }
}

impl OpenStore {
    /// Returns the requests to Firestore until now; `None` for another store.
    pub(crate) fn server_usage(&self) -> Option<ServerUsage> {
        let usage = self.firestore.as_ref()?.usage();
        Some(ServerUsage {
            rpcs: usage.rpcs,
            reads: usage.reads,
            conflicts: usage.conflicts,
        })
    }

    /// Returns the requests to Firestore since an earlier reading.
    pub(crate) fn server_usage_since(&self, before: Option<ServerUsage>) -> Option<ServerUsage> {
        Some(self.server_usage()?.since(before?))
    }
}

/// Opens the store of the parent process, which passed its location in `--place`.
pub(crate) async fn open_parent_store(options: &Options) -> Result<OpenStore, Error> {
    let location = options
        .location
        .as_deref()
        .ok_or("missing --place: another case starts this one")?;
    open(&options.store, location).await
}

async fn open(store: &str, location: &str) -> Result<OpenStore, Error> {
    let sqlite = |durability| SqliteStore::options(location).durability(durability);
    let client = match store {
        "memory" => Client::new(MemoryStore::new(ENV)),
        "sqlite" => Client::new(sqlite(Durability::Full).open(ENV).await?),
        "sqlite-normal" => Client::new(sqlite(Durability::Normal).open(ENV).await?),
        "firestore" => return open_firestore(&std::env::var("FIRESTORE_EMULATOR_HOST")?, location).await,
        other => {
            return Err(format!(
                "unknown store `{other}`; the stores are memory, sqlite, sqlite-normal and firestore"
            )
            .into());
        }
    };
    Ok(OpenStore {
        client,
        firestore: None,
    })
}

async fn open_firestore(host: &str, project: &str) -> Result<OpenStore, Error> {
    let store = FirestoreStore::options(project).emulator(host).open(ENV).await?;
    Ok(OpenStore {
        client: Client::new(store.clone()),
        firestore: Some(store),
    })
}

/// Returns the emulator of this process, and starts it on the first call. It stops with the process.
fn emulator() -> Result<&'static Emulator, Error> {
    static EMULATOR: OnceLock<Emulator> = OnceLock::new();
    if EMULATOR.get().is_none() {
        let started = Emulator::find()?;
        // Cases run one after the other, so no other thread can have set it.
        let _ = EMULATOR.set(started);
    }
    Ok(EMULATOR.get().ok_or("the Firestore emulator did not start")?)
}

/// Returns a number that differs from run to run.
fn random_number() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id())
}
