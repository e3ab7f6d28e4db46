//! Creating tasks, and everything that becomes of them but their claims.

use chrono::{DateTime, Utc};

use super::inserts;
use super::rows::{self, Held, Stored};
use super::together::{self, End};
use super::trouble::Trouble;
use super::tx::Tx;
use crate::store::{Action, Finish, Insert, Renewal, Renewed};
use crate::task::transition::{self, Change, LeaseLost};
use crate::task::{ResourceKey, Task, TaskId, TaskState};

/// Adds tasks unless their ids are taken.
pub(super) fn create(tx: &mut Tx<'_>, env: i64, tasks: &[Task]) -> Result<Vec<Insert>, Trouble> {
    let added = insert(tx, env, tasks)?;
    let inserts = tasks.iter().zip(added);
    inserts
        .map(|(task, added)| {
            if added {
                Ok(Insert::New)
            } else {
                existing(tx, env, task)
            }
        })
        .collect()
}

fn existing(tx: &Tx<'_>, env: i64, task: &Task) -> Result<Insert, Trouble> {
    let stored = rows::by_id(tx.db, env, task.id())?;
    let stored =
        stored.ok_or_else(|| Trouble::Corrupt(format!("the index of ids is damaged at `{}`", task.id())))?;
    Ok(Insert::Existing(Box::new(stored.task)))
}

fn insert(tx: &mut Tx<'_>, env: i64, tasks: &[Task]) -> Result<Vec<bool>, Trouble> {
    let mut of_kinds = Vec::with_capacity(tasks.len());
    for task in tasks {
        of_kinds.push((tx.names.new_kind(tx.db, env, task.kind())?, task));
    }
    let added = inserts::insert_all(&mut tx.statements, env, &of_kinds)?;
    for ((kind, Task { spec, state }), added) in of_kinds.into_iter().zip(&added) {
        if *added {
            changed(tx, kind, spec.held_key().map(ResourceKey::as_str), state);
        }
    }
    Ok(added)
}

/// Extends a claim.
pub(super) fn renew(
    tx: &mut Tx<'_>,
    env: i64,
    renewal: &Renewal,
    now: DateTime<Utc>,
) -> Result<Renewed, Trouble> {
    let Some(mut held) = rows::held(&mut tx.statements, env, &renewal.id)? else {
        return Ok(Renewed::Gone);
    };
    let progress = renewal.progress.clone();
    if let Err(LeaseLost) = transition::renew(&mut held.state, renewal.token, renewal.until, progress, now) {
        return Ok(Renewed::Lost);
    }
    rows::save_renewal(&mut tx.statements, held.seq, &held.state)?;
    tx.moved(held.kind, held.key.as_deref());
    Ok(match held.state.cancelled_at {
        None => Renewed::Held,
        Some(_) => Renewed::Cancelled,
    })
}

/// Ends claims.
pub(super) fn finish(
    tx: &mut Tx<'_>,
    env: i64,
    finishes: &[Finish],
    now: DateTime<Utc>,
) -> Result<Vec<Result<(), LeaseLost>>, Trouble> {
    let mut outcomes = Vec::with_capacity(finishes.len());
    let mut remembered = Vec::with_capacity(finishes.len());
    for finish in finishes {
        let outcome = if let Some(held) = as_remembered(tx, env, finish, now) {
            ended(tx, finish, &held);
            let token = finish.token;
            remembered.push(End { token, held });
            Ok(())
        } else {
            finish_stored(tx, env, finish, now)?.map(|held| ended(tx, finish, &held))
        };
        if outcome.is_ok() {
            // An occurrence that exists already was spawned before.
            insert(tx, env, &finish.spawn)?;
        }
        outcomes.push(outcome);
    }
    if together::save_ends(&mut tx.statements, remembered)? {
        Ok(outcomes)
    } else {
        Err(Trouble::Outdated)
    }
}

fn ended(tx: &mut Tx<'_>, finish: &Finish, held: &Held) {
    changed(tx, held.kind, held.key.as_deref(), &held.state);
    if held.state.done.is_some() {
        tx.news.ended.push(finish.id.clone());
    }
}

