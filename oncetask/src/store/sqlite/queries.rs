//! Looking at tasks without changing them.

use chrono::{DateTime, Utc};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

use super::names;
use super::rows::{self, OPEN, ending};
use super::trouble::Trouble;
use crate::store::{Cursor, Filter, Order, Page, Query};
use crate::task::{Ending, Status, Task, TaskId};

/// The tasks with these ids.
pub(super) fn get(db: &Connection, env: &str, ids: &[TaskId]) -> Result<Vec<Option<Task>>, Trouble> {
    let Some(env) = names::env(db, env)? else {
        return Ok(vec![None; ids.len()]);
    };
    let task = |id| Ok(rows::by_id(db, env, id)?.map(|stored| stored.task));
    ids.iter().map(task).collect()
}

/// A page of tasks.
pub(super) fn page(db: &Connection, env: &str, query: &Query) -> Result<Page, Trouble> {
    let mut places = Places::new(query);
    if let Some(env) = names::env(db, env)? {
        // The most promising first: what they find ends the others early, most of them before they begin.
        for (first, scan) in places.in_order(db, scans(db, env, &query.filter, query.now)?)? {
            if first.is_some_and(|first| places.are_better_than(first)) {
                break;
            }
            places.look_through(db, scan)?;
        }
    }
    places.page(db)
}

/// How many tasks there are.
pub(super) fn count(db: &Connection, env: &str, filter: &Filter, now: DateTime<Utc>) -> Result<u64, Trouble> {
    let mut total = 0;
    if let Some(env) = names::env(db, env)? {
        for mut scan in scans(db, env, filter, now)? {
            scan.created(filter);
            total += scan.count(db)?;
        }
    }
    Ok(total)
}

/// The kinds of the tasks that are stored, in alphabetical order.
pub(super) fn kinds(db: &Connection, env: &str) -> Result<Vec<String>, Trouble> {
    let Some(env) = names::env(db, env)? else {
        return Ok(Vec::new());
    };
    let mut kinds = Vec::new();
    for (kind, name) in names::kinds(db, env)? {
        let sql = "SELECT 1 WHERE EXISTS (SELECT 1 FROM tasks INDEXED BY open WHERE ending = 0 AND kind = ?1)
            OR EXISTS (SELECT 1 FROM tasks INDEXED BY done WHERE ending <> 0 AND kind = ?1)";
        if db.prepare_cached(sql)?.exists([kind])? {
            kinds.push(name);
        }
    }
    Ok(kinds)
}

/// A walk along one index, on which everything is in the order of creation or little is left to sort.
#[derive(Clone)]
struct Scan {
    index: &'static str,
    conditions: String,
    values: Vec<Value>,
    /// The kind and the ending, if it is all of these in the order of creation.
    part: Option<(i64, i64)>,
}

impl Scan {
    fn along(index: &'static str, condition: &str) -> Self {
        Self {
            index,
            conditions: condition.to_owned(),
            values: Vec::new(),
            part: None,
        }
    }

    /// Adds a condition; each `?` in it is the next of the values.
    fn and<V: Into<Value>>(&mut self, condition: &str, values: impl IntoIterator<Item = V>) {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
        self.values.extend(values.into_iter().map(Into::into));
    }

    fn created(&mut self, filter: &Filter) {
        if let Some(from) = filter.created_from {
            self.and("created_at >= ?", [rows::millis(from)]);
        }
        if let Some(before) = filter.created_before {
            self.and("created_at < ?", [rows::millis(before)]);
        }
    }

