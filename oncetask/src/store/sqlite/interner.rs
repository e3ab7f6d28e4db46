//! The numbers that stand for environments and kinds in a file.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

/// The writer's cache of these numbers.
///
/// A number never changes its meaning. So a cached number stays valid unless the transaction that assigned it
/// was rolled back.
#[derive(Debug, Default)]
pub(super) struct Interner {
    envs: HashMap<Arc<str>, i64>,
    kinds_by_env: HashMap<i64, HashMap<Arc<str>, i64>>,
    /// The names of a kind's environment and of the kind, by the kind's number.
    names_by_kind: HashMap<i64, (Arc<str>, Arc<str>)>,
}

impl Interner {
    /// Clears the cache, after a rollback.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the number of an environment, or `None` if nothing was ever stored in it.
    pub(super) fn env(&mut self, db: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
        if let Some(env) = self.envs.get(name) {
            return Ok(Some(*env));
        }
        let env = env(db, name)?;
        if let Some(env) = env {
            self.envs.insert(name.into(), env);
        }
        Ok(env)
    }

    /// Returns the number of a kind, or `None` if no task of it was ever stored in this environment.
    pub(super) fn kind(&mut self, db: &Connection, env: i64, name: &str) -> rusqlite::Result<Option<i64>> {
        if let Some(kind) = self.kinds_by_env.get(&env).and_then(|kinds| kinds.get(name)) {
            return Ok(Some(*kind));
        }
        let kind = kind(db, env, name)?;
        if let Some(kind) = kind {
            self.cache_kind(env, kind, name);
        }
        Ok(kind)
    }

    /// Returns the number of an environment. Assigns one if there is none.
    pub(super) fn intern_env(&mut self, db: &Connection, name: &str) -> rusqlite::Result<i64> {
        if let Some(env) = self.env(db, name)? {
            return Ok(env);
        }
        db.execute("INSERT INTO environments (name) VALUES (?1)", [name])?;
        let env = db.last_insert_rowid();
        self.envs.insert(name.into(), env);
        Ok(env)
    }

    /// Returns the number of a kind. Assigns one if there is none.
    pub(super) fn intern_kind(&mut self, db: &Connection, env: i64, name: &str) -> rusqlite::Result<i64> {
        if let Some(kind) = self.kind(db, env, name)? {
            return Ok(kind);
        }
        db.execute(
            "INSERT INTO kinds (env, name) VALUES (?1, ?2)",
            params![env, name],
        )?;
        let kind = db.last_insert_rowid();
        self.cache_kind(env, kind, name);
        Ok(kind)
    }

    /// Returns the name of a kind's environment and the name of the kind.
    pub(super) fn names(&mut self, db: &Connection, kind: i64) -> rusqlite::Result<(Arc<str>, Arc<str>)> {
        if let Some((env, name)) = self.names_by_kind.get(&kind) {
            return Ok((env.clone(), name.clone()));
        }
        let sql = "SELECT e.name, k.name FROM kinds k JOIN environments e USING (env) WHERE kind = ?1";
        let names = db.query_row(sql, [kind], |row| Ok((row.get(0)?, row.get(1)?)))?;
        self.names_by_kind.insert(kind, names);
        Ok(self.names_by_kind[&kind].clone())
    }

    fn cache_kind(&mut self, env: i64, kind: i64, name: &str) {
        self.kinds_by_env
            .entry(env)
            .or_default()
            .insert(name.into(), kind);
    }
}

/// Reads the number of an environment from the file.
pub(super) fn env(db: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT env FROM environments WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// Reads the number of a kind from the file.
pub(super) fn kind(db: &Connection, env: i64, name: &str) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT kind FROM kinds WHERE env = ?1 AND name = ?2")?
        .query_row(params![env, name], |row| row.get(0))
        .optional()
}

/// Reads the numbers and names of an environment's kinds, in alphabetical order. A kind stays in the list
/// when its last task is deleted.
pub(super) fn kinds(db: &Connection, env: i64) -> rusqlite::Result<Vec<(i64, String)>> {
    db.prepare_cached("SELECT kind, name FROM kinds WHERE env = ?1 ORDER BY name")?
        .query_map([env], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}
