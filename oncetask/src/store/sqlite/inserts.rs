//! Inserting tasks as rows.
//!
//! A statement opens the table and each of its indexes, and searches each of them from the root. That is half
//! of the cost of inserting one task. So plain tasks of one call are inserted many at a time.
//!
//! If a statement may fail halfway and be undone, SQLite keeps a copy of every page that it changes.
//! With ids that are far apart in the index, this costs more than the batch saves. `OR IGNORE` and `OR FAIL`
//! avoid the copies, because such statements are never undone. That is safe here: when a statement fails, the
//! whole transaction is rolled back.

use std::sync::LazyLock;

use rusqlite::params;

use super::codec::{to_json, to_millis};
use super::error::SqliteError;
use super::rows;
use super::statements::Statements;
use crate::task::{ResourceKey, Task, TaskState};

/// The number of tasks that one statement inserts.
pub(super) const ROWS_PER_INSERT: usize = 25;

/// Returns whether a task can be inserted in a batch.
fn is_plain(task: &Task) -> bool {
    task.spec.recurrence.is_none() && task.spec.occurrence.is_none() && is_new(&task.state)
}

/// Returns whether this is the state of a task that was just created.
fn is_new(state: &TaskState) -> bool {
    *state == TaskState::waiting_until(state.wait_until)
}

/// Inserts tasks, each with the number of its kind, unless their ids exist. Returns for each whether it was
/// inserted.
pub(super) fn insert_all(
    statements: &mut Statements<'_>,
    env: i64,
    tasks: &[(i64, &Task)],
) -> Result<Vec<bool>, SqliteError> {
    let mut inserted = Vec::with_capacity(tasks.len());
    for chunk in tasks.chunks(ROWS_PER_INSERT) {
        if chunk.len() == ROWS_PER_INSERT && chunk.iter().all(|(_, task)| is_plain(task)) {
            inserted.append(&mut insert_batch(statements, env, chunk)?);
        } else {
            for (kind, task) in chunk {
                inserted.push(insert(statements, env, *kind, task)?);
            }
        }
    }
    Ok(inserted)
}

/// Inserts a task unless its id exists. Returns whether it was inserted.
fn insert(statements: &mut Statements<'_>, env: i64, kind: i64, task: &Task) -> Result<bool, SqliteError> {
    // `RETURNING` would make SQLite keep copies of the pages and fill a temporary table.
    const SQL: &str = "
        INSERT INTO tasks (env, kind, id, resource_key, created_at, wait_until, due, generator, occurrence_at,
            recurrence, held_key)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10)
        ON CONFLICT DO NOTHING";
    let Task { spec, state } = task;
    let occurrence = spec.occurrence.as_ref();
    let inserted = statements.get(SQL)?.execute(params![
        env,
        kind,
        spec.id.as_str(),
        spec.resource_key.as_ref().map(ResourceKey::as_str),
        to_millis(spec.created_at),
        to_millis(state.wait_until),
        occurrence.map(|occurrence| occurrence.generator.as_str()),
        occurrence.map(|occurrence| to_millis(occurrence.at)),
        spec.recurrence.as_ref().map(to_json),
        spec.held_key().map(ResourceKey::as_str)
    ])?;
    if inserted == 0 {
        return Ok(false);
    }
    let seq = statements.last_insert_seq();
    insert_payload(statements, seq, task)?;
    if !is_new(state) {
        rows::save_state(statements, seq, state)?;
    }
    Ok(true)
}

fn insert_payload(statements: &mut Statements<'_>, seq: i64, task: &Task) -> Result<(), SqliteError> {
    const SQL: &str = "INSERT INTO payloads (seq, payload) VALUES (?1, ?2)";
    statements
        .get(SQL)?
        .execute(params![seq, task.spec.payload.as_str()])?;
    Ok(())
}

