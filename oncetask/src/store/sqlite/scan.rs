//! Index scans that find the tasks that match a filter.

use chrono::{DateTime, Utc};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::codec::{OPEN, ending_code, to_millis};
use super::error::SqliteError;
use super::interner;
use crate::store::Filter;
use crate::task::{Ending, Status};

/// A scan of one index, with conditions. The index is in the order of creation, or has few rows to sort.
#[derive(Clone)]
pub(super) struct Scan {
    pub(super) index: &'static str,
    pub(super) conditions: String,
    pub(super) values: Vec<Value>,
    /// Set if the scan is of all tasks of a kind with an ending, in the order of creation.
    pub(super) part: Option<ListPart>,
}

/// The tasks of a kind with the same `ending`. They are adjacent in an index, in the order of creation.
#[derive(Clone, Copy)]
pub(super) struct ListPart {
    pub(super) kind: i64,
    pub(super) ending: i64,
}

impl ListPart {
    /// Returns the index that has this part, and the condition of the index.
    pub(super) fn index(self) -> (&'static str, &'static str) {
        list_index(self.ending)
    }
}

impl Scan {
    fn new(index: &'static str, condition: &str) -> Self {
        Self {
            index,
            conditions: condition.to_owned(),
            values: Vec::new(),
            part: None,
        }
    }

    /// Adds a condition. Each `?` in it stands for the next of the values.
    pub(super) fn and<V: Into<Value>>(&mut self, condition: &str, values: impl IntoIterator<Item = V>) {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
        self.values.extend(values.into_iter().map(Into::into));
    }

    /// Adds bounds of the creation time: at `from` or later, and earlier than `before`.
    pub(super) fn restrict_created(&mut self, from: Option<DateTime<Utc>>, before: Option<DateTime<Utc>>) {
        if let Some(from) = from {
            self.and("created_at >= ?", [to_millis(from)]);
        }
        if let Some(before) = before {
            self.and("created_at < ?", [to_millis(before)]);
        }
    }

    fn restrict_done(&mut self, filter: &Filter) {
        if let Some(from) = filter.done_from {
            self.and("done_at >= ?", [to_millis(from)]);
        }
        if let Some(before) = filter.done_before {
            self.and("done_at < ?", [to_millis(before)]);
        }
    }

    /// Adds the conditions of a status. They are [`Status::of`] in SQL.
    fn restrict_status(&mut self, status: Status, now: DateTime<Utc>) {
        const FREE: &str =
            "ending = 0 AND cancelled_at IS NULL AND (lease_until IS NULL OR lease_until <= ?)";
        let now = to_millis(now);
        match status {
            Status::Completed => self.and("ending = ?", [ending_code(Ending::Completed)]),
            Status::Failed => self.and("ending = ?", [ending_code(Ending::Failed)]),
            Status::Cancelled => self.and("ending = ?", [ending_code(Ending::Cancelled)]),
            Status::CancellationPending => self.and("ending = ? AND cancelled_at IS NOT NULL", [OPEN]),
            Status::Leased => self.and("ending = 0 AND cancelled_at IS NULL AND lease_until > ?", [now]),
            Status::Waiting => self.and(&format!("{FREE} AND wait_until > ?"), [now, now]),
            Status::Pending => self.and(&format!("{FREE} AND wait_until <= ?"), [now, now]),
        }
    }

