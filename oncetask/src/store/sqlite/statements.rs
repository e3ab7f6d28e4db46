//! The prepared statements of one transaction.

use std::ptr;

use rusqlite::{CachedStatement, Connection};

/// The statements that a transaction runs once for each task. Each is taken from the connection's cache once,
/// and is returned to it at the end of the transaction.
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

    /// Returns the statement with this text.
    pub(super) fn get(&mut self, sql: &'static str) -> rusqlite::Result<&mut CachedStatement<'a>> {
        // Comparing addresses is enough: two copies of a text would only give two equal statements.
        let known = self.in_use.iter().position(|(text, _)| ptr::eq(*text, sql));
        if known.is_none() {
            self.in_use.push((sql, self.db.prepare_cached(sql)?));
        }
        let index = known.unwrap_or(self.in_use.len() - 1);
        Ok(&mut self.in_use[index].1)
    }

    /// Returns the `seq` of the row that was inserted last.
    pub(super) fn last_insert_seq(&self) -> i64 {
        self.db.last_insert_rowid()
    }
}
