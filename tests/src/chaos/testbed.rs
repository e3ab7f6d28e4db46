//! The store of an episode and its faults.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use oncetask::store::{FirestoreStore, StoreUrl};
use oncetask::{Client, Error};
use tempfile::TempDir;

use super::report::Counts;
use super::work::ENV;
use super::{Kind, Result};
use crate::emulator::Emulator;
use crate::proxy::{ConnectionState, Proxy};

/// The size of the disk: an episode's store and its log fit on it.
const DISK: &str = "size=256m";

/// The new store of an episode, and a directory for its journal and its logs.
#[derive(Debug)]
pub(crate) struct TestBed {
    directory: TempDir,
    store: Store,
    fault: Option<StoreFault>,
}

#[derive(Debug)]
enum Store {
    Sqlite {
        /// The small disk of the store, if it could be mounted.
        disk: Option<Disk>,
    },
    Firestore {
        emulator: Arc<Emulator>,
        project: String,
        proxy: Proxy,
    },
}

/// The current fault of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StoreFault {
    DiskFull,
    ServerFrozen,
    Proxy,
}

impl TestBed {
    pub(crate) async fn new(kind: Kind, emulator: Option<&Arc<Emulator>>) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("chaos-").tempdir()?;
        let store = match emulator.filter(|_| kind == Kind::Firestore) {
            None => Store::Sqlite {
                disk: Disk::mount(&directory.path().join("disk"))?,
            },
            Some(emulator) => Store::Firestore {
                emulator: emulator.clone(),
                project: format!("chaos-{:016x}", fastrand::u64(..)),
                proxy: Proxy::start(emulator.host().to_owned()).await?,
            },
        };
        Ok(Self {
            directory,
            store,
            fault: None,
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path("journal")
    }

    /// Returns a client that is subject to the faults.
    pub(crate) async fn client(&self) -> Result<Client, Error> {
        match &self.store {
            Store::Sqlite { .. } => Client::open_in(self.url(), ENV).await,
            Store::Firestore { project, proxy, .. } => firestore_client(project, proxy.host()).await,
        }
    }

    /// Returns a client that bypasses the proxy, for the checks after the faults.
    pub(crate) async fn direct_client(&self) -> Result<Client, Error> {
        match &self.store {
            Store::Sqlite { .. } => self.client().await,
            Store::Firestore {
                project, emulator, ..
            } => firestore_client(project, emulator.host()).await,
        }
    }

    fn url(&self) -> StoreUrl {
        match &self.store {
            Store::Sqlite { .. } => StoreUrl::Sqlite(self.path("disk").join("tasks.db")),
            Store::Firestore { project, .. } => StoreUrl::Firestore {
                project: project.clone(),
                database: None,
            },
        }
    }

    /// Returns the command that runs the program as a worker on this store.
    pub(crate) fn worker(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .args(["worker", &self.url().to_string()])
            .arg(self.journal());
        if let Store::Firestore { proxy, .. } = &self.store {
            command.env("FIRESTORE_EMULATOR_HOST", proxy.host());
        }
        command
    }

    /// Injects a fault and returns its duration. Returns `None` if another fault is active or none is possible.
    pub(crate) fn inject_fault(&mut self, rng: &mut fastrand::Rng, counts: &mut Counts) -> Option<Duration> {
        if self.fault.is_some() {
            return None;
        }
        let (name, fault, millis) = match &self.store {
            Store::Sqlite { disk } => {
                disk.as_ref()?.fill();
                ("disk full", StoreFault::DiskFull, 100..2500)
            }
            Store::Firestore { emulator, .. } if rng.u8(..) < 50 => {
                emulator.signal("STOP");
                ("server frozen", StoreFault::ServerFrozen, 100..4000)
            }
            Store::Firestore { proxy, .. } => {
                let name = inject_proxy_fault(proxy, rng, counts);
                (name, StoreFault::Proxy, 100..3000)
            }
        };
        counts.add(name, 1);
        self.fault = Some(fault);
        Some(Duration::from_millis(rng.u64(millis)))
    }

    /// Ends the current fault.
    pub(crate) fn repair(&mut self) {
        match (&self.store, self.fault.take()) {
            (Store::Sqlite { disk: Some(disk) }, Some(_)) => disk.free(),
            (Store::Firestore { emulator, .. }, Some(StoreFault::ServerFrozen)) => emulator.signal("CONT"),
            (Store::Firestore { proxy, .. }, Some(_)) => proxy.heal(),
            _ => {}
        }
    }

    /// Keeps the files of the episode for an investigation. Returns their directory.
    pub(crate) fn keep(mut self) -> Result<PathBuf> {
        self.repair();
        let kept = self.path("kept");
        fs::create_dir(&kept)?;
        if let Store::Sqlite { disk: Some(_) } = &self.store {
            // The disk is unmounted when this process ends.
            for file in fs::read_dir(self.path("disk"))? {
                let file = file?;
                fs::copy(file.path(), kept.join(file.file_name()))?;
            }
        }
        self.directory.disable_cleanup(true);
        Ok(self.directory.path().to_owned())
    }
}

impl Drop for TestBed {
    fn drop(&mut self) {
        self.repair();
    }
}

async fn firestore_client(project: &str, host: &str) -> Result<Client, Error> {
    let store = FirestoreStore::options(project).emulator(host).open(ENV).await;
    Ok(Client::new(store.map_err(Error::Store)?))
}

/// Injects a random fault into the proxy, and returns its name.
fn inject_proxy_fault(proxy: &Proxy, rng: &mut fastrand::Rng, counts: &mut Counts) -> &'static str {
    const STATES: [(ConnectionState, &str); 4] = [
        (ConnectionState::Cut, "connections cut"),
        (ConnectionState::LosesReplies, "connections that lose replies"),
        (ConnectionState::LosesRequests, "connections that lose requests"),
        (ConnectionState::HalfClosed, "connections half-closed"),
    ];
    match rng.u8(0..10) {
        0..=1 => {
            proxy.delay(Duration::from_millis(rng.u64(20..500)));
            "network slow"
        }
        2 => {
            proxy.stall(true);
            "network stalled"
        }
        3 => {
            proxy.refuse(true);
            let cut = proxy.disturb(ConnectionState::Cut, rng, 1.0);
            counts.add(STATES[0].1, cut);
            "network down"
        }
        _ => {
            let (state, name) = STATES[rng.usize(0..STATES.len())];
            let disturbed = proxy.disturb(state, rng, 0.4);
            counts.add(name, disturbed);
            "connections disturbed"
        }
    }
}

/// A small disk. Mounting it requires a privilege, which a mount namespace gives.
#[derive(Debug)]
struct Disk(PathBuf);

impl Disk {
    /// Mounts a disk at this path. If that is not allowed, creates a directory, prints a message, and returns `None`.
    fn mount(at: &Path) -> Result<Option<Self>> {
        fs::create_dir(at)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", DISK, "chaos"])
            .arg(at)
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Ok(Some(Self(at.to_owned())));
        }
        eprintln!("skipped: a disk that fills up, because this process may not mount one");
        Ok(None)
    }

    /// Writes a file until no byte is free.
    fn fill(&self) {
        let filler = OpenOptions::new().create(true).append(true).open(self.filler());
        let mut filler = filler.expect("an empty file can be created on a full disk");
        let mut chunk = vec![0; 1 << 20];
        while !chunk.is_empty() {
            if filler.write_all(&chunk).is_err() {
                chunk.truncate(chunk.len() / 2);
            }
        }
    }

    fn free(&self) {
        // The file does not exist if the disk was never full.
        let _ = fs::remove_file(self.filler());
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Detaches the disk lazily, because a worker that is ending may still have files open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