/// Inserts [`ROWS_PER_INSERT`] plain tasks unless their ids exist. Returns for each whether it was inserted.
fn insert_batch(
    statements: &mut Statements<'_>,
    env: i64,
    tasks: &[(i64, &Task)],
) -> Result<Vec<bool>, SqliteError> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let rows = value_rows(5, |kind| {
            // The environment is the last parameter, and the same for all rows.
            let env = ROWS_PER_INSERT * 5 + 1;
            let (id, key, created, due) = (kind + 1, kind + 2, kind + 3, kind + 4);
            format!("(?{env}, ?{kind}, ?{id}, ?{key}, ?{key}, ?{created}, ?{due}, ?{due})")
        });
        format!(
            "INSERT OR IGNORE INTO tasks (env, kind, id, resource_key, held_key, created_at, wait_until, due)
             VALUES {rows}"
        )
    });
    let statement = statements.get(&SQL)?;
    let mut bound = 0;
    for (kind, task) in tasks {
        let key = task.spec.resource_key.as_ref().map(ResourceKey::as_str);
        statement.raw_bind_parameter(bound + 1, kind)?;
        statement.raw_bind_parameter(bound + 2, task.id().as_str())?;
        statement.raw_bind_parameter(bound + 3, key)?;
        statement.raw_bind_parameter(bound + 4, to_millis(task.spec.created_at))?;
        statement.raw_bind_parameter(bound + 5, to_millis(task.state.wait_until))?;
        bound += 5;
    }
    statement.raw_bind_parameter(bound + 1, env)?;
    let count = statement.raw_execute()?;
    if count == 0 {
        return Ok(vec![false; tasks.len()]);
    }
    // SQLite appends new rows to the table, so their numbers are consecutive.
    let first = statements.last_insert_seq() + 1 - i64::try_from(count).unwrap_or(0);
    if count < tasks.len() {
        return insert_payloads_of_inserted(statements, env, first, tasks);
    }
    insert_payloads(statements, first, tasks)?;
    Ok(vec![true; count])
}

/// Inserts the payloads of those tasks that were inserted, from the row `first` on. Returns for each task
/// whether it was inserted.
fn insert_payloads_of_inserted(
    statements: &mut Statements<'_>,
    env: i64,
    first: i64,
    tasks: &[(i64, &Task)],
) -> Result<Vec<bool>, SqliteError> {
    let mut next = first;
    let mut inserted = Vec::with_capacity(tasks.len());
    for (_, task) in tasks {
        let is_inserted = seq_of(statements, env, task)? == next;
        if is_inserted {
            insert_payload(statements, next, task)?;
            next += 1;
        }
        inserted.push(is_inserted);
    }
    Ok(inserted)
}

fn seq_of(statements: &mut Statements<'_>, env: i64, task: &Task) -> Result<i64, SqliteError> {
    const SQL: &str = "SELECT seq FROM tasks WHERE id = ?1 AND env = ?2";
    let id = params![task.id().as_str(), env];
    Ok(statements.get(SQL)?.query_row(id, |row| row.get(0))?)
}

/// Inserts the payloads of [`ROWS_PER_INSERT`] tasks in consecutive rows.
fn insert_payloads(
    statements: &mut Statements<'_>,
    first: i64,
    tasks: &[(i64, &Task)],
) -> Result<(), SqliteError> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let rows = value_rows(2, |seq| format!("(?{}, ?{})", seq, seq + 1));
        format!("INSERT OR FAIL INTO payloads (seq, payload) VALUES {rows}")
    });
    let statement = statements.get(&SQL)?;
    let mut bound = 0;
    for ((_, task), seq) in tasks.iter().zip(first..) {
        statement.raw_bind_parameter(bound + 1, seq)?;
        statement.raw_bind_parameter(bound + 2, task.spec.payload.as_str())?;
        bound += 2;
    }
    statement.raw_execute()?;
    Ok(())
}

/// Returns the `VALUES` of a batch. `row` formats one row, given the number of its first parameter.
fn value_rows(parameters_per_row: usize, row: impl Fn(usize) -> String) -> String {
    let rows: Vec<_> = (0..ROWS_PER_INSERT)
        .map(|n| row(n * parameters_per_row + 1))
        .collect();
    rows.join(", ")
}
