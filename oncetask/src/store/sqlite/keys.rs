//! The resource keys in the queue.
//!
//! A key has one entry in the queue for all of its tasks that are not done. The entry is due when the first
//! of these tasks is due, or, while tasks of the key are leased, when the last of these leases ends. So a
//! leased key, or a key with many tasks, does not slow down the claims of other keys. Claims run in write
//! transactions, and SQLite runs one of them at a time, so two processes never have active claims of one key.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::error::SqliteError;
use super::queue_order::{QueuePosition, queue_order};

/// Updates the queue entry of a key after a change of its tasks.
pub(super) fn update(db: &Connection, kind: i64, key: &str) -> Result<(), SqliteError> {
    let Some(first) = first_task(db, kind, key)? else {
        db.prepare_cached("DELETE FROM keys WHERE kind = ?1 AND key = ?2")?
            .execute(params![kind, key])?;
        return Ok(());
    };
    let due = leased_until(db, kind, key)?.unwrap_or(first.due);
    let sql = "
        INSERT INTO keys (kind, key, due, first) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (kind, key) DO UPDATE SET due = ?3, first = ?4";
    db.prepare_cached(sql)?
        .execute(params![kind, key, due, first.seq])?;
    Ok(())
}

/// Returns the position of the first task of a key, or `None` if all of its tasks are done.
fn first_task(db: &Connection, kind: i64, key: &str) -> rusqlite::Result<Option<QueuePosition>> {
    const SQL: &str = concat!(
        "SELECT wait_until AS due, seq FROM tasks INDEXED BY members
         WHERE kind = ?1 AND held_key = ?2 AND ending = 0 ORDER BY ",
        queue_order!(),
        " LIMIT 1"
    );
    db.prepare_cached(SQL)?
        .query_row(params![kind, key], |row| {
            Ok(QueuePosition {
                due: row.get(0)?,
                seq: row.get(1)?,
            })
        })
        .optional()
}

/// Returns the end of the last lease on a key, in milliseconds since 1970, or `None` if no task of it is leased.
fn leased_until(db: &Connection, kind: i64, key: &str) -> rusqlite::Result<Option<i64>> {
    let sql = "
        SELECT max(lease_until) FROM tasks INDEXED BY leased
        WHERE kind = ?1 AND held_key = ?2 AND lease_until IS NOT NULL";
    db.prepare_cached(sql)?
        .query_row(params![kind, key], |row| row.get(0))
}
