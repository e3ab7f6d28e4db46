//! Merging the rows of several scans into one page.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

use super::codec::{from_millis, to_millis};
use super::error::SqliteError;
use super::rows;
use super::scan::{ListPart, Scan};
use crate::store::{Cursor, Order, Page, Query};

/// The position of a task in the order of creation, and its row.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RowPosition {
    created_at: i64,
    id: String,
    seq: i64,
}

/// The first rows of a page among the scans that were added so far.
pub(super) struct PageBuilder<'a> {
    query: &'a Query,
    newest_first: bool,
    /// Sorted in the order of the page, up to [`wanted`](Self::wanted).
    found: Vec<RowPosition>,
}

impl<'a> PageBuilder<'a> {
    pub(super) fn new(query: &'a Query) -> Self {
        Self {
            query,
            newest_first: query.filter.order == Order::NewestFirst,
            found: Vec::new(),
        }
    }

    /// Returns the number of rows to find: one more than the page has, which shows whether another page
    /// follows.
    fn wanted(&self) -> usize {
        self.query.limit.saturating_add(1)
    }

    /// Returns whether all wanted rows are found.
    fn is_full(&self) -> bool {
        self.found.len() == self.wanted()
    }

    /// Sorts scans by the creation times of their first tasks, in the order of the page. Scans whose first
    /// task is not known come first. Leaves out scans that find nothing.
    pub(super) fn sort_scans(
        &self,
        db: &Connection,
        scans: Vec<Scan>,
    ) -> Result<Vec<(Option<i64>, Scan)>, SqliteError> {
        let mut sorted: Vec<(Option<i64>, Scan)> = Vec::with_capacity(scans.len());
        for scan in scans {
            let Some(part) = scan.part else {
                sorted.push((None, scan));
                continue;
            };
            if let Some(first) = self.first_created(db, part)? {
                sorted.push((Some(first), scan));
            }
        }
        sorted.sort_by_key(|(first, _)| *first);
        if self.newest_first {
            let known = sorted.partition_point(|(first, _)| first.is_none());
            sorted[known..].reverse();
        }
        Ok(sorted)
    }

    /// Returns the creation time of the first task of a part that may be on the page, in milliseconds since
    /// 1970.
    fn first_created(&self, db: &Connection, part: ListPart) -> Result<Option<i64>, SqliteError> {
        let after = self.query.after.as_ref().map(|after| to_millis(after.created_at));
        let (operator, order, from) = if self.newest_first {
            ("<=", "DESC", after.unwrap_or(i64::MAX))
        } else {
            (">=", "ASC", after.unwrap_or(i64::MIN))
        };
        let (index, condition) = part.index();
        let sql = format!(
            "SELECT created_at FROM tasks INDEXED BY {index}
             WHERE {condition} AND kind = ?1 AND ending = ?2 AND created_at {operator} ?3
             ORDER BY created_at {order} LIMIT 1"
        );
        let first = db
            .prepare_cached(&sql)?
            .query_row((part.kind, part.ending, from), |row| row.get(0));
        Ok(first.optional()?)
    }

    /// Returns whether all wanted rows are found, and a task that was created at this instant comes after
    /// them.
    pub(super) fn is_full_before(&self, created_at: i64) -> bool {
        self.is_full()
            && self.found.last().is_some_and(|last| {
                if self.newest_first {
                    created_at < last.created_at
                } else {
                    created_at > last.created_at
                }
            })
    }

    /// Adds the rows of a scan.
    pub(super) fn add(&mut self, db: &Connection, mut scan: Scan) -> Result<(), SqliteError> {
        let (operator, order) = if self.newest_first {
            ("<", "DESC")
        } else {
            (">", "ASC")
        };
        self.restrict(&mut scan);
        if let Some(Cursor { created_at, id }) = &self.query.after {
            let after = [
                Value::from(to_millis(*created_at)),
                Value::from(id.as_str().to_owned()),
            ];
            scan.and(&format!("(created_at, id) {operator} (?, ?)"), after);
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
            self.found.push(RowPosition {
                created_at: row.get(0)?,
                id: row.get(1)?,
                seq: row.get(2)?,
            });
        }
        self.sort_and_truncate();
        Ok(())
    }

    /// Adds the bounds of the creation time to a scan: those of the filter, and the last row found if no more
    /// rows are wanted. Leaves out a bound of the filter that follows from the cursor.
    fn restrict(&self, scan: &mut Scan) {
        let filter = &self.query.filter;
        let (mut from, mut before) = (filter.created_from, filter.created_before);
        if let Some(after) = self.query.after.as_ref().map(|after| after.created_at) {
            if self.newest_first {
                before = before.filter(|before| *before <= after);
            } else {
                from = from.filter(|from| after < *from);
            }
        }
        if self.is_full()
            && let Some(last) = self.found.last()
            && let Ok(last) = from_millis(last.created_at)
        {
            if self.newest_first {
                from = from.max(Some(last));
            } else {
                let end = last + chrono::TimeDelta::milliseconds(1);
                before = Some(before.map_or(end, |before| before.min(end)));
            }
        }
        scan.restrict_created(from, before);
    }

    fn sort_and_truncate(&mut self) {
        self.found.sort_unstable();
        if self.newest_first {
            self.found.reverse();
        }
        self.found.truncate(self.wanted());
    }

    /// Reads the tasks of the page.
    pub(super) fn build(self, db: &Connection) -> Result<Page, SqliteError> {
        let more = self.found.len() > self.query.limit;
        let mut tasks = Vec::with_capacity(self.found.len());
        for row in self.found.iter().take(self.query.limit) {
            tasks.extend(rows::task_by_seq(db, row.seq)?.map(|stored| stored.task));
        }
        let next = tasks.last().filter(|_| more).map(Cursor::of);
        Ok(Page { tasks, next })
    }
}
