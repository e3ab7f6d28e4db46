//! The tables, and how a file gets them.

use rusqlite::{Connection, TransactionBehavior};

/// Marks a file as ours: "once".
pub(super) const APPLICATION_ID: i32 = 0x6f6e_6365;

/// Each step takes a file from one version of the schema to the next; the version is how many were made.
const STEPS: &[&str] = &[FIRST, GENERATORS, LEASES, LISTS];

/// The newest version that this program knows.
pub(super) const VERSION: u32 = 4;

/// Tasks are rows in the order of their creation. What a claim and its end rewrite is short: the payload
/// lies apart. Instants are milliseconds since 1970; an environment and a kind are numbers, because they
/// begin the keys of the indexes.
///
/// `ending` is 0 while the task is not done, then 1 completed, 2 failed, 3 cancelled. `due` is when the task
/// may be claimed next, if it stands in the queue: see [`LEASES`]. Where a claim holds a key (`held_key`: not that of a generator), the key stands in
/// the queue for the task: see `keys`.
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

/// Generators are claimed by workers that have no room for other tasks, too.
const GENERATORS: &str = "
CREATE INDEX generators ON tasks (kind, due) WHERE due IS NOT NULL AND recurrence IS NOT NULL;
";

/// A lease takes a task out of the queue, and the index of leases tells when it ends: so a task is put into the
/// queue once and taken out once. Only a generator stays, for the sake of its own index.
///
/// A program of version 2 that has the file open goes on: what it leases stays in the queue until it is claimed
/// anew. It does not see the ends of leases that newer programs took; those do.
const LEASES: &str = "
UPDATE tasks SET due = NULL WHERE lease_until IS NOT NULL AND recurrence IS NULL;
";

/// The list of a kind in two parts: what is done, and what is not. A task that ends moves from one to the other, and
/// both know the place where they were changed last; in one index SQLite looks for each of the two places from the
/// root on, which made up a fifth of what a task costs.
///
/// A program of an older version that has the file open goes on, but can no longer list or count tasks.
const LISTS: &str = "
DROP INDEX list;
CREATE INDEX open ON tasks (kind, created_at, id) WHERE ending = 0;
CREATE INDEX done ON tasks (kind, ending, created_at, id) WHERE ending <> 0;
";

/// What a file says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A file of this version, 0 for one that is new.
    Ours(u32),
    /// A database with something else in it.
    Foreign,
}

/// Looks at what is in a file.
pub(super) fn inspect(db: &Connection) -> rusqlite::Result<Found> {
    // One statement, so that nobody's migration comes between.
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

/// Brings a file to the newest version: all of it or nothing. Returns what the file is, which others may
/// have changed since it was looked at.
pub(super) fn migrate(db: &mut Connection) -> rusqlite::Result<Found> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = inspect(&tx)?;
    if let Found::Ours(version) = found {
        for step in STEPS.iter().skip(version as usize) {
            tx.execute_batch(step)?;
        }
        if version < VERSION {
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
            tx.pragma_update(None, "user_version", VERSION)?;
        }
    }
    tx.commit()?;
    Ok(found)
}
