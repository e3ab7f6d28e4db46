//! The encoding of tasks as the columns of a row, and their decoding.
//!
//! Instants are integers: milliseconds since 1970, in UTC. Endings and phases are small integers. The errors,
//! the progress and the rule of a generator are JSON.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use serde::{Deserialize, Serialize};

use super::error::SqliteError;
use crate::task::transition::Phase;
use crate::task::{
    AttemptError, Done, Ending, Json, Lease, LeaseToken, Occurrence, Progress, ResourceKey, Task, TaskId,
    TaskSpec, TaskState,
};

/// Expands to the columns of a state, in the order in which [`decode_state`] reads them.
macro_rules! state_columns {
    () => {
        "t.wait_until, t.ending, t.done_at, t.attempts, t.cleanup_attempts, t.deferrals, t.lease_token, \
         t.lease_until, t.lease_phase, t.lease_owner, t.cancelled_at, t.errors, t.progress, t.result"
    };
}

/// Expands to the columns of a task, in the order in which [`decode_row`] reads them. The argument is the
/// column of the kind's name, or `NULL`.
macro_rules! task_columns {
    ($kind:literal) => {
        concat!(
            "t.seq, t.kind, t.id, ",
            $kind,
            ", t.resource_key, t.created_at, t.recurrence, t.generator, t.occurrence_at, p.payload, ",
            $crate::store::sqlite::codec::state_columns!()
        )
    };
}

pub(super) use {state_columns, task_columns};

/// The number of columns of `task_columns`.
pub(super) const TASK_COLUMNS: usize = 24;

/// The value of `ending` of a task that is not done.
pub(super) const OPEN: i64 = 0;

/// The value of `lease_phase` of a claim for the cleanup handler.
const CLEANUP: i64 = 1;

/// A task and the row that it was read from.
#[derive(Debug)]
pub(super) struct StoredTask {
    pub(super) seq: i64,
    pub(super) kind: i64,
    pub(super) task: Task,
}

struct JsonColumn(Json);

impl FromSql for JsonColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str().map(|text| Self(Json::trusted(text)))
    }
}

/// Decodes a row of `task_columns` that includes the kind's name.
pub(super) fn decode_row(row: &Row<'_>) -> Result<StoredTask, SqliteError> {
    decode_row_of_kind(row, None)
}

/// Decodes a row of `task_columns`. A given name of the kind replaces the one in the row, so that tasks share
/// it.
pub(super) fn decode_row_of_kind(row: &Row<'_>, kind: Option<&Arc<str>>) -> Result<StoredTask, SqliteError> {
    let id = row.get_ref(2)?.as_str().map_err(|error| not_text(&error))?;
    match decode_spec(row, id, kind).and_then(|spec| Ok((spec, decode_state(row, 10)?))) {
        Ok((spec, state)) => Ok(StoredTask {
            seq: row.get(0)?,
            kind: row.get(1)?,
            task: Task { spec, state },
        }),
        Err(error) => Err(with_id(id, error)),
    }
}

fn decode_spec(row: &Row<'_>, id: &str, kind: Option<&Arc<str>>) -> Result<TaskSpec, SqliteError> {
    let recurrence: Option<String> = row.get(6)?;
    let generator: Option<String> = row.get(7)?;
    let occurrence = match generator {
        None => None,
        Some(generator) => Some(Occurrence {
            generator: generator.into(),
            at: decode_instant(row, 8)?,
        }),
    };
    Ok(TaskSpec {
        id: TaskId::new(id),
        kind: kind.map_or_else(|| row.get(3), |name| Ok(name.clone()))?,
        resource_key: row.get::<_, Option<String>>(4)?.and_then(ResourceKey::new),
        created_at: decode_instant(row, 5)?,
        recurrence: recurrence.map(|text| from_json(&text)).transpose()?,
        occurrence,
        payload: row.get::<_, JsonColumn>(9)?.0,
    })
}

/// Decodes `state_columns`, which start at the index `first`.
pub(super) fn decode_state(row: &Row<'_>, first: usize) -> Result<TaskState, SqliteError> {
    let done = match row.get(first + 1)? {
        OPEN => None,
        code => Some(Done {
            how: decode_ending(code)?,
            at: decode_instant(row, first + 2)?,
        }),
    };
    let cancelled_at = match row.get::<_, Option<i64>>(first + 10)? {
        None => None,
        Some(_) => Some(decode_instant(row, first + 10)?),
    };
    Ok(TaskState {
        wait_until: decode_instant(row, first)?,
        attempts: row.get(first + 3)?,
        cleanup_attempts: row.get(first + 4)?,
        deferrals: row.get(first + 5)?,
        errors: text_column(row, first + 11)?.map_or(Ok(Vec::new()), decode_errors)?,
        result: row.get::<_, Option<JsonColumn>>(first + 13)?.map(|json| json.0),
        progress: text_column(row, first + 12)?.map(decode_progress).transpose()?,
        lease: decode_lease(row, first + 6)?,
        cancelled_at,
        done,
    })
}

