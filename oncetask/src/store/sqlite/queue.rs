//! Reading the queue of a kind.
//!
//! The queue consists of three indexes. `queue` has the waiting tasks without a resource key. `leased` has the
//! leased ones, which are due when their leases end. `key_queue` has the rows of the table `keys`: one entry
//! for all tasks of a resource key. In addition, the index `generators` has only the generators.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::codec::{self, StoredTask, TASK_COLUMNS, task_columns, to_millis};
use super::error::SqliteError;
use super::queue_order::{QueuePosition, queue_order};
use crate::task::transition::{self, Phase};

/// The number and the name of a kind.
pub(super) struct Kind {
    pub(super) number: i64,
    pub(super) name: Arc<str>,
}

/// An entry of the queue.
pub(super) struct QueueEntry {
    pub(super) position: QueuePosition,
    pub(super) item: QueueItem,
}

/// The item of a [`QueueEntry`].
pub(super) enum QueueItem {
    /// A task without a resource key.
    Task(Box<StoredTask>),
    /// A resource key, on behalf of its tasks.
    Key(String),
}

/// A row that cannot be read as a task.
pub(super) struct DamagedRow {
    pub(super) seq: i64,
    pub(super) reason: String,
}

/// Returns the first position in the queue of a kind, due or not.
pub(super) fn head(db: &Connection, kind: i64) -> rusqlite::Result<Option<QueuePosition>> {
    const SQL: &str = concat!(
        "SELECT * FROM (SELECT due, seq FROM tasks INDEXED BY queue
            WHERE kind = ?1 AND due IS NOT NULL AND held_key IS NULL ORDER BY ",
        queue_order!(),
        " LIMIT 1)
        UNION ALL
        SELECT * FROM (SELECT lease_until AS due, seq FROM tasks INDEXED BY leased
            WHERE kind = ?1 AND lease_until IS NOT NULL AND held_key IS NULL ORDER BY ",
        queue_order!(),
        " LIMIT 1)
        UNION ALL
        SELECT * FROM (SELECT due, first AS seq FROM keys INDEXED BY key_queue WHERE kind = ?1 ORDER BY ",
        queue_order!(),
        " LIMIT 1)"
    );
    let mut statement = db.prepare_cached(SQL)?;
    let heads = statement.query_map([kind], |row| {
        Ok(QueuePosition {
            due: row.get(0)?,
            seq: row.get(1)?,
        })
    })?;
    heads
        .collect::<Result<Vec<_>, _>>()
        .map(|heads| heads.into_iter().min())
}

/// Returns the due time of the first generator of a kind, in milliseconds since 1970.
pub(super) fn first_generator_due(db: &Connection, kind: i64) -> rusqlite::Result<Option<i64>> {
    const SQL: &str = concat!(
        "SELECT due FROM tasks INDEXED BY generators
         WHERE kind = ?1 AND due IS NOT NULL AND recurrence IS NOT NULL ORDER BY ",
        queue_order!(),
        " LIMIT 1"
    );
    db.prepare_cached(SQL)?
        .query_row([kind], |row| row.get(0))
        .optional()
}

/// Returns the first due tasks without a resource key: up to `limit` waiting ones, and up to `limit` with an
/// expired lease. Adds the damaged rows among them to `damaged`.
pub(super) fn due_tasks(
    db: &Connection,
    kind: &Kind,
    now: DateTime<Utc>,
    limit: usize,
    damaged: &mut Vec<DamagedRow>,
) -> Result<Vec<QueueEntry>, SqliteError> {
    const WAITING: &str = concat!(
        "SELECT ",
        task_columns!("NULL"),
        ", t.due AS due FROM tasks t INDEXED BY queue JOIN payloads p USING (seq)
         WHERE t.kind = ?1 AND t.due <= ?2 AND t.due IS NOT NULL AND t.held_key IS NULL ORDER BY ",
        queue_order!(),
        " LIMIT ?3"
    );
    // A leased task that has a `due` is in the index `queue`, so `WAITING` returns it.
    const LEASED: &str = concat!(
        "SELECT ",
        task_columns!("NULL"),
        ", t.lease_until AS due FROM tasks t INDEXED BY leased JOIN payloads p USING (seq)
         WHERE t.kind = ?1 AND t.lease_until <= ?2 AND t.lease_until IS NOT NULL AND t.held_key IS NULL
           AND t.due IS NULL ORDER BY ",
        queue_order!(),
        " LIMIT ?3"
    );
    let mut entries = Vec::new();
    for sql in [WAITING, LEASED] {
        entries.append(&mut select_due(db, sql, kind, now, limit, damaged)?);
    }
    Ok(entries)
}

/// Returns the first due generators, up to `limit`. Adds the damaged rows among them to `damaged`.
pub(super) fn due_generators(
    db: &Connection,
    kind: &Kind,
    now: DateTime<Utc>,
    limit: usize,
    damaged: &mut Vec<DamagedRow>,
) -> Result<Vec<QueueEntry>, SqliteError> {
    const SQL: &str = concat!(
        "SELECT ",
        task_columns!("NULL"),
        ", t.due AS due FROM tasks t INDEXED BY generators JOIN payloads p USING (seq)
         WHERE t.kind = ?1 AND t.due <= ?2 AND t.due IS NOT NULL AND t.recurrence IS NOT NULL ORDER BY ",
        queue_order!(),
        " LIMIT ?3"
    );
    select_due(db, SQL, kind, now, limit, damaged)
}

fn select_due(
    db: &Connection,
    sql: &str,
    kind: &Kind,
    now: DateTime<Utc>,
    limit: usize,
    damaged: &mut Vec<DamagedRow>,
) -> Result<Vec<QueueEntry>, SqliteError> {
    let mut statement = db.prepare_cached(sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![kind.number, to_millis(now), limit])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(stored) = decode_or_skip(row, kind, damaged)? {
            entries.push(QueueEntry {
                position: QueuePosition {
                    due: row.get(TASK_COLUMNS)?,
                    seq: stored.seq,
                },
                item: QueueItem::Task(Box::new(stored)),
            });
        }
    }
    Ok(entries)
}

/// Returns the first due resource keys, up to `limit`.
pub(super) fn due_keys(
    db: &Connection,
    kind: &Kind,
    now: DateTime<Utc>,
    limit: usize,
) -> Result<Vec<QueueEntry>, SqliteError> {
    const SQL: &str = concat!(
        "SELECT due, first AS seq, key FROM keys INDEXED BY key_queue
         WHERE kind = ?1 AND due <= ?2 ORDER BY ",
        queue_order!(),
        " LIMIT ?3"
    );
    let mut statement = db.prepare_cached(SQL)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let entries = statement.query_map(params![kind.number, to_millis(now), limit], |row| {
        Ok(QueueEntry {
            position: QueuePosition {
                due: row.get(0)?,
                seq: row.get(1)?,
            },
            item: QueueItem::Key(row.get(2)?),
        })
    })?;
    Ok(entries.collect::<Result<_, _>>()?)
}

/// Returns the due tasks of a resource key that one claim takes: the first one alone if it is cancelled, else
/// up to `max_group` that are not cancelled. Adds the damaged rows among them to `damaged`.
pub(super) fn due_group(
    db: &Connection,
    kind: &Kind,
    key: &str,
    now: DateTime<Utc>,
    max_group: usize,
    damaged: &mut Vec<DamagedRow>,
) -> Result<Vec<StoredTask>, SqliteError> {
    const SQL: &str = concat!(
        "SELECT ",
        task_columns!("NULL"),
        ", t.wait_until AS due FROM tasks t INDEXED BY members JOIN payloads p USING (seq)
         WHERE t.kind = ?1 AND t.held_key = ?2 AND t.ending = 0
           AND CASE WHEN t.lease_until IS NULL THEN t.wait_until ELSE t.lease_until END <= ?3
         ORDER BY ",
        queue_order!()
    );
    let mut statement = db.prepare_cached(SQL)?;
    let mut rows = statement.query(params![kind.number, key, to_millis(now)])?;
    let mut group: Vec<StoredTask> = Vec::new();
    while group.len() < max_group.max(1)
        && let Some(row) = rows.next()?
    {
        let Some(stored) = decode_or_skip(row, kind, damaged)? else {
            continue;
        };
        let phase = transition::next_phase(&stored.task.state);
        if group.is_empty() && phase == Phase::Cleanup {
            return Ok(vec![stored]);
        }
        if phase == Phase::Run {
            group.push(stored);
        }
    }
    Ok(group)
}

/// Decodes a row. If it is damaged, adds it to `damaged` and returns `None`.
fn decode_or_skip(
    row: &Row<'_>,
    kind: &Kind,
    damaged: &mut Vec<DamagedRow>,
) -> Result<Option<StoredTask>, SqliteError> {
    match codec::decode_row_of_kind(row, Some(&kind.name)) {
        Ok(stored) => Ok(Some(stored)),
        Err(SqliteError::Corrupt(reason)) => {
            let seq = row.get(0)?;
            damaged.push(DamagedRow { seq, reason });
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
