//! Opening the file: finding it, seeing that it is ours, and bringing it up to date.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::schema::{self, Found};
use super::trouble::{self, Trouble};
use crate::error::{StoreError, StoreErrorKind};

/// How many prepared statements a connection keeps.
const STATEMENTS: usize = 64;

/// Where the file is, and how to connect to it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) lock_timeout: Duration,
}

impl Place {
    /// Makes the file if it is not there, and brings it up to date.
    pub(super) fn open(path: &Path, lock_timeout: Duration) -> Result<Self, StoreError> {
        let mut place = Self {
            file: absolute(path)?,
            lock_timeout,
        };
        place.bring_up_to_date()?;
        // SQLite keeps the log beside the file that a link leads to.
        place.file = fs::canonicalize(&place.file).unwrap_or(place.file);
        Ok(place)
    }

    /// Another connection.
    pub(super) fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let mut db = Connection::open_with_flags(&self.file, flags)?;
        db.busy_handler(Some(patience(self.lock_timeout)))?;
        // Else each value that is bound to a statement makes SQLite compile it anew: perhaps the value would
        // let it use a partial index. Ours are named in the statements.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS);
        db.pragma_update(None, "synchronous", "NORMAL")?;
        db.pragma_update(None, "wal_autocheckpoint", 0)?;
        Ok(db)
    }

    /// A connection that changes nothing.
    pub(super) fn reader(&self) -> rusqlite::Result<Connection> {
        let db = self.connect()?;
        db.pragma_update(None, "query_only", true)?;
        Ok(db)
    }

    /// The write-ahead log, which is there while a connection is open that has read; and its entry in the
    /// directory is on disk.
    pub(super) fn log(&self) -> io::Result<File> {
        let mut name = self.file.clone().into_os_string();
        name.push("-wal");
        let log = File::options().read(true).write(true).open(name)?;
        #[cfg(unix)]
        if let Some(directory) = self.file.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(log)
    }

    fn bring_up_to_date(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        loop {
            match self.attempt() {
                Err(Attempt::Trouble(trouble))
                    if trouble.is_busy() && began.elapsed() < self.lock_timeout =>
                {
                    // Another program makes or migrates the file at this moment.
                    thread::sleep(Duration::from_millis(fastrand::u64(2..20)));
                }
                Err(Attempt::Trouble(trouble)) => return Err(self.explain(&trouble)),
                Err(Attempt::Refused(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
    }

    fn attempt(&self) -> Result<(), Attempt> {
        let mut db = self.connect()?;
        if db.is_readonly("main")? {
            return Err(Attempt::Refused(self.unusable(
                "the file may not be written; allow this user to write it and its directory",
            )));
        }
        self.accept(schema::inspect(&db)?)?;
        let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(Attempt::Refused(self.unusable(
                "its file system has no shared memory, which several connections need; put it on a local disk",
            )));
        }
        self.accept(schema::migrate(&mut db)?)
    }

    fn accept(&self, found: Found) -> Result<(), Attempt> {
        let error = match found {
            Found::Ours(version) if version <= schema::VERSION => return Ok(()),
            Found::Ours(version) => trouble::at(
                &self.file,
                StoreErrorKind::NewerSchema {
                    file: self.file.clone(),
                    found: version,
                    known: schema::VERSION,
                },
                format!(
                    "its schema has version {version}, and this program knows versions up to {}; \
                     update the program, or give it another file",
                    schema::VERSION
                ),
            ),
            Found::Foreign => self.unusable(
                "it is a database of another program, and was left as it is; give oncetask a file of its own",
            ),
        };
        Err(Attempt::Refused(error))
    }

    /// What is wrong with a file that cannot be opened, where SQLite only says that it cannot.
    fn explain(&self, trouble: &Trouble) -> StoreError {
        let directory = self.file.parent().unwrap_or(&self.file);
        if self.file.is_dir() {
            return self.unusable("it is a directory; give the path of a file");
        }
        if !directory.is_dir() {
            let message = format!(
                "the directory {} does not exist; make it first",
                directory.display()
            );
            return self.unusable(message);
        }
        let mut error = trouble.about(&self.file);
        let cannot_open = matches!(trouble, Trouble::Sql(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen));
        if cannot_open && !may_write(directory) {
            error = self.unusable(format!(
                "the directory {} may not be written; allow this user to, for the file and its log",
                directory.display()
            ));
        }
        error
    }

    fn unusable(&self, message: impl Into<String>) -> StoreError {
        trouble::at(&self.file, StoreErrorKind::Unusable, message)
    }
}

enum Attempt {
    Trouble(Trouble),
    Refused(StoreError),
}

impl From<rusqlite::Error> for Attempt {
    fn from(error: rusqlite::Error) -> Self {
        Self::Trouble(error.into())
    }
}

fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    std::path::absolute(path).map_err(|error| {
        let message = format!("this is no path of a file: {error}");
        trouble::at(path, StoreErrorKind::Unusable, message)
    })
}

/// Whether a file can be made in a directory, found out by making one.
fn may_write(directory: &Path) -> bool {
    let probe = directory.join(format!(".oncetask-{:016x}", fastrand::u64(..)));
    let made = File::create_new(&probe).is_ok();
    if made {
        // It was ours a moment ago; if somebody took it away, so much the better.
        let _ = fs::remove_file(&probe);
    }
    made
}

/// Waits for a lock: in short sleeps, of different lengths so that two programs do not keep step.
pub(super) fn patience(total: Duration) -> impl FnMut(i32) -> bool + Send + 'static {
    let mut began = Instant::now();
    move |tries| {
        if tries == 0 {
            began = Instant::now();
        }
        if began.elapsed() >= total {
            return false;
        }
        let longest = 200_u64 << tries.clamp(0, 5);
        thread::sleep(Duration::from_micros(fastrand::u64(longest / 2..=longest)));
        true
    }
}
