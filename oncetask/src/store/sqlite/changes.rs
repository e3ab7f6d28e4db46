//! Creating tasks, and everything that becomes of them but their claims.

use chrono::{DateTime, Utc};

use super::rows::{self, Held, Stored};
use super::trouble::Trouble;
use super::tx::Tx;
use crate::store::{Action, Finish, Insert, Renewal, Renewed};
use crate::task::transition::{self, Change, LeaseLost};
use crate::task::{ResourceKey, Task, TaskId, TaskState};

/// Adds a task unless its id is taken.
pub(super) fn create(tx: &mut Tx<'_>, env: i64, task: &Task) -> Result<Insert, Trouble> {
    if insert(tx, env, task)? {
        return Ok(Insert::New);
    }
    let stored = rows::by_id(tx.db, env, task.id())?;
    let stored =
        stored.ok_or_else(|| Trouble::Corrupt(format!("the index of ids is damaged at `{}`", task.id())))?;
    Ok(Insert::Existing(Box::new(stored.task)))
}

fn insert(tx: &mut Tx<'_>, env: i64, task: &Task) -> Result<bool, Trouble> {
    let kind = tx.names.new_kind(tx.db, env, task.kind())?;
    let new = rows::insert(&mut tx.statements, env, kind, task)?;
    if new {
        changed(
            tx,
            kind,
            task.spec.held_key().map(ResourceKey::as_str),
            &task.state,
        );
    }
    Ok(new)
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

/// Ends a claim.
pub(super) fn finish(
    tx: &mut Tx<'_>,
    env: i64,
    finish: &Finish,
    now: DateTime<Utc>,
) -> Result<Result<(), LeaseLost>, Trouble> {
    let Some(mut held) = rows::held(&mut tx.statements, env, &finish.id)? else {
        return Ok(Err(LeaseLost));
    };
    let Held {
        seq,
        kind,
        key,
        state,
    } = &mut held;
    let (verdict, progress) = (finish.verdict.clone(), finish.progress.clone());
    let ended = transition::say(state, finish.token, progress)
        .and_then(|()| transition::finish(state, finish.token, verdict, finish.cleanup, now));
    if let Err(lost) = ended {
        return Ok(Err(lost));
    }
    rows::save(&mut tx.statements, *seq, state)?;
    changed(tx, *kind, key.as_deref(), state);
    if state.done.is_some() {
        tx.news.ended.push(finish.id.clone());
    }
    for task in &finish.spawn {
        // An occurrence that exists already was spawned before.
        insert(tx, env, task)?;
    }
    Ok(Ok(()))
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
    let leased = stored.task.state.lease.is_some();
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
        if leased {
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
        Action::Follow { rule, next } => transition::follow(task, rule, *next),
        Action::Delete => {
            rows::delete(tx.db, *seq)?;
            return Ok(Change::Applied);
        }
    };
    if change == Change::Applied {
        rows::save(&mut tx.statements, *seq, &task.state)?;
        if matches!(action, Action::Follow { .. }) {
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