    /// Returns the number of tasks that the scan finds.
    pub(super) fn count(&self, db: &Connection) -> Result<u64, SqliteError> {
        let Self {
            index, conditions, ..
        } = self;
        let sql = format!("SELECT count(*) FROM tasks INDEXED BY {index} WHERE {conditions}");
        let mut statement = db.prepare_cached(&sql)?;
        let count: i64 = statement.query_row(params_from_iter(&self.values), |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }
}

/// Returns scans that together find every task that matches a filter, each task once. They ignore the
/// filter's bounds of the creation time.
pub(super) fn scans(
    db: &Connection,
    env: i64,
    filter: &Filter,
    now: DateTime<Utc>,
) -> Result<Vec<Scan>, SqliteError> {
    let kinds = match &filter.kind {
        Some(name) => interner::kind(db, env, name)?.into_iter().collect(),
        None => interner::kinds(db, env)?
            .into_iter()
            .map(|(kind, _)| kind)
            .collect(),
    };
    let mut scans = base_scans(env, filter, kinds);
    for scan in &mut scans {
        scan.restrict_done(filter);
        if let Some(status) = filter.status {
            scan.restrict_status(status, now);
        }
    }
    Ok(scans)
}

/// Returns the scans without the conditions on the state.
fn base_scans(env: i64, filter: &Filter, kinds: Vec<i64>) -> Vec<Scan> {
    if filter.resource_key.is_some() || filter.generator.is_some() {
        return vec![scan_of_key_or_generator(env, filter, &kinds)];
    }
    let sources = IndexPart::of(filter);
    kinds
        .into_iter()
        .flat_map(|kind| sources.iter().map(move |source| source.scan(kind)))
        .collect()
}

/// Returns the scan of the tasks of a resource key or a generator.
fn scan_of_key_or_generator(env: i64, filter: &Filter, kinds: &[i64]) -> Scan {
    let mut scan = if filter.resource_key.is_some() {
        Scan::new("list_by_key", "resource_key IS NOT NULL")
    } else {
        Scan::new("list_by_generator", "generator IS NOT NULL")
    };
    scan.and("env = ?", [env]);
    if let Some(key) = &filter.resource_key {
        scan.and("resource_key = ?", [key.as_str().to_owned()]);
    }
    if let Some(generator) = &filter.generator {
        scan.and("generator = ?", [generator.as_str().to_owned()]);
    }
    if filter.kind.is_some() {
        // A kind that was never stored has no number, and no task has the number -1.
        scan.and("kind = ?", [kinds.first().copied().unwrap_or(-1)]);
    }
    scan
}

/// Returns the index that has a kind's tasks with this `ending` in the order of creation, and the condition
/// of that index. From the condition SQLite knows the value of `ending`, so it need not read the rows of
/// `open`.
fn list_index(ending: i64) -> (&'static str, &'static str) {
    if ending == OPEN {
        ("open", "ending = 0")
    } else {
        ("done", "ending <> 0")
    }
}

/// A part of each kind's tasks, whose entries are adjacent in an index.
struct IndexPart {
    index: &'static str,
    condition: &'static str,
    /// The common `ending` of the tasks, if the index is in the order of creation.
    ending: Option<i64>,
}

impl IndexPart {
    /// Returns the parts that together have all tasks that match a filter.
    fn of(filter: &Filter) -> Vec<Self> {
        match filter.status {
            None if filter.done_from.is_some() || filter.done_before.is_some() => {
                vec![Self::list(1), Self::list(2), Self::list(3)]
            }
            None => vec![Self::list(OPEN), Self::list(1), Self::list(2), Self::list(3)],
            Some(Status::Completed) => vec![Self::list(ending_code(Ending::Completed))],
            Some(Status::Failed) => vec![Self::list(ending_code(Ending::Failed))],
            Some(Status::Cancelled) => vec![Self::list(ending_code(Ending::Cancelled))],
            Some(Status::Pending | Status::Waiting) => vec![Self::list(OPEN)],
            Some(Status::Leased) => vec![Self {
                index: "leased",
                condition: "lease_until IS NOT NULL",
                ending: None,
            }],
            Some(Status::CancellationPending) => vec![Self {
                index: "cancelling",
                condition: "ending = 0 AND cancelled_at IS NOT NULL",
                ending: None,
            }],
        }
    }

    fn list(ending: i64) -> Self {
        let (index, condition) = list_index(ending);
        Self {
            index,
            condition,
            ending: Some(ending),
        }
    }

    /// Returns the scan of this part of one kind.
    fn scan(&self, kind: i64) -> Scan {
        let mut scan = Scan::new(self.index, self.condition);
        scan.and("kind = ?", [kind]);
        scan.part = self.ending.map(|ending| ListPart { kind, ending });
        if let Some(ending) = self.ending.filter(|ending| *ending != OPEN) {
            scan.and("ending = ?", [ending]);
        }
        scan
    }
}
