//! What the command line says.

use std::path::PathBuf;

use oncetask::Client;
use oncetask::store::{Durability, MemoryStore, SqliteStore};

type Error = Box<dyn std::error::Error>;

/// A measurement and its measure.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) case: String,
    pub(crate) store: String,
    pub(crate) tasks: usize,
    pub(crate) concurrency: Option<usize>,
    /// For the process that a case starts: the file to work on.
    pub(crate) file: Option<PathBuf>,
}

pub(crate) const CASES: &str = "create, create_all, drain, latency, idle, grow, list, recurrence, macros";

impl Options {
    pub(crate) fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self, Error> {
        let case = arguments.next().ok_or_else(|| format!("which case? {CASES}"))?;
        let mut options = Self {
            case,
            store: "sqlite".to_owned(),
            tasks: 20_000,
            concurrency: None,
            file: None,
        };
        while let Some(name) = arguments.next() {
            let value = arguments
                .next()
                .ok_or_else(|| format!("`{name}` needs a value"))?;
            match name.as_str() {
                "--store" => options.store = value,
                "--tasks" => options.tasks = value.parse()?,
                "--concurrency" => options.concurrency = Some(value.parse()?),
                "--file" => options.file = Some(value.into()),
                _ => {
                    return Err(format!(
                        "there is no option `{name}`; the options are --store, --tasks and --concurrency"
                    )
                    .into());
                }
            }
        }
        Ok(options)
    }
}

/// A store for a measurement, and the folder that it is in, which goes with it.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    store: String,
}

impl Place {
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        // Beside the build, not in /tmp, which may be memory: the figures are about a disk.
        let here = std::env::current_exe()?;
        let folder = here.parent().ok_or("the program has no folder")?;
        Ok(Self {
            folder: tempfile::tempdir_in(folder)?,
            store: options.store.clone(),
        })
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("bench.db")
    }

    pub(crate) async fn client(&self) -> Result<Client, Error> {
        open(&self.store, self.file()).await
    }
}

pub(crate) async fn open(store: &str, file: PathBuf) -> Result<Client, Error> {
    let sqlite = |durability| SqliteStore::options(file).durability(durability);
    Ok(match store {
        "memory" => Client::new(MemoryStore::new("BENCH")),
        "sqlite" => Client::new(sqlite(Durability::Full).open("BENCH").await?),
        "sqlite-normal" => Client::new(sqlite(Durability::Normal).open("BENCH").await?),
        other => {
            return Err(
                format!("there is no store `{other}`; there are memory, sqlite and sqlite-normal").into(),
            );
        }
    })
}
