//! The store that an episode runs on, and what can go wrong with it.

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
use crate::proxy::{Fate, Proxy};

/// Room for an episode, its log, and nothing more than that.
const DISK: &str = "size=256m";

/// A store of its own for an episode, with a folder for all that is written beside it.
#[derive(Debug)]
pub(crate) struct Ground {
    folder: TempDir,
    store: Store,
    broken: Option<Broken>,
}

#[derive(Debug)]
enum Store {
    Sqlite {
        disk: Option<Disk>,
    },
    Firestore {
        emulator: Arc<Emulator>,
        project: String,
        proxy: Proxy,
    },
}

/// What goes wrong with the store now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Full,
    Frozen,
    Line,
}

impl Ground {
    /// A store that nobody used before.
    pub(crate) async fn new(kind: Kind, emulator: Option<&Arc<Emulator>>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("chaos-").tempdir()?;
        let store = match emulator.filter(|_| kind == Kind::Firestore) {
            None => Store::Sqlite {
                disk: Disk::mount(&folder.path().join("disk"))?,
            },
            Some(emulator) => Store::Firestore {
                emulator: emulator.clone(),
                project: format!("chaos-{:016x}", fastrand::u64(..)),
                proxy: Proxy::start(emulator.host().to_owned()).await?,
            },
        };
        let broken = None;
        Ok(Self {
            folder,
            store,
            broken,
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path("journal")
    }

    /// A store that goes through all that goes wrong.
    pub(crate) async fn client(&self) -> Result<Client, Error> {
        match &self.store {
            Store::Sqlite { .. } => Client::open_in(self.url(), ENV).await,
            Store::Firestore { project, proxy, .. } => firestore(project, proxy.host()).await,
        }
    }

    /// A store that nothing comes between, for who looks afterwards.
    pub(crate) async fn direct_client(&self) -> Result<Client, Error> {
        match &self.store {
            Store::Sqlite { .. } => self.client().await,
            Store::Firestore {
                project, emulator, ..
            } => firestore(project, emulator.host()).await,
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

    /// This program once more, as a worker on this store.
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

    /// Breaks something, if nothing is broken and there is something to break. Returns for how long.
    pub(crate) fn strike(&mut self, rng: &mut fastrand::Rng, counts: &mut Counts) -> Option<Duration> {
        if self.broken.is_some() {
            return None;
        }
        let (what, broken, millis) = match &self.store {
            Store::Sqlite { disk } => {
                disk.as_ref()?.fill();
                ("disk full", Broken::Full, 100..2500)
            }
            Store::Firestore { emulator, .. } if rng.u8(..) < 50 => {
                emulator.signal("STOP");
                ("server frozen", Broken::Frozen, 100..4000)
            }
            Store::Firestore { proxy, .. } => {
                let what = strike_line(proxy, rng, counts);
                (what, Broken::Line, 100..3000)
            }
        };
        counts.add(what, 1);
        self.broken = Some(broken);
        Some(Duration::from_millis(rng.u64(millis)))
    }

    /// Mends what was broken.
    pub(crate) fn mend(&mut self) {
        match (&self.store, self.broken.take()) {
            (Store::Sqlite { disk: Some(disk) }, Some(_)) => disk.free(),
            (Store::Firestore { emulator, .. }, Some(Broken::Frozen)) => emulator.signal("CONT"),
            (Store::Firestore { proxy, .. }, Some(_)) => proxy.calm(),
            _ => {}
        }
    }

    /// Keeps what was written, for who demands to know what went wrong. Returns where.
    pub(crate) fn keep(mut self) -> Result<PathBuf> {
        self.mend();
        let kept = self.path("kept");
        fs::create_dir(&kept)?;
        if let Store::Sqlite { disk: Some(_) } = &self.store {
            // The disk goes with this process.
            for file in fs::read_dir(self.path("disk"))? {
                let file = file?;
                fs::copy(file.path(), kept.join(file.file_name()))?;
            }
        }
        self.folder.disable_cleanup(true);
        Ok(self.folder.path().to_owned())
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.mend();
    }
}

async fn firestore(project: &str, host: &str) -> Result<Client, Error> {
    let store = FirestoreStore::options(project).emulator(host).open(ENV).await;
    Ok(Client::new(store.map_err(Error::Store)?))
}

fn strike_line(proxy: &Proxy, rng: &mut fastrand::Rng, counts: &mut Counts) -> &'static str {
    const FATES: [(Fate, &str); 4] = [
        (Fate::Cut, "connections cut"),
        (Fate::LosesReplies, "connections that lose replies"),
        (Fate::LosesRequests, "connections that lose requests"),
        (Fate::HalfClosed, "connections half-closed"),
    ];
    match rng.u8(0..10) {
        0..=1 => {
            proxy.delay(Duration::from_millis(rng.u64(20..500)));
            "line slow"
        }
        2 => {
            proxy.stall(true);
            "line stalled"
        }
        3 => {
            proxy.refuse(true);
            let cut = proxy.strike(Fate::Cut, rng, 1.0);
            counts.add(FATES[0].1, cut);
            "line down"
        }
        _ => {
            let (fate, name) = FATES[rng.usize(0..FATES.len())];
            let met = proxy.strike(fate, rng, 0.4);
            counts.add(name, met);
            "line struck"
        }
    }
}

/// A small disk of our own. It needs the right to mount, which a namespace of our own gives.
#[derive(Debug)]
struct Disk(PathBuf);

impl Disk {
    /// `None`, with a message, where nothing may be mounted: the folder is a plain one then.
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
        eprintln!("skipped: a disk that fills up, for nothing may be mounted here");
        Ok(None)
    }

    /// Writes until not a byte is left.
    fn fill(&self) {
        let ballast = OpenOptions::new().create(true).append(true).open(self.ballast());
        let mut ballast = ballast.expect("a file without content takes no room");
        let mut piece = vec![0; 1 << 20];
        while !piece.is_empty() {
            if ballast.write_all(&piece).is_err() {
                piece.truncate(piece.len() / 2);
            }
        }
    }

    fn free(&self) {
        // There is nothing to remove when it is free.
        let _ = fs::remove_file(self.ballast());
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A worker that is about to end may still have files open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
