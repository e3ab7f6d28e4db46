//! Adding tasks as rows.
//!
//! A statement opens the table and each of its indexes, and looks for its place in each of them from the root on.
//! That is half of what a task costs: so plain tasks of one call are added many at a time.
//!
//! A statement that may be undone in its middle has SQLite keep a copy of every page that it changes, which costs more
//! than is gained where ids lie far apart. These say `OR IGNORE` and `OR FAIL`, of which nothing is undone: when one of
//! them fails, the whole transaction is rolled back anyhow.

use std::sync::LazyLock;

use rusqlite::params;

use super::rows::{self, json, millis};
use super::statements::Statements;
use super::trouble::Trouble;
use crate::task::{ResourceKey, Task, TaskState};

/// How many tasks one statement adds.
pub(super) const ROWS: usize = 25;

/// Whether a task can be added together with others.
fn is_plain(task: &Task) -> bool {
    task.spec.recurrence.is_none() && task.spec.occurrence.is_none() && is_fresh(&task.state)
}

fn is_fresh(state: &TaskState) -> bool {
    *state == TaskState::waiting_until(state.wait_until)
}

/// Adds tasks, each with the number of its kind, unless their ids are taken; tells of each whether it was added.
pub(super) fn insert_all(
    statements: &mut Statements<'_>,
    env: i64,
    tasks: &[(i64, &Task)],
) -> Result<Vec<bool>, Trouble> {
    let mut added = Vec::with_capacity(tasks.len());
    for chunk in tasks.chunks(ROWS) {
        if chunk.len() == ROWS && chunk.iter().all(|(_, task)| is_plain(task)) {
            added.append(&mut insert_rows(statements, env, chunk)?);
        } else {
            for (kind, task) in chunk {
                added.push(insert(statements, env, *kind, task)?);
            }
        }
    }
    Ok(added)
}

/// Adds a task unless its id is taken, and tells whether.
pub(super) fn insert(
    statements: &mut Statements<'_>,
    env: i64,
    kind: i64,
    task: &Task,
) -> Result<bool, Trouble> {
    // Not `RETURNING`, for which SQLite keeps such copies too, and makes a table besides.
    const SQL: &str = "
        INSERT INTO tasks (env, kind, id, resource_key, created_at, wait_until, due, generator, occurrence_at,
            recurrence, held_key)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10)
        ON CONFLICT DO NOTHING";
    let Task { spec, state } = task;
    let occurrence = spec.occurrence.as_ref();
    let added = statements.get(SQL)?.execute(params![
        env,
        kind,
        spec.id.as_str(),
        spec.resource_key.as_ref().map(ResourceKey::as_str),
        millis(spec.created_at),
        millis(state.wait_until),
        occurrence.map(|occurrence| occurrence.generator.as_str()),
        occurrence.map(|occurrence| millis(occurrence.at)),
        spec.recurrence.as_ref().map(json),
        spec.held_key().map(ResourceKey::as_str)
    ])?;
    if added == 0 {
        return Ok(false);
    }
    let seq = statements.last_insert();
    insert_payload(statements, seq, task)?;
    if !is_fresh(state) {
        rows::save(statements, seq, state)?;
    }
    Ok(true)
}

fn insert_payload(statements: &mut Statements<'_>, seq: i64, task: &Task) -> Result<(), Trouble> {
    const SQL: &str = "INSERT INTO payloads (seq, payload) VALUES (?1, ?2)";
    statements
        .get(SQL)?
        .execute(params![seq, task.spec.payload.as_str()])?;
    Ok(())
}

/// Adds [`ROWS`] plain tasks.
fn insert_rows(
    statements: &mut Statements<'_>,
    env: i64,
    tasks: &[(i64, &Task)],
) -> Result<Vec<bool>, Trouble> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let rows = places(5, |p| {
            // The environment has the place behind all others.
            let env = ROWS * 5 + 1;
            let (id, key, created, due) = (p + 1, p + 2, p + 3, p + 4);
            format!("(?{env}, ?{p}, ?{id}, ?{key}, ?{key}, ?{created}, ?{due}, ?{due})")
        });
        format!(
            "INSERT OR IGNORE INTO tasks (env, kind, id, resource_key, held_key, created_at, wait_until, due)
             VALUES {rows}"
        )
    });
    let statement = statements.get(&SQL)?;
    let mut place = 0;
    for (kind, task) in tasks {
        let key = task.spec.resource_key.as_ref().map(ResourceKey::as_str);
        statement.raw_bind_parameter(place + 1, kind)?;
        statement.raw_bind_parameter(place + 2, task.id().as_str())?;
        statement.raw_bind_parameter(place + 3, key)?;
        statement.raw_bind_parameter(place + 4, millis(task.spec.created_at))?;
        statement.raw_bind_parameter(place + 5, millis(task.state.wait_until))?;
        place += 5;
    }
    statement.raw_bind_parameter(place + 1, env)?;
    let count = statement.raw_execute()?;
    if count == 0 {
        return Ok(vec![false; tasks.len()]);
    }
    // New rows lie one behind the other, at the end of the table.
    let first = statements.last_insert() + 1 - i64::try_from(count).unwrap_or(0);
    if count < tasks.len() {
        return insert_payloads_of_new(statements, env, first, tasks);
    }
    insert_payloads(statements, first, tasks)?;
    Ok(vec![true; count])
}

/// Adds the payloads of those tasks that were added, the first of them at this place, and tells which they are.
fn insert_payloads_of_new(
    statements: &mut Statements<'_>,
    env: i64,
    first: i64,
    tasks: &[(i64, &Task)],
) -> Result<Vec<bool>, Trouble> {
    let mut next = first;
    let mut added = Vec::with_capacity(tasks.len());
    for (_, task) in tasks {
        let new = place_of(statements, env, task)? == next;
        if new {
            insert_payload(statements, next, task)?;
            next += 1;
        }
        added.push(new);
    }
    Ok(added)
}

fn place_of(statements: &mut Statements<'_>, env: i64, task: &Task) -> Result<i64, Trouble> {
    const SQL: &str = "SELECT seq FROM tasks WHERE id = ?1 AND env = ?2";
    let place = params![task.id().as_str(), env];
    Ok(statements.get(SQL)?.query_row(place, |row| row.get(0))?)
}

fn insert_payloads(
    statements: &mut Statements<'_>,
    first: i64,
    tasks: &[(i64, &Task)],
) -> Result<(), Trouble> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let rows = places(2, |p| format!("(?{}, ?{})", p, p + 1));
        format!("INSERT OR FAIL INTO payloads (seq, payload) VALUES {rows}")
    });
    let statement = statements.get(&SQL)?;
    let mut place = 0;
    for ((_, task), seq) in tasks.iter().zip(first..) {
        statement.raw_bind_parameter(place + 1, seq)?;
        statement.raw_bind_parameter(place + 2, task.spec.payload.as_str())?;
        place += 2;
    }
    statement.raw_execute()?;
    Ok(())
}

/// The rows of a statement, each written with the first of its parameters.
fn places(parameters: usize, row: impl Fn(usize) -> String) -> String {
    let rows: Vec<_> = (0..ROWS).map(|n| row(n * parameters + 1)).collect();
    rows.join(", ")
}