/// What a claim's end makes of the task if it was taken here and nothing but its end is to be written. `None` if it
/// is to be read first.
fn as_remembered(tx: &mut Tx<'_>, env: i64, finish: &Finish, now: DateTime<Utc>) -> Option<Held> {
    let mut held = tx.claimed.take(env, &finish.id, finish.token)?;
    let before = held.state.clone();
    let ends = end(&mut held.state, finish, now).is_ok() && only_ended(&before, &held.state);
    ends.then_some(held)
}

/// Ends a claim by what is stored.
fn finish_stored(
    tx: &mut Tx<'_>,
    env: i64,
    finish: &Finish,
    now: DateTime<Utc>,
) -> Result<Result<Held, LeaseLost>, Trouble> {
    let Some(mut held) = rows::held(&mut tx.statements, env, &finish.id)? else {
        return Ok(Err(LeaseLost));
    };
    if let Err(lost) = end(&mut held.state, finish, now) {
        return Ok(Err(lost));
    }
    rows::save(&mut tx.statements, held.seq, &held.state)?;
    Ok(Ok(held))
}

fn end(state: &mut TaskState, finish: &Finish, now: DateTime<Utc>) -> Result<(), LeaseLost> {
    transition::set_progress(state, finish.token, finish.progress.clone())?;
    transition::finish(state, finish.token, finish.verdict.clone(), finish.cleanup, now)
}

/// Whether a state differs from the one before in nothing but what [`together::save_ends`] writes.
fn only_ended(before: &TaskState, after: &TaskState) -> bool {
    let ended = TaskState {
        lease: None,
        done: after.done,
        result: after.result.clone(),
        ..before.clone()
    };
    after.done.is_some() && ended == *after
}

/// Does what is asked for from outside.
pub(super) fn change(
    tx: &mut Tx<'_>,
    env: (i64, &str),
    id: &TaskId,
    action: &Action,
    now: DateTime<Utc>,
) -> Result<Change, Trouble> {
    let Some(mut stored) = rows::by_id(tx.db, env.0, id)? else {
        return missing(tx, id);
    };
    let lease = stored.task.state.lease.as_ref().map(|lease| lease.token);
    let change = apply(tx, &mut stored, action, now)?;
    if change != Change::Applied {
        return Ok(change);
    }
    let Task { spec, state } = &stored.task;
    changed(tx, stored.kind, spec.held_key().map(ResourceKey::as_str), state);
    if state.done.is_some() || *action == Action::Delete {
        tx.news.ended.push(id.clone());
    }
    if matches!(action, Action::Cancel | Action::Delete) {
        tx.news.stopped.push((env.1.to_owned(), id.clone()));
        if let Some(token) = lease {
            tx.claimed.forget(token);
            note_stopped(tx, env.0, id)?;
        }
    }
    Ok(change)
}

/// What is said of an id that this environment does not have.
fn missing(tx: &Tx<'_>, id: &TaskId) -> Result<Change, Trouble> {
    let elsewhere = rows::anywhere(tx.db, id)?;
    Ok(if elsewhere {
        Change::OtherEnvironment
    } else {
        Change::NotFound
    })
}

fn apply(
    tx: &mut Tx<'_>,
    stored: &mut Stored,
    action: &Action,
    now: DateTime<Utc>,
) -> Result<Change, Trouble> {
    let Stored { seq, task, .. } = stored;
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
        rows::save(&mut tx.statements, *seq, &task.state)?;
        if matches!(action, Action::ReplaceRule { .. }) {
            rows::save_rule(tx.db, *seq, &task.spec)?;
        }
    }
    Ok(change)
}

/// A task is not where it was in the queue.
fn changed(tx: &mut Tx<'_>, kind: i64, key: Option<&str>, state: &TaskState) {
    tx.moved(kind, key);
    // The end of a task that has a key frees others.
    if key.is_some() || state.done.is_none() {
        tx.news.due.insert(kind);
    }
}

/// How many tasks that were to be stopped the file remembers, for processes that look now and then.
const STOPPED: u32 = 10_000;

fn note_stopped(tx: &Tx<'_>, env: i64, id: &TaskId) -> Result<(), Trouble> {
    tx.db
        .prepare_cached("INSERT INTO stopped (env, id) VALUES (?1, ?2)")?
        .execute(rusqlite::params![env, id.as_str()])?;
    let oldest = tx.db.last_insert_rowid() - i64::from(STOPPED);
    tx.db
        .prepare_cached("DELETE FROM stopped WHERE at <= ?1")?
        .execute([oldest])?;
    Ok(())
}
