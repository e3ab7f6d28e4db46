//! The tables and indexes of a file, and its migration.

use rusqlite::{Connection, TransactionBehavior};

/// The application id in the header of the file: "once" in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x6f6e_6365;

/// The migrations. The version of a file is the number of migrations that it has.
const MIGRATIONS: &[&str] = &[FIRST, GENERATORS, LEASES, LISTS];

/// The newest version of the schema that this program knows.
pub(super) const VERSION: u32 = 4;

/// The first version.
///
/// Tasks are rows, numbered by `seq` in the order of their creation. Payloads have a table of their own, so
/// that the rows that a claim and its end rewrite are short. Instants are milliseconds since 1970.
/// Environments and kinds are numbers, because the keys of the indexes begin with them.
///
/// - `ending`: 0 while the task is not done, 1 completed, 2 failed, 3 cancelled.
/// - `due`: the due time of a task that waits; `NULL` for a task that is done, and for a leased task (see
///   [`LEASES`]).
/// - `held_key`: the resource key that a claim of the task holds. A generator has only a `resource_key`.
///   Tasks with a `held_key` are not in the index `queue`; the table `keys` has one entry for all tasks of a
///   key.
/// - `stopped`: the last cancelled and deleted tasks that were leased, for the watchers of other processes.
const FIRST: &str = "
CREATE TABLE environments (
    env  INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE kinds (
    kind INTEGER PRIMARY KEY,
    env  INTEGER NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (env, name)
) STRICT;

CREATE TABLE tasks (
    seq              INTEGER PRIMARY KEY,
    env              INTEGER NOT NULL,
    kind             INTEGER NOT NULL,
    id               TEXT NOT NULL,
    resource_key     TEXT,
    held_key         TEXT,
    created_at       INTEGER NOT NULL,
    wait_until       INTEGER NOT NULL,
    due              INTEGER,
    ending           INTEGER NOT NULL DEFAULT 0,
    done_at          INTEGER,
    attempts         INTEGER NOT NULL DEFAULT 0,
    cleanup_attempts INTEGER NOT NULL DEFAULT 0,
    deferrals        INTEGER NOT NULL DEFAULT 0,
    lease_token      INTEGER,
    lease_until      INTEGER,
    lease_phase      INTEGER,
    lease_owner      TEXT,
    cancelled_at     INTEGER,
    errors           TEXT,
    progress         TEXT,
    generator        TEXT,
    occurrence_at    INTEGER,
    recurrence       TEXT,
    result           TEXT,
    UNIQUE (id, env)
) STRICT;

CREATE TABLE payloads (
    seq     INTEGER PRIMARY KEY,
    payload TEXT NOT NULL
) STRICT;

CREATE INDEX queue ON tasks (kind, due) WHERE due IS NOT NULL AND held_key IS NULL;
CREATE INDEX members ON tasks (kind, held_key, wait_until) WHERE ending = 0 AND held_key IS NOT NULL;
CREATE INDEX leased ON tasks (kind, held_key, lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX cancelling ON tasks (kind, created_at, id) WHERE ending = 0 AND cancelled_at IS NOT NULL;
CREATE INDEX list ON tasks (kind, ending, created_at, id);
CREATE INDEX list_by_key ON tasks (resource_key, env, created_at, id) WHERE resource_key IS NOT NULL;
CREATE INDEX list_by_generator ON tasks (generator, env, created_at, id) WHERE generator IS NOT NULL;

CREATE TABLE keys (
    kind  INTEGER NOT NULL,
    key   TEXT NOT NULL,
    due   INTEGER NOT NULL,
    first INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX key_queue ON keys (kind, due, first);

CREATE TABLE stopped (
    at  INTEGER PRIMARY KEY AUTOINCREMENT,
    env INTEGER NOT NULL,
    id  TEXT NOT NULL
) STRICT;

CREATE VIEW readable_tasks AS
SELECT e.name AS env, k.name AS kind, t.id, t.resource_key, p.payload,
       CASE t.ending WHEN 1 THEN 'completed' WHEN 2 THEN 'failed' WHEN 3 THEN 'cancelled'
           ELSE CASE WHEN t.cancelled_at IS NOT NULL THEN 'cancellation-pending'
                     WHEN t.lease_until IS NOT NULL THEN 'leased' ELSE 'waiting' END END AS state,
       strftime('%FT%H:%M:%fZ', t.created_at / 1000.0, 'unixepoch') AS created_at,
       strftime('%FT%H:%M:%fZ', t.wait_until / 1000.0, 'unixepoch') AS wait_until,
       strftime('%FT%H:%M:%fZ', t.lease_until / 1000.0, 'unixepoch') AS lease_until,
       strftime('%FT%H:%M:%fZ', t.done_at / 1000.0, 'unixepoch') AS done_at,
       t.lease_owner, t.attempts, t.errors, t.result
FROM tasks t
JOIN kinds k ON k.kind = t.kind
JOIN environments e ON e.env = t.env
JOIN payloads p ON p.seq = t.seq;
";

/// An index of the generators, which a worker claims even if it has no free slot.
const GENERATORS: &str = "
CREATE INDEX generators ON tasks (kind, due) WHERE due IS NOT NULL AND recurrence IS NOT NULL;
";

/// A leased task leaves the index `queue`. The index `leased` has the end of its lease. So an ordinary task
/// is inserted into `queue` once and removed once. A leased generator keeps its `due`, because the index
/// `generators` needs it.
///
/// A program of version 2 that has the file open can still use it. The tasks that it leases stay in `queue`
/// until they are claimed again. It does not claim a task whose lease from a newer program has expired; newer
/// programs do.
const LEASES: &str = "
UPDATE tasks SET due = NULL WHERE lease_until IS NOT NULL AND recurrence IS NULL;
";

/// Replaces the index `list` by two: `open` for tasks that are not done, and `done`. When a task ends, it
/// moves from one to the other, and SQLite keeps a cursor at the last change of each. Within a single index
/// SQLite searched for both positions from the root, which was a fifth of the cost of a task.
///
/// A program of an older version that has the file open can still claim, but can no longer list or count
/// tasks.
const LISTS: &str = "
DROP INDEX list;
CREATE INDEX open ON tasks (kind, created_at, id) WHERE ending = 0;
CREATE INDEX done ON tasks (kind, ending, created_at, id) WHERE ending <> 0;
";

/// The owner and version of a database file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A file of this library with this version of the schema; 0 for a new file.
    Ours(u32),
    /// A database of another program.
    Foreign,
}

/// Returns the owner and version of a file.
pub(super) fn inspect(db: &Connection) -> rusqlite::Result<Found> {
    // One statement, so that it sees one state even if another process migrates the file.
    let (application, version, tables) = db.query_row(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
         FROM pragma_application_id, pragma_user_version",
        [],
        |row| {
            Ok((
                row.get::<_, i32>(0)?,
                row.get::<_, u32>(1)?,
                row.get::<_, u32>(2)?,
            ))
        },
    )?;
    Ok(match (application, version, tables) {
        (APPLICATION_ID, version, _) => Found::Ours(version),
        (0, 0, 0) => Found::Ours(0),
        _ => Found::Foreign,
    })
}

/// Migrates a file to the newest version in one transaction. Returns the owner and version before that, which
/// another process may have changed since the last [`inspect`].
pub(super) fn migrate(db: &mut Connection) -> rusqlite::Result<Found> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = inspect(&tx)?;
    if let Found::Ours(version) = found {
        for migration in MIGRATIONS.iter().skip(version as usize) {
            tx.execute_batch(migration)?;
        }
        if version < VERSION {
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
            tx.pragma_update(None, "user_version", VERSION)?;
        }
    }
    tx.commit()?;
    Ok(found)
}