/// Decodes the columns of a lease, which start at the index `first`.
fn decode_lease(row: &Row<'_>, first: usize) -> Result<Option<Lease>, SqliteError> {
    let Some(token) = row.get::<_, Option<i64>>(first)? else {
        return Ok(None);
    };
    Ok(Some(Lease {
        token: LeaseToken::from_bits(token.cast_unsigned()),
        until: decode_instant(row, first + 1)?,
        phase: if row.get::<_, i64>(first + 2)? == CLEANUP {
            Phase::Cleanup
        } else {
            Phase::Run
        },
        owner: row.get(first + 3)?,
    }))
}

fn text_column<'a>(row: &'a Row<'_>, column: usize) -> Result<Option<&'a str>, SqliteError> {
    let text = row.get_ref(column)?.as_str_or_null();
    text.map_err(|error| not_text(&error))
}

fn not_text(error: &FromSqlError) -> SqliteError {
    SqliteError::Corrupt(format!("a text column has no text: {error}"))
}

/// Adds the id of the task to the error of a damaged record.
pub(super) fn with_id(id: &str, error: SqliteError) -> SqliteError {
    match error {
        SqliteError::Corrupt(reason) => {
            SqliteError::Corrupt(format!("the record of task `{id}` is damaged: {reason}"))
        }
        other => other,
    }
}

/// Returns the value of `ending` of a task that is done.
pub(super) fn ending_code(ending: Ending) -> i64 {
    match ending {
        Ending::Completed => 1,
        Ending::Failed => 2,
        Ending::Cancelled => 3,
    }
}

fn decode_ending(code: i64) -> Result<Ending, SqliteError> {
    match code {
        1 => Ok(Ending::Completed),
        2 => Ok(Ending::Failed),
        3 => Ok(Ending::Cancelled),
        _ => Err(SqliteError::Corrupt(format!("unknown ending {code}"))),
    }
}

/// Returns the value of `lease_phase`.
pub(super) fn phase_code(phase: Phase) -> i64 {
    match phase {
        Phase::Run => 0,
        Phase::Cleanup => CLEANUP,
    }
}

/// Returns an instant as milliseconds since 1970.
pub(super) fn to_millis(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis()
}

/// Returns the instant that is given as milliseconds since 1970.
pub(super) fn from_millis(millis: i64) -> Result<DateTime<Utc>, SqliteError> {
    DateTime::from_timestamp_millis(millis)
        .ok_or_else(|| SqliteError::Corrupt(format!("{millis} ms is out of range for an instant")))
}

fn decode_instant(row: &Row<'_>, column: usize) -> Result<DateTime<Utc>, SqliteError> {
    from_millis(row.get(column)?)
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

/// Returns errors as a JSON array with one line for each error, or `None` if there are none.
pub(super) fn encode_errors(errors: &[AttemptError]) -> Option<String> {
    let encode = |error: &AttemptError| {
        to_json(&StoredError {
            at: to_millis(error.at),
            attempt: error.attempt,
            cleanup: error.cleanup,
            error: Cow::Borrowed(&error.error),
        })
    };
    let lines: Vec<_> = errors.iter().map(encode).collect();
    (!lines.is_empty()).then(|| format!("[{}]", lines.join(",\n")))
}

fn decode_errors(text: &str) -> Result<Vec<AttemptError>, SqliteError> {
    let decode = |error: StoredError<'_>| {
        Ok(AttemptError {
            at: from_millis(error.at)?,
            attempt: error.attempt,
            cleanup: error.cleanup,
            error: error.error.into_owned(),
        })
    };
    from_json::<Vec<StoredError<'_>>>(text)?
        .into_iter()
        .map(decode)
        .collect()
}

/// Returns progress as a JSON object.
pub(super) fn encode_progress(progress: &Progress) -> String {
    to_json(&StoredProgress {
        at: to_millis(progress.at),
        fraction: progress.fraction,
        message: Cow::Borrowed(&progress.message),
    })
}

fn decode_progress(text: &str) -> Result<Progress, SqliteError> {
    let stored: StoredProgress<'_> = from_json(text)?;
    Ok(Progress {
        at: from_millis(stored.at)?,
        fraction: stored.fraction,
        message: stored.message.into_owned(),
    })
}

/// Returns a part of a task as JSON.
pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("every value of these types has a JSON form")
}

fn from_json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, SqliteError> {
    serde_json::from_str(text).map_err(|error| SqliteError::Corrupt(format!("{error} in {text}")))
}
