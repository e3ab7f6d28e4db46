//! Reading and writing the row of one task.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, params};

use super::codec::{
    self, OPEN, StoredTask, encode_errors, encode_progress, ending_code, phase_code, state_columns,
    task_columns, to_json, to_millis,
};
use super::error::SqliteError;
use super::statements::Statements;
use crate::task::{Json, TaskId, TaskSpec, TaskState};

/// The part of a task's row that the end of its claim needs.
#[derive(Debug)]
pub(super) struct RowState {
    pub(super) seq: i64,
    pub(super) kind: i64,
    /// The resource key that a claim of the task holds.
    pub(super) held_key: Option<String>,
    pub(super) state: TaskState,
}

/// Reads the task with this id.
pub(super) fn task_by_id(db: &Connection, env: i64, id: &TaskId) -> Result<Option<StoredTask>, SqliteError> {
    const SQL: &str = concat!(
        "SELECT ",
        task_columns!("k.name"),
        " FROM tasks t JOIN payloads p USING (seq) JOIN kinds k ON k.kind = t.kind WHERE t.id = ?1 AND t.env = ?2"
    );
    let mut statement = db.prepare_cached(SQL)?;
    let mut rows = statement.query(params![id.as_str(), env])?;
    rows.next()?.map(codec::decode_row).transpose()
}

/// Reads the task in the row with this `seq`.
pub(super) fn task_by_seq(db: &Connection, seq: i64) -> Result<Option<StoredTask>, SqliteError> {
    const SQL: &str = concat!(
        "SELECT ",
        task_columns!("k.name"),
        " FROM tasks t JOIN payloads p USING (seq) JOIN kinds k ON k.kind = t.kind WHERE t.seq = ?1"
    );
    let mut statement = db.prepare_cached(SQL)?;
    let mut rows = statement.query([seq])?;
    rows.next()?.map(codec::decode_row).transpose()
}

/// Reads the state of the task with this id.
pub(super) fn state_by_id(
    statements: &mut Statements<'_>,
    env: i64,
    id: &TaskId,
) -> Result<Option<RowState>, SqliteError> {
    const SQL: &str = concat!(
        "SELECT t.seq, t.kind, t.held_key, ",
        state_columns!(),
        " FROM tasks t WHERE t.id = ?1 AND t.env = ?2"
    );
    let mut rows = statements.get(SQL)?.query(params![id.as_str(), env])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(RowState {
        seq: row.get(0)?,
        kind: row.get(1)?,
        held_key: row.get(2)?,
        state: codec::decode_state(row, 3).map_err(|error| codec::with_id(id.as_str(), error))?,
    }))
}

/// Returns whether any environment has a task with this id.
pub(super) fn exists_in_any_env(db: &Connection, id: &TaskId) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM tasks WHERE id = ?1")?
        .exists([id.as_str()])
}

/// Writes all of a state.
pub(super) fn save_state(
    statements: &mut Statements<'_>,
    seq: i64,
    state: &TaskState,
) -> Result<(), SqliteError> {
    const SQL: &str = "
        UPDATE tasks SET wait_until = ?2, due = iif(?9 IS NULL OR recurrence IS NOT NULL, ?3, NULL),
            ending = ?4, done_at = ?5, attempts = ?6, cleanup_attempts = ?7, deferrals = ?8, lease_token = ?9,
            lease_until = ?10, lease_phase = ?11, lease_owner = ?12, cancelled_at = ?13, errors = ?14,
            progress = ?15, result = ?16
        WHERE seq = ?1";
    let lease = state.lease.as_ref();
    statements.get(SQL)?.execute(params![
        seq,
        to_millis(state.wait_until),
        state.due().map(to_millis),
        state.done.map_or(OPEN, |done| ending_code(done.how)),
        state.done.map(|done| to_millis(done.at)),
        state.attempts,
        state.cleanup_attempts,
        state.deferrals,
        lease.map(|lease| lease.token.to_bits().cast_signed()),
        lease.map(|lease| to_millis(lease.until)),
        lease.map(|lease| phase_code(lease.phase)),
        lease.map(|lease| &*lease.owner),
        state.cancelled_at.map(to_millis),
        encode_errors(&state.errors),
        state.progress.as_ref().map(encode_progress),
        state.result.as_ref().map(Json::as_str),
    ])?;
    Ok(())
}

/// Writes the part of a state that a renewal changes.
pub(super) fn save_renewal(
    statements: &mut Statements<'_>,
    seq: i64,
    state: &TaskState,
) -> Result<(), SqliteError> {
    const SQL: &str = "
        UPDATE tasks SET due = iif(recurrence IS NULL, NULL, ?2), lease_until = ?2, progress = ?3
        WHERE seq = ?1";
    let progress = state.progress.as_ref().map(encode_progress);
    statements
        .get(SQL)?
        .execute(params![seq, state.due().map(to_millis), progress])?;
    Ok(())
}

/// Writes the rule of a generator.
pub(super) fn save_rule(db: &Connection, seq: i64, spec: &TaskSpec) -> rusqlite::Result<()> {
    let rule = spec.recurrence.as_ref().map(to_json);
    db.prepare_cached("UPDATE tasks SET recurrence = ?2 WHERE seq = ?1")?
        .execute(params![seq, rule])?;
    Ok(())
}

/// Writes the [deferral](crate::task::damaged) of a damaged record. Only SQL can tell whether the task is
/// leased, because the row cannot be decoded.
pub(super) fn save_damaged_deferral(db: &Connection, seq: i64, until: DateTime<Utc>) -> rusqlite::Result<()> {
    let sql = "
        UPDATE tasks SET due = iif(lease_until IS NULL OR recurrence IS NOT NULL, ?2, NULL), wait_until = ?2,
            lease_until = iif(lease_until IS NULL, NULL, ?2)
        WHERE seq = ?1";
    db.prepare_cached(sql)?.execute(params![seq, to_millis(until)])?;
    Ok(())
}

/// Deletes a task.
pub(super) fn delete(db: &Connection, seq: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM tasks WHERE seq = ?1")?
        .execute([seq])?;
    db.prepare_cached("DELETE FROM payloads WHERE seq = ?1")?
        .execute([seq])?;
    Ok(())
}
