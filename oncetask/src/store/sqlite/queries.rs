//! Reads of tasks for programs: by id, as a list, and as a count.

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use super::error::SqliteError;
use super::interner;
use super::page::PageBuilder;
use super::rows;
use super::scan;
use crate::store::{Filter, Page, Query};
use crate::task::{Task, TaskId};

/// Returns the tasks with these ids; `None` for an id that does not exist.
pub(super) fn get(db: &Connection, env: &str, ids: &[TaskId]) -> Result<Vec<Option<Task>>, SqliteError> {
    let Some(env) = interner::env(db, env)? else {
        return Ok(vec![None; ids.len()]);
    };
    let task = |id| Ok(rows::task_by_id(db, env, id)?.map(|stored| stored.task));
    ids.iter().map(task).collect()
}

/// Returns a page of tasks.
pub(super) fn page(db: &Connection, env: &str, query: &Query) -> Result<Page, SqliteError> {
    let mut page = PageBuilder::new(query);
    if let Some(env) = interner::env(db, env)? {
        let scans = scan::scans(db, env, &query.filter, query.now)?;
        // In the order of their first rows, each scan bounds the next ones, and most need not run at all.
        for (first, scan) in page.sort_scans(db, scans)? {
            if first.is_some_and(|first| page.is_full_before(first)) {
                break;
            }
            page.add(db, scan)?;
        }
    }
    page.build(db)
}

/// Returns the number of tasks that match a filter.
pub(super) fn count(
    db: &Connection,
    env: &str,
    filter: &Filter,
    now: DateTime<Utc>,
) -> Result<u64, SqliteError> {
    let mut total = 0;
    if let Some(env) = interner::env(db, env)? {
        for mut scan in scan::scans(db, env, filter, now)? {
            scan.restrict_created(filter.created_from, filter.created_before);
            total += scan.count(db)?;
        }
    }
    Ok(total)
}

/// Returns the kinds of the stored tasks in alphabetical order.
pub(super) fn kinds(db: &Connection, env: &str) -> Result<Vec<String>, SqliteError> {
    let Some(env) = interner::env(db, env)? else {
        return Ok(Vec::new());
    };
    let mut kinds = Vec::new();
    for (kind, name) in interner::kinds(db, env)? {
        let sql = "SELECT 1 WHERE EXISTS (SELECT 1 FROM tasks INDEXED BY open WHERE ending = 0 AND kind = ?1)
            OR EXISTS (SELECT 1 FROM tasks INDEXED BY done WHERE ending <> 0 AND kind = ?1)";
        if db.prepare_cached(sql)?.exists([kind])? {
            kinds.push(name);
        }
    }
    Ok(kinds)
}
