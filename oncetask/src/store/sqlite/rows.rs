//! Tasks as rows: reading them, and writing back what became of them.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};

use super::statements::Statements;
use super::trouble::Trouble;
use crate::task::transition::Phase;
use crate::task::{
    AttemptError, Done, Ending, Json, Lease, LeaseToken, Occurrence, Progress, ResourceKey, Task, TaskId,
    TaskSpec, TaskState,
};

/// The columns of a state, in the order in which [`state`] reads them.
macro_rules! state_columns {
    () => {
        "t.wait_until, t.ending, t.done_at, t.attempts, t.cleanup_attempts, t.deferrals, t.lease_token, \
         t.lease_until, t.lease_phase, t.lease_owner, t.cancelled_at, t.errors, t.progress, t.result"
    };
}

/// The columns of a task, in the order in which [`stored`] reads them; the argument is its kind's name.
macro_rules! task_columns {
    ($kind:literal) => {
        concat!(
            "t.seq, t.kind, t.id, ",
            $kind,
            ", t.resource_key, t.created_at, t.recurrence, t.generator, t.occurrence_at, p.payload, ",
            $crate::store::sqlite::rows::state_columns!()
        )
    };
}

pub(super) use {state_columns, task_columns};

/// How many columns these are.
pub(super) const TASK_COLUMNS: usize = 24;

/// A task, and where it lies.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) seq: i64,
    pub(super) kind: i64,
    pub(super) task: Task,
}

/// As much of a task as the end of its claim needs.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) seq: i64,
    pub(super) kind: i64,
    pub(super) key: Option<String>,
    pub(super) state: TaskState,
}

struct JsonColumn(Json);

impl FromSql for JsonColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str().map(|text| Self(Json::trusted(text)))
    }
}

/// The task with this id.
pub(super) fn by_id(db: &Connection, env: i64, id: &TaskId) -> Result<Option<Stored>, Trouble> {
    const SQL: &str = concat!(
        "SELECT ",
        task_columns!("k.name"),
        " FROM tasks t JOIN payloads p USING (seq) JOIN kinds k ON k.kind = t.kind WHERE t.id = ?1 AND t.env = ?2"
    );
    let mut statement = db.prepare_cached(SQL)?;
    let mut rows = statement.query(params![id.as_str(), env])?;
    rows.next()?.map(stored).transpose()
}

/// The task at this place.
pub(super) fn by_seq(db: &Connection, seq: i64) -> Result<Option<Stored>, Trouble> {
    const SQL: &str = concat!(
        "SELECT ",
        task_columns!("k.name"),
        " FROM tasks t JOIN payloads p USING (seq) JOIN kinds k ON k.kind = t.kind WHERE t.seq = ?1"
    );
    let mut statement = db.prepare_cached(SQL)?;
    let mut rows = statement.query([seq])?;
    rows.next()?.map(stored).transpose()
}

/// The state of the task with this id.
pub(super) fn held(statements: &mut Statements<'_>, env: i64, id: &TaskId) -> Result<Option<Held>, Trouble> {
    const SQL: &str = concat!(
        "SELECT t.seq, t.kind, t.held_key, ",
        state_columns!(),
        " FROM tasks t WHERE t.id = ?1 AND t.env = ?2"
    );
    let mut rows = statements.get(SQL)?.query(params![id.as_str(), env])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Held {
        seq: row.get(0)?,
        kind: row.get(1)?,
        key: row.get(2)?,
        state: state(row, 3).map_err(|trouble| naming(id.as_str(), trouble))?,
    }))
}

/// Whether some environment has a task with this id.
pub(super) fn anywhere(db: &Connection, id: &TaskId) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM tasks WHERE id = ?1")?
        .exists([id.as_str()])
}

/// Writes back a state, wherever it may differ.
pub(super) fn save(statements: &mut Statements<'_>, seq: i64, state: &TaskState) -> Result<(), Trouble> {
    const SQL: &str = "
        UPDATE tasks SET wait_until = ?2, due = iif(?9 IS NULL OR recurrence IS NOT NULL, ?3, NULL),
            ending = ?4, done_at = ?5, attempts = ?6, cleanup_attempts = ?7, deferrals = ?8, lease_token = ?9,
            lease_until = ?10, lease_phase = ?11, lease_owner = ?12, cancelled_at = ?13, errors = ?14,
            progress = ?15, result = ?16
        WHERE seq = ?1";
    let lease = state.lease.as_ref();
    statements.get(SQL)?.execute(params![
        seq,
        millis(state.wait_until),
        state.due().map(millis),
        state.done.map_or(OPEN, |done| ending(done.how)),
        state.done.map(|done| millis(done.at)),
        state.attempts,
        state.cleanup_attempts,
        state.deferrals,
        lease.map(|lease| lease.token.to_bits().cast_signed()),
        lease.map(|lease| millis(lease.until)),
        lease.map(|lease| phase(lease.phase)),
        lease.map(|lease| &*lease.owner),
        state.cancelled_at.map(millis),
        errors(&state.errors),
        state.progress.as_ref().map(progress),
        state.result.as_ref().map(Json::as_str),
    ])?;
    Ok(())
}

