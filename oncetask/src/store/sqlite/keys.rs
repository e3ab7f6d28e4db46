//! Resource keys in the queue.
//!
//! A key stands in the queue once, on behalf of all its tasks that are not done: due when the first of them
//! is, or, while it is held, when the last lease on it ends. So a key that is held, or has a long backlog,
//! costs a claim of other keys nothing; and since claims run in write transactions, of which a file has one at
//! a time, no two processes ever hold one key.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::trouble::Trouble;

/// Puts a key where it belongs.
pub(super) fn place(db: &Connection, kind: i64, key: &str) -> Result<(), Trouble> {
    let Some((wait_until, first)) = first(db, kind, key)? else {
        db.prepare_cached("DELETE FROM keys WHERE kind = ?1 AND key = ?2")?
            .execute(params![kind, key])?;
        return Ok(());
    };
    let due = held_until(db, kind, key)?.unwrap_or(wait_until);
    let sql = "
        INSERT INTO keys (kind, key, due, first) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (kind, key) DO UPDATE SET due = ?3, first = ?4";
    db.prepare_cached(sql)?.execute(params![kind, key, due, first])?;
    Ok(())
}

/// The first task of a key: until when it waits, and its place.
fn first(db: &Connection, kind: i64, key: &str) -> rusqlite::Result<Option<(i64, i64)>> {
    let sql = "
        SELECT wait_until, seq FROM tasks INDEXED BY members
        WHERE kind = ?1 AND held_key = ?2 AND ending = 0 ORDER BY wait_until, seq LIMIT 1";
    db.prepare_cached(sql)?
        .query_row(params![kind, key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// When the last lease on a key ends.
fn held_until(db: &Connection, kind: i64, key: &str) -> rusqlite::Result<Option<i64>> {
    let sql = "
        SELECT max(lease_until) FROM tasks INDEXED BY leased
        WHERE kind = ?1 AND held_key = ?2 AND lease_until IS NOT NULL";
    db.prepare_cached(sql)?
        .query_row(params![kind, key], |row| row.get(0))
}
