//! Every write to tasks except claims: creations, renewals, ends of claims, and the changes that programs
//! request.

use chrono::{DateTime, Utc};

use super::batch_sql::{self, ClaimEnd};
use super::codec::StoredTask;
use super::error::SqliteError;
use super::inserts;
use super::rows::{self, RowState};
use super::tx::Tx;
use crate::store::{Action, Finish, Insert, Renewal, Renewed};
use crate::task::transition::{self, Change, LeaseLost};
use crate::task::{ResourceKey, Task, TaskId, TaskState};

/// The number of cancelled and deleted tasks that the table `stopped` keeps for other processes.
const MAX_STOPPED_ROWS: u32 = 10_000;

/// Stores tasks unless their ids exist.
pub(super) fn create(tx: &mut Tx<'_>, env: i64, tasks: &[Task]) -> Result<Vec<Insert>, SqliteError> {
    let inserted = insert(tx, env, tasks)?;
    let inserts = tasks.iter().zip(inserted);
    inserts
        .map(|(task, inserted)| {
            if inserted {
                Ok(Insert::New)
            } else {
                existing(tx, env, task)
            }
        })
        .collect()
}

fn existing(tx: &Tx<'_>, env: i64, task: &Task) -> Result<Insert, SqliteError> {
    let stored = rows::task_by_id(tx.db, env, task.id())?;
    let stored = stored
        .ok_or_else(|| SqliteError::Corrupt(format!("the index of ids is damaged at `{}`", task.id())))?;
    Ok(Insert::Existing(Box::new(stored.task)))
}

fn insert(tx: &mut Tx<'_>, env: i64, tasks: &[Task]) -> Result<Vec<bool>, SqliteError> {
    let mut with_kinds = Vec::with_capacity(tasks.len());
    for task in tasks {
        with_kinds.push((tx.interner.intern_kind(tx.db, env, task.kind())?, task));
    }
    let inserted = inserts::insert_all(&mut tx.statements, env, &with_kinds)?;
    for ((kind, Task { spec, state }), inserted) in with_kinds.into_iter().zip(&inserted) {
        if *inserted {
            record_change(tx, kind, spec.held_key().map(ResourceKey::as_str), state);
        }
    }
    Ok(inserted)
}

/// Extends a claim and stores its progress.
pub(super) fn renew(
    tx: &mut Tx<'_>,
    env: i64,
    renewal: &Renewal,
    now: DateTime<Utc>,
) -> Result<Renewed, SqliteError> {
    let Some(mut row) = rows::state_by_id(&mut tx.statements, env, &renewal.id)? else {
        return Ok(Renewed::Gone);
    };
    let progress = renewal.progress.clone();
    if let Err(LeaseLost) = transition::renew(&mut row.state, renewal.token, renewal.until, progress, now) {
        return Ok(Renewed::Lost);
    }
    rows::save_renewal(&mut tx.statements, row.seq, &row.state)?;
    tx.mark_changed(row.kind, row.held_key.as_deref());
    Ok(match row.state.cancelled_at {
        None => Renewed::Held,
        Some(_) => Renewed::Cancelled,
    })
}

/// Ends claims, and stores the occurrences that they spawn.
pub(super) fn finish(
    tx: &mut Tx<'_>,
    env: i64,
    finishes: &[Finish],
    now: DateTime<Utc>,
) -> Result<Vec<Result<(), LeaseLost>>, SqliteError> {
    let mut outcomes = Vec::with_capacity(finishes.len());
    let mut cached = Vec::with_capacity(finishes.len());
    for finish in finishes {
        let outcome = if let Some(row) = finish_cached(tx, env, finish, now) {
            record_end(tx, finish, &row);
            let token = finish.token;
            cached.push(ClaimEnd { token, row });
            Ok(())
        } else {
            finish_stored(tx, env, finish, now)?.map(|row| record_end(tx, finish, &row))
        };
        if outcome.is_ok() {
            // An occurrence that exists is from an earlier call.
            insert(tx, env, &finish.spawn)?;
        }
        outcomes.push(outcome);
    }
    if batch_sql::save_claim_ends(&mut tx.statements, cached)? {
        Ok(outcomes)
    } else {
        Err(SqliteError::StaleCache)
    }
}

fn record_end(tx: &mut Tx<'_>, finish: &Finish, row: &RowState) {
    record_change(tx, row.kind, row.held_key.as_deref(), &row.state);
    if row.state.done.is_some() {
        tx.notifications.ended.push(finish.id.clone());
    }
}

/// Ends a cached claim in memory. Returns `None` if the row must be read: the claim is not cached, or its end
/// changes more than a [`ClaimEnd`] writes.
fn finish_cached(tx: &mut Tx<'_>, env: i64, finish: &Finish, now: DateTime<Utc>) -> Option<RowState> {
    let mut row = tx.claim_cache.take(env, &finish.id, finish.token)?;
    let before = row.state.clone();
    let fits_batch = apply_finish(&mut row.state, finish, now).is_ok() && is_plain_end(&before, &row.state);
    fits_batch.then_some(row)
}