    fn count(&self, db: &Connection) -> Result<u64, Trouble> {
        let Self {
            index, conditions, ..
        } = self;
        let sql = format!("SELECT count(*) FROM tasks INDEXED BY {index} WHERE {conditions}");
        let mut statement = db.prepare_cached(&sql)?;
        let count: i64 = statement.query_row(params_from_iter(&self.values), |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }
}

/// The walks that together find every task that a filter lets through, each once.
fn scans(db: &Connection, env: i64, filter: &Filter, now: DateTime<Utc>) -> Result<Vec<Scan>, Trouble> {
    let kinds = match &filter.kind {
        Some(name) => names::kind(db, env, name)?.into_iter().collect(),
        None => names::kinds(db, env)?.into_iter().map(|(kind, _)| kind).collect(),
    };
    let mut scans = starts(env, filter, kinds);
    for scan in &mut scans {
        if let Some(from) = filter.done_from {
            scan.and("done_at >= ?", [rows::millis(from)]);
        }
        if let Some(before) = filter.done_before {
            scan.and("done_at < ?", [rows::millis(before)]);
        }
        if let Some(status) = filter.status {
            of_status(scan, status, rows::millis(now));
        }
    }
    Ok(scans)
}

fn starts(env: i64, filter: &Filter, kinds: Vec<i64>) -> Vec<Scan> {
    if filter.resource_key.is_some() || filter.generator.is_some() {
        return vec![of_owner(env, filter, &kinds)];
    }
    let scan = |kind: i64, class: &Class| {
        let mut scan = Scan::along(class.index, class.condition);
        scan.and("kind = ?", [kind]);
        scan.part = class.ending.map(|ending| (kind, ending));
        if let Some(ending) = class.ending.filter(|ending| *ending != OPEN) {
            scan.and("ending = ?", [ending]);
        }
        scan
    };
    let classes = Class::of(filter);
    kinds
        .into_iter()
        .flat_map(|kind| classes.iter().map(move |class| scan(kind, class)))
        .collect()
}

/// The tasks of a resource key or a generator.
fn of_owner(env: i64, filter: &Filter, kinds: &[i64]) -> Scan {
    let mut scan = if filter.resource_key.is_some() {
        Scan::along("list_by_key", "resource_key IS NOT NULL")
    } else {
        Scan::along("list_by_generator", "generator IS NOT NULL")
    };
    scan.and("env = ?", [env]);
    if let Some(key) = &filter.resource_key {
        scan.and("resource_key = ?", [key.as_str().to_owned()]);
    }
    if let Some(generator) = &filter.generator {
        scan.and("generator = ?", [generator.as_str().to_owned()]);
    }
    if filter.kind.is_some() {
        // A kind that was never stored has no number.
        scan.and("kind = ?", [kinds.first().copied().unwrap_or(-1)]);
    }
    scan
}

/// The index that has a kind's tasks with this ending in the order of creation, and the condition of what is in it.
/// SQLite takes that condition for what `ending` is, so it need not look at the rows of `open`.
fn list(ending: i64) -> (&'static str, &'static str) {
    if ending == OPEN {
        ("open", "ending = 0")
    } else {
        ("done", "ending <> 0")
    }
}

/// A part of a kind's tasks that lies together in an index.
struct Class {
    index: &'static str,
    condition: &'static str,
    ending: Option<i64>,
}

impl Class {
    fn of(filter: &Filter) -> Vec<Self> {
        let part = |ending| {
            let (index, condition) = list(ending);
            Self {
                index,
                condition,
                ending: Some(ending),
            }
        };
        match filter.status {
            None if filter.done_from.is_some() || filter.done_before.is_some() => {
                vec![part(1), part(2), part(3)]
            }
            None => vec![part(OPEN), part(1), part(2), part(3)],
            Some(Status::Completed) => vec![part(ending(Ending::Completed))],
            Some(Status::Failed) => vec![part(ending(Ending::Failed))],
            Some(Status::Cancelled) => vec![part(ending(Ending::Cancelled))],
            Some(Status::Pending | Status::Waiting) => vec![part(OPEN)],
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
}

/// `Status::of`, as SQL.
fn of_status(scan: &mut Scan, status: Status, now: i64) {
    const FREE: &str = "ending = 0 AND cancelled_at IS NULL AND (lease_until IS NULL OR lease_until <= ?)";
    match status {
        Status::Completed => scan.and("ending = ?", [ending(Ending::Completed)]),
        Status::Failed => scan.and("ending = ?", [ending(Ending::Failed)]),
        Status::Cancelled => scan.and("ending = ?", [ending(Ending::Cancelled)]),
        Status::CancellationPending => scan.and("ending = ? AND cancelled_at IS NOT NULL", [OPEN]),
        Status::Leased => scan.and("ending = 0 AND cancelled_at IS NULL AND lease_until > ?", [now]),
        Status::Waiting => scan.and(&format!("{FREE} AND wait_until > ?"), [now, now]),
        Status::Pending => scan.and(&format!("{FREE} AND wait_until <= ?"), [now, now]),
    }
}

/// A task's place in the list, and where it lies.
type Place = (i64, String, i64);

/// The best places that were found so far, one more than the page holds.
struct Places<'a> {
    query: &'a Query,
    newest_first: bool,
    found: Vec<Place>,
}

impl<'a> Places<'a> {
    fn new(query: &'a Query) -> Self {
        Self {
            query,
            newest_first: query.filter.order == Order::NewestFirst,
            found: Vec::new(),
        }
    }

    /// As many as tell whether there is another page.
    fn wanted(&self) -> usize {
        self.query.limit.saturating_add(1)
    }

