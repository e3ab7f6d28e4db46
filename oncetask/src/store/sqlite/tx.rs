//! One write transaction.

use std::collections::HashSet;

use rusqlite::Connection;

use super::claim_cache::ClaimCache;
use super::error::SqliteError;
use super::interner::Interner;
use super::keys;
use super::statements::Statements;
use crate::task::TaskId;

/// A transaction that runs the operations of several callers.
pub(super) struct Tx<'a> {
    pub(super) db: &'a Connection,
    pub(super) statements: Statements<'a>,
    pub(super) interner: &'a mut Interner,
    pub(super) claim_cache: &'a mut ClaimCache,
    /// The kinds and resource keys whose queue entries are out of date.
    changed_keys: HashSet<(i64, String)>,
    pub(super) notifications: Notifications,
}

/// The events of a transaction that subscribers are notified of after its commit.
#[derive(Debug, Default)]
pub(super) struct Notifications {
    /// The kinds that may have a task that is due earlier than before.
    pub(super) due: HashSet<i64>,
    /// The environments and ids of cancelled and deleted tasks.
    pub(super) stopped: Vec<(String, TaskId)>,
    /// The tasks that the current operation ended.
    pub(super) ended: Vec<TaskId>,
}

impl<'a> Tx<'a> {
    pub(super) fn new(
        db: &'a Connection,
        interner: &'a mut Interner,
        claim_cache: &'a mut ClaimCache,
    ) -> Self {
        Self {
            db,
            statements: Statements::new(db),
            interner,
            claim_cache,
            changed_keys: HashSet::new(),
            notifications: Notifications::default(),
        }
    }

    /// Records that a task of this kind and resource key has changed.
    pub(super) fn mark_changed(&mut self, kind: i64, key: Option<&str>) {
        if let Some(key) = key {
            self.changed_keys.insert((kind, key.to_owned()));
        }
    }

    /// Updates the queue entries of the changed resource keys. This must run before every read of the queue,
    /// and before the commit.
    pub(super) fn update_keys(&mut self) -> Result<(), SqliteError> {
        for (kind, key) in self.changed_keys.drain() {
            keys::update(self.db, kind, &key)?;
        }
        Ok(())
    }

    /// Makes the last writes before the commit, and returns the notifications.
    pub(super) fn prepare_commit(mut self) -> Result<Notifications, SqliteError> {
        self.update_keys()?;
        Ok(self.notifications)
    }
}