/// Ends a claim in its row.
fn finish_stored(
    tx: &mut Tx<'_>,
    env: i64,
    finish: &Finish,
    now: DateTime<Utc>,
) -> Result<Result<RowState, LeaseLost>, SqliteError> {
    let Some(mut row) = rows::state_by_id(&mut tx.statements, env, &finish.id)? else {
        return Ok(Err(LeaseLost));
    };
    if let Err(lost) = apply_finish(&mut row.state, finish, now) {
        return Ok(Err(lost));
    }
    rows::save_state(&mut tx.statements, row.seq, &row.state)?;
    Ok(Ok(row))
}

fn apply_finish(state: &mut TaskState, finish: &Finish, now: DateTime<Utc>) -> Result<(), LeaseLost> {
    transition::set_progress(state, finish.token, finish.progress.clone())?;
    transition::finish(state, finish.token, finish.verdict.clone(), finish.cleanup, now)
}

/// Returns whether two states differ only in the columns that [`batch_sql::save_claim_ends`] writes.
fn is_plain_end(before: &TaskState, after: &TaskState) -> bool {
    let ended = TaskState {
        lease: None,
        done: after.done,
        result: after.result.clone(),
        ..before.clone()
    };
    after.done.is_some() && ended == *after
}

/// Applies an action of a program to one task.
pub(super) fn change(
    tx: &mut Tx<'_>,
    env: (i64, &str),
    id: &TaskId,
    action: &Action,
    now: DateTime<Utc>,
) -> Result<Change, SqliteError> {
    let Some(mut stored) = rows::task_by_id(tx.db, env.0, id)? else {
        return missing(tx, id);
    };
    let token = stored.task.state.lease.as_ref().map(|lease| lease.token);
    let change = apply_action(tx, &mut stored, action, now)?;
    if change != Change::Applied {
        return Ok(change);
    }
    let Task { spec, state } = &stored.task;
    record_change(tx, stored.kind, spec.held_key().map(ResourceKey::as_str), state);
    if state.done.is_some() || *action == Action::Delete {
        tx.notifications.ended.push(id.clone());
    }
    if matches!(action, Action::Cancel | Action::Delete) {
        tx.notifications.stopped.push((env.1.to_owned(), id.clone()));
        if let Some(token) = token {
            tx.claim_cache.remove(token);
            insert_stopped(tx, env.0, id)?;
        }
    }
    Ok(change)
}

/// Returns the result of a change of a task that this environment does not have.
fn missing(tx: &Tx<'_>, id: &TaskId) -> Result<Change, SqliteError> {
    Ok(if rows::exists_in_any_env(tx.db, id)? {
        Change::OtherEnvironment
    } else {
        Change::NotFound
    })
}

fn apply_action(
    tx: &mut Tx<'_>,
    stored: &mut StoredTask,
    action: &Action,
    now: DateTime<Utc>,
) -> Result<Change, SqliteError> {
    let StoredTask { seq, task, .. } = stored;
    let change = match action {
        Action::Cancel => transition::cancel(task, now),
        Action::Reset => transition::reset(task, now),
        Action::ReplaceRule { rule, next } => transition::replace_rule(task, rule, *next),
        Action::Delete => {
            rows::delete(tx.db, *seq)?;
            return Ok(Change::Applied);
        }
    };
    if change == Change::Applied {
        rows::save_state(&mut tx.statements, *seq, &task.state)?;
        if matches!(action, Action::ReplaceRule { .. }) {
            rows::save_rule(tx.db, *seq, &task.spec)?;
        }
    }
    Ok(change)
}

/// Records a change of a task for the queue entry of its key and for the subscribers.
fn record_change(tx: &mut Tx<'_>, kind: i64, key: Option<&str>, state: &TaskState) {
    tx.mark_changed(kind, key);
    // When a task with a key ends, other tasks of the key can be claimed.
    if key.is_some() || state.done.is_none() {
        tx.notifications.due.insert(kind);
    }
}

/// Adds a leased task to the table `stopped`, which the watchers of other processes read.
fn insert_stopped(tx: &Tx<'_>, env: i64, id: &TaskId) -> Result<(), SqliteError> {
    tx.db
        .prepare_cached("INSERT INTO stopped (env, id) VALUES (?1, ?2)")?
        .execute(rusqlite::params![env, id.as_str()])?;
    let oldest = tx.db.last_insert_rowid() - i64::from(MAX_STOPPED_ROWS);
    tx.db
        .prepare_cached("DELETE FROM stopped WHERE at <= ?1")?
        .execute([oldest])?;
    Ok(())
}