/// Writes back what a renewal changes.
pub(super) fn save_renewal(
    statements: &mut Statements<'_>,
    seq: i64,
    state: &TaskState,
) -> Result<(), Trouble> {
    const SQL: &str = "
        UPDATE tasks SET due = iif(recurrence IS NULL, NULL, ?2), lease_until = ?2, progress = ?3
        WHERE seq = ?1";
    let progress = state.progress.as_ref().map(progress);
    statements
        .get(SQL)?
        .execute(params![seq, state.due().map(millis), progress])?;
    Ok(())
}

/// Gives a generator another rule.
pub(super) fn save_rule(db: &Connection, seq: i64, spec: &TaskSpec) -> rusqlite::Result<()> {
    let rule = spec.recurrence.as_ref().map(json);
    db.prepare_cached("UPDATE tasks SET recurrence = ?2 WHERE seq = ?1")?
        .execute(params![seq, rule])?;
    Ok(())
}

/// Puts off a task that cannot be read, so that the queue goes on.
pub(super) fn put_off(db: &Connection, seq: i64, until: DateTime<Utc>) -> rusqlite::Result<()> {
    let sql = "
        UPDATE tasks SET due = iif(lease_until IS NULL OR recurrence IS NOT NULL, ?2, NULL), wait_until = ?2,
            lease_until = iif(lease_until IS NULL, NULL, ?2)
        WHERE seq = ?1";
    db.prepare_cached(sql)?.execute(params![seq, millis(until)])?;
    Ok(())
}

pub(super) fn delete(db: &Connection, seq: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM tasks WHERE seq = ?1")?
        .execute([seq])?;
    db.prepare_cached("DELETE FROM payloads WHERE seq = ?1")?
        .execute([seq])?;
    Ok(())
}

/// Reads a row of [`task_columns`].
pub(super) fn stored(row: &Row<'_>) -> Result<Stored, Trouble> {
    stored_of(row, None)
}

/// Reads a row of [`task_columns`], of a kind whose name tasks may share.
pub(super) fn stored_of(row: &Row<'_>, kind: Option<&Arc<str>>) -> Result<Stored, Trouble> {
    let id = row.get_ref(2)?.as_str().map_err(|error| not_text(&error))?;
    match spec(row, id, kind).and_then(|spec| Ok((spec, state(row, 10)?))) {
        Ok((spec, state)) => Ok(Stored {
            seq: row.get(0)?,
            kind: row.get(1)?,
            task: Task { spec, state },
        }),
        Err(trouble) => Err(naming(id, trouble)),
    }
}

fn spec(row: &Row<'_>, id: &str, kind: Option<&Arc<str>>) -> Result<TaskSpec, Trouble> {
    let recurrence: Option<String> = row.get(6)?;
    let generator: Option<String> = row.get(7)?;
    let occurrence = match generator {
        None => None,
        Some(generator) => Some(Occurrence {
            generator: generator.into(),
            at: instant(row, 8)?,
        }),
    };
    Ok(TaskSpec {
        id: TaskId::new(id),
        kind: kind.map_or_else(|| row.get(3), |name| Ok(name.clone()))?,
        resource_key: row.get::<_, Option<String>>(4)?.and_then(ResourceKey::new),
        created_at: instant(row, 5)?,
        recurrence: recurrence.map(|text| parsed(&text)).transpose()?,
        occurrence,
        payload: row.get::<_, JsonColumn>(9)?.0,
    })
}