    /// The walks that may find something, and when the first task was created that they may find: those that begin
    /// the page first, and before them those of which that is not known.
    fn in_order(&self, db: &Connection, scans: Vec<Scan>) -> Result<Vec<(Option<i64>, Scan)>, Trouble> {
        let after = self
            .query
            .after
            .as_ref()
            .map(|after| rows::millis(after.created_at));
        let (behind, order, from) = if self.newest_first {
            ("<=", "DESC", after.unwrap_or(i64::MAX))
        } else {
            (">=", "ASC", after.unwrap_or(i64::MIN))
        };
        let mut ordered: Vec<(Option<i64>, Scan)> = Vec::with_capacity(scans.len());
        for scan in scans {
            let Some((kind, ending)) = scan.part else {
                ordered.push((None, scan));
                continue;
            };
            let (index, condition) = list(ending);
            let sql = format!(
                "SELECT created_at FROM tasks INDEXED BY {index}
                 WHERE {condition} AND kind = ?1 AND ending = ?2 AND created_at {behind} ?3
                 ORDER BY created_at {order} LIMIT 1"
            );
            let first = db
                .prepare_cached(&sql)?
                .query_row((kind, ending, from), |row| row.get(0));
            if let Some(first) = first.optional()? {
                ordered.push((Some(first), scan));
            }
        }
        ordered.sort_by_key(|(first, _)| *first);
        if self.newest_first {
            let known = ordered.partition_point(|(first, _)| first.is_none());
            ordered[known..].reverse();
        }
        Ok(ordered)
    }

    /// Whether no task that was created at this instant, or comes after it in the order, has a place on the page.
    fn are_better_than(&self, created_at: i64) -> bool {
        let worst = self.found.last().filter(|_| self.found.len() == self.wanted());
        worst.is_some_and(|(worst, ..)| {
            if self.newest_first {
                created_at < *worst
            } else {
                created_at > *worst
            }
        })
    }

    fn look_through(&mut self, db: &Connection, mut scan: Scan) -> Result<(), Trouble> {
        let (behind, order) = if self.newest_first {
            ("<", "DESC")
        } else {
            (">", "ASC")
        };
        scan.created(&self.bounds());
        if let Some(Cursor { created_at, id }) = &self.query.after {
            let after = [
                Value::from(rows::millis(*created_at)),
                Value::from(id.as_str().to_owned()),
            ];
            scan.and(&format!("(created_at, id) {behind} (?, ?)"), after);
        }
        let Scan {
            index,
            conditions,
            mut values,
            ..
        } = scan;
        let sql = format!(
            "SELECT created_at, id, seq FROM tasks INDEXED BY {index} WHERE {conditions}
             ORDER BY created_at {order}, id {order} LIMIT ?"
        );
        values.push(i64::try_from(self.wanted()).unwrap_or(i64::MAX).into());
        let mut statement = db.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(&values))?;
        while let Some(row) = rows.next()? {
            self.found.push((row.get(0)?, row.get(1)?, row.get(2)?));
        }
        self.keep_the_best();
        Ok(())
    }

    /// The filter's bounds, but for the one that the cursor is beyond, and not beyond the worst place that
    /// is good enough: a walk goes no further than it must.
    fn bounds(&self) -> Filter {
        let filter = &self.query.filter;
        let (mut from, mut before) = (filter.created_from, filter.created_before);
        if let Some(after) = self.query.after.as_ref().map(|after| after.created_at) {
            if self.newest_first {
                before = before.filter(|before| *before <= after);
            } else {
                from = from.filter(|from| after < *from);
            }
        }
        if self.found.len() == self.wanted()
            && let Some(worst) = self.found.last().and_then(|place| rows::at_millis(place.0).ok())
        {
            if self.newest_first {
                from = from.max(Some(worst));
            } else {
                let end = worst + chrono::TimeDelta::milliseconds(1);
                before = Some(before.map_or(end, |before| before.min(end)));
            }
        }
        Filter::new().created(from, before)
    }

    fn keep_the_best(&mut self) {
        self.found.sort_unstable();
        if self.newest_first {
            self.found.reverse();
        }
        self.found.truncate(self.wanted());
    }

    fn page(self, db: &Connection) -> Result<Page, Trouble> {
        let more = self.found.len() > self.query.limit;
        let mut tasks = Vec::with_capacity(self.found.len());
        for (_, _, seq) in self.found.iter().take(self.query.limit) {
            tasks.extend(rows::by_seq(db, *seq)?.map(|stored| stored.task));
        }
        let next = tasks.last().filter(|_| more).map(Cursor::of);
        Ok(Page { tasks, next })
    }
}
