//! The database file: creation, checks, migration and connections.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error::{self, SqliteError};
use super::schema::{self, Found};
use crate::error::{StoreError, StoreErrorKind};

/// The number of prepared statements that a connection caches.
const STATEMENT_CACHE_CAPACITY: usize = 64;

/// The database file of a store, and the options of its connections.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    /// The absolute path.
    pub(super) path: PathBuf,
    pub(super) lock_timeout: Duration,
}

impl DatabaseFile {
    /// Creates the file if it does not exist, and migrates it to the newest version of the schema.
    pub(super) fn open(path: &Path, lock_timeout: Duration) -> Result<Self, StoreError> {
        let mut file = Self {
            path: absolute(path)?,
            lock_timeout,
        };
        file.prepare()?;
        // SQLite puts the log next to the target of a symbolic link.
        file.path = fs::canonicalize(&file.path).unwrap_or(file.path);
        Ok(file)
    }

    /// Opens a connection.
    pub(super) fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let mut db = Connection::open_with_flags(&self.path, flags)?;
        db.busy_handler(Some(retry_until_timeout(self.lock_timeout)))?;
        // Without this, SQLite compiles a statement again for each bound value, because the value might allow
        // a partial index. The statements of this store name their indexes.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        db.set_prepared_statement_cache_capacity(STATEMENT_CACHE_CAPACITY);
        db.pragma_update(None, "synchronous", "NORMAL")?;
        db.pragma_update(None, "wal_autocheckpoint", 0)?;
        Ok(db)
    }

    /// Opens a connection that can only read.
    pub(super) fn connect_read_only(&self) -> rusqlite::Result<Connection> {
        let db = self.connect()?;
        db.pragma_update(None, "query_only", true)?;
        Ok(db)
    }

    /// Opens the write-ahead log, and syncs its entry in the directory. The log only exists while a connection
    /// that has read the database is open.
    pub(super) fn open_log(&self) -> io::Result<File> {
        let mut name = self.path.clone().into_os_string();
        name.push("-wal");
        let log = File::options().read(true).write(true).open(name)?;
        #[cfg(unix)]
        if let Some(directory) = self.path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(log)
    }

    /// Creates and migrates the file. Waits while another program does the same.
    fn prepare(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        loop {
            match self.try_prepare() {
                Err(OpenError::Sqlite(error)) if error.is_busy() && began.elapsed() < self.lock_timeout => {
                    thread::sleep(Duration::from_millis(fastrand::u64(2..20)));
                }
                Err(OpenError::Sqlite(error)) => return Err(self.diagnose(&error)),
                Err(OpenError::Refused(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
    }

    fn try_prepare(&self) -> Result<(), OpenError> {
        let mut db = self.connect()?;
        if db.is_readonly("main")? {
            return Err(OpenError::Refused(self.unusable(
                "the file is not writable; give this user write access to it and to its directory",
            )));
        }
        self.check(schema::inspect(&db)?)?;
        let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(OpenError::Refused(self.unusable(
                "the file system of the file has no shared memory, which several connections need; \
                 put the file on a local disk",
            )));
        }
        self.check(schema::migrate(&mut db)?)
    }

    /// Refuses a file of another program, and a file with a newer schema.
    fn check(&self, found: Found) -> Result<(), OpenError> {
        let error = match found {
            Found::Ours(version) if version <= schema::VERSION => return Ok(()),
            Found::Ours(version) => error::store_error(
                &self.path,
                StoreErrorKind::NewerSchema {
                    file: self.path.clone(),
                    found: version,
                    known: schema::VERSION,
                },
                format!(
                    "the schema of the file has version {version}, and this program knows versions up to {}; \
                     update the program, or give it another file",
                    schema::VERSION
                ),
            ),
            Found::Foreign => self.unusable(
                "the file is a database of another program, and was not changed; give another path",
            ),
        };
        Err(OpenError::Refused(error))
    }

    /// Returns the error for the caller. Finds the cause where SQLite only reports that the file cannot be
    /// opened.
    fn diagnose(&self, error: &SqliteError) -> StoreError {
        let directory = self.path.parent().unwrap_or(&self.path);
        if self.path.is_dir() {
            return self.unusable("the path is a directory; give the path of a file");
        }
        if !directory.is_dir() {
            let message = format!(
                "the directory {} does not exist; create it first",
                directory.display()
            );
            return self.unusable(message);
        }
        let cannot_open = matches!(error, SqliteError::Sql(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen));
        if cannot_open && !is_writable(directory) {
            return self.unusable(format!(
                "the directory {} is not writable; give this user write access to it, for the file and its log",
                directory.display()
            ));
        }
        error.to_store_error(&self.path)
    }

    fn unusable(&self, message: impl Into<String>) -> StoreError {
        error::store_error(&self.path, StoreErrorKind::Unusable, message)
    }
}

enum OpenError {
    Sqlite(SqliteError),
    Refused(StoreError),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error.into())
    }
}

fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    std::path::absolute(path).map_err(|error| {
        let message = format!("invalid path of a file: {error}");
        error::store_error(path, StoreErrorKind::Unusable, message)
    })
}

/// Returns whether a file can be created in a directory. Creates one to find out.
fn is_writable(directory: &Path) -> bool {
    let probe = directory.join(format!(".oncetask-{:016x}", fastrand::u64(..)));
    let created = File::create_new(&probe).is_ok();
    if created {
        // An error means that another program has already deleted the file.
        let _ = fs::remove_file(&probe);
    }
    created
}

/// Returns a busy handler, which tries again to take a lock until the timeout has passed. The delays are
/// random, so that two programs do not retry in step.
pub(super) fn retry_until_timeout(timeout: Duration) -> impl FnMut(i32) -> bool + Send + 'static {
    let mut began = Instant::now();
    move |tries| {
        if tries == 0 {
            began = Instant::now();
        }
        if began.elapsed() >= timeout {
            return false;
        }
        let max_micros = 200_u64 << tries.clamp(0, 5);
        thread::sleep(Duration::from_micros(fastrand::u64(max_micros / 2..=max_micros)));
        true
    }
}