/// Reads [`state_columns`], of which the first is at this place.
fn state(row: &Row<'_>, at: usize) -> Result<TaskState, Trouble> {
    let done = match row.get(at + 1)? {
        OPEN => None,
        code => Some(Done {
            how: how(code)?,
            at: instant(row, at + 2)?,
        }),
    };
    let lease = match row.get::<_, Option<i64>>(at + 6)? {
        None => None,
        Some(token) => Some(Lease {
            token: LeaseToken::from_bits(token.cast_unsigned()),
            until: instant(row, at + 7)?,
            phase: if row.get::<_, i64>(at + 8)? == CLEANUP {
                Phase::Cleanup
            } else {
                Phase::Run
            },
            owner: row.get(at + 9)?,
        }),
    };
    let cancelled_at = match row.get::<_, Option<i64>>(at + 10)? {
        None => None,
        Some(_) => Some(instant(row, at + 10)?),
    };
    let errors: Option<&str> = row
        .get_ref(at + 11)?
        .as_str_or_null()
        .map_err(|error| not_text(&error))?;
    let progress: Option<&str> = row
        .get_ref(at + 12)?
        .as_str_or_null()
        .map_err(|error| not_text(&error))?;
    Ok(TaskState {
        wait_until: instant(row, at)?,
        attempts: row.get(at + 3)?,
        cleanup_attempts: row.get(at + 4)?,
        deferrals: row.get(at + 5)?,
        errors: errors.map_or(Ok(Vec::new()), read_errors)?,
        result: row.get::<_, Option<JsonColumn>>(at + 13)?.map(|json| json.0),
        progress: progress.map(read_progress).transpose()?,
        lease,
        cancelled_at,
        done,
    })
}

fn not_text(error: &FromSqlError) -> Trouble {
    Trouble::Corrupt(format!("a column that holds text does not: {error}"))
}

fn naming(id: &str, trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Corrupt(what) => Trouble::Corrupt(format!("the task `{id}` cannot be read: {what}")),
        other => other,
    }
}

/// What `ending` says of a task that is not done.
pub(super) const OPEN: i64 = 0;

/// How `ending` says that a task is done.
pub(super) fn ending(how: Ending) -> i64 {
    match how {
        Ending::Completed => 1,
        Ending::Failed => 2,
        Ending::Cancelled => 3,
    }
}

fn how(code: i64) -> Result<Ending, Trouble> {
    match code {
        1 => Ok(Ending::Completed),
        2 => Ok(Ending::Failed),
        3 => Ok(Ending::Cancelled),
        _ => Err(Trouble::Corrupt(format!("{code} is no ending"))),
    }
}

const CLEANUP: i64 = 1;

pub(super) fn phase(phase: Phase) -> i64 {
    match phase {
        Phase::Run => 0,
        Phase::Cleanup => CLEANUP,
    }
}

/// An instant as a file has it: whole milliseconds since 1970.
pub(super) fn millis(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis()
}

/// The instant in a column.
pub(super) fn instant(row: &Row<'_>, column: usize) -> Result<DateTime<Utc>, Trouble> {
    at_millis(row.get(column)?)
}

/// The instant that a number of a file means.
pub(super) fn at_millis(millis: i64) -> Result<DateTime<Utc>, Trouble> {
    DateTime::from_timestamp_millis(millis)
        .ok_or_else(|| Trouble::Corrupt(format!("{millis} ms is no instant")))
}

#[derive(Serialize, Deserialize)]
struct StoredError<'a> {
    at: i64,
    attempt: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    cleanup: bool,
    #[serde(borrow)]
    error: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct StoredProgress<'a> {
    at: i64,
    fraction: f64,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

fn errors(errors: &[AttemptError]) -> Option<String> {
    let stored = |error: &AttemptError| {
        json(&StoredError {
            at: millis(error.at),
            attempt: error.attempt,
            cleanup: error.cleanup,
            error: Cow::Borrowed(&error.error),
        })
    };
    let list: Vec<_> = errors.iter().map(stored).collect();
    (!list.is_empty()).then(|| format!("[{}]", list.join(",\n")))
}

fn read_errors(text: &str) -> Result<Vec<AttemptError>, Trouble> {
    let read = |error: StoredError<'_>| {
        Ok(AttemptError {
            at: at_millis(error.at)?,
            attempt: error.attempt,
            cleanup: error.cleanup,
            error: error.error.into_owned(),
        })
    };
    parsed::<Vec<StoredError<'_>>>(text)?
        .into_iter()
        .map(read)
        .collect()
}

fn progress(progress: &Progress) -> String {
    json(&StoredProgress {
        at: millis(progress.at),
        fraction: progress.fraction,
        message: Cow::Borrowed(&progress.message),
    })
}

fn read_progress(text: &str) -> Result<Progress, Trouble> {
    let stored: StoredProgress<'_> = parsed(text)?;
    Ok(Progress {
        at: at_millis(stored.at)?,
        fraction: stored.fraction,
        message: stored.message.into_owned(),
    })
}

/// A part of a task as JSON.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("these types have nothing that JSON cannot say")
}

fn parsed<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Trouble> {
    serde_json::from_str(text).map_err(|error| Trouble::Corrupt(format!("{error} in {text}")))
}
