//! One transaction: what it may use, and what it leaves to be told after its commit.

use std::collections::HashSet;

use rusqlite::Connection;

use super::claimed::ClaimCache;
use super::keys;
use super::names::Names;
use super::statements::Statements;
use super::trouble::Trouble;
use crate::task::TaskId;

/// A transaction that several callers' jobs share.
pub(super) struct Tx<'a> {
    pub(super) db: &'a Connection,
    pub(super) statements: Statements<'a>,
    pub(super) names: &'a mut Names,
    pub(super) claimed: &'a mut ClaimCache,
    /// Resource keys whose place in the queue has to be found again.
    moved: HashSet<(i64, String)>,
    pub(super) news: News,
}

/// What those who wait demand to hear of a transaction.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Kinds of which a task may be due earlier than was known.
    pub(super) due: HashSet<i64>,
    /// Tasks that are to be stopped if they run, with their environment.
    pub(super) stopped: Vec<(String, TaskId)>,
    /// Tasks that the job at hand ended.
    pub(super) ended: Vec<TaskId>,
}

impl<'a> Tx<'a> {
    pub(super) fn new(db: &'a Connection, names: &'a mut Names, claimed: &'a mut ClaimCache) -> Self {
        Self {
            db,
            statements: Statements::new(db),
            names,
            claimed,
            moved: HashSet::new(),
            news: News::default(),
        }
    }

    /// A task of this kind, and of this resource key if it has one, has changed.
    pub(super) fn moved(&mut self, kind: i64, key: Option<&str>) {
        if let Some(key) = key {
            self.moved.insert((kind, key.to_owned()));
        }
    }

    /// Puts the resource keys where they belong: before anybody looks for them, and before the commit.
    pub(super) fn place_keys(&mut self) -> Result<(), Trouble> {
        for (kind, key) in self.moved.drain() {
            keys::place(self.db, kind, &key)?;
        }
        Ok(())
    }

    /// Ends the work on it; what is left is its commit.
    pub(super) fn end(mut self) -> Result<News, Trouble> {
        self.place_keys()?;
        Ok(self.news)
    }
}
