//! The statements that are run for task after task.

use std::ptr;

use rusqlite::{CachedStatement, Connection};

/// Statements in use, each looked up in the connection's cache once and given back to it at the end.
pub(super) struct Statements<'a> {
    db: &'a Connection,
    in_use: Vec<(&'static str, CachedStatement<'a>)>,
}

impl<'a> Statements<'a> {
    pub(super) fn new(db: &'a Connection) -> Self {
        Self {
            db,
            in_use: Vec::new(),
        }
    }

    /// The statement of this text.
    pub(super) fn get(&mut self, sql: &'static str) -> rusqlite::Result<&mut CachedStatement<'a>> {
        // A text that lies in two places is two statements, which do the same.
        let known = self.in_use.iter().position(|(text, _)| ptr::eq(*text, sql));
        if known.is_none() {
            self.in_use.push((sql, self.db.prepare_cached(sql)?));
        }
        let place = known.unwrap_or(self.in_use.len() - 1);
        Ok(&mut self.in_use[place].1)
    }

    /// The place of the row that was inserted last.
    pub(super) fn last_insert(&self) -> i64 {
        self.db.last_insert_rowid()
    }
}
