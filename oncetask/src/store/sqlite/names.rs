//! The numbers that stand for environments and kinds in a file.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

/// What the writer has looked up. A number never changes its meaning, so what is known stays true, unless
/// it was learnt in a transaction that was rolled back.
#[derive(Debug, Default)]
pub(super) struct Names {
    envs: HashMap<Arc<str>, i64>,
    kinds: HashMap<i64, HashMap<Arc<str>, i64>>,
    of_kinds: HashMap<i64, (Arc<str>, Arc<str>)>,
}

impl Names {
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The number of an environment, if anything was ever stored in it.
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

    /// The number of a kind, if such a task was ever stored.
    pub(super) fn kind(&mut self, db: &Connection, env: i64, name: &str) -> rusqlite::Result<Option<i64>> {
        if let Some(kind) = self.kinds.get(&env).and_then(|kinds| kinds.get(name)) {
            return Ok(Some(*kind));
        }
        let kind = kind(db, env, name)?;
        if let Some(kind) = kind {
            self.learn(env, kind, name);
        }
        Ok(kind)
    }

    /// The number of an environment, which gets one if it has none.
    pub(super) fn new_env(&mut self, db: &Connection, name: &str) -> rusqlite::Result<i64> {
        if let Some(env) = self.env(db, name)? {
            return Ok(env);
        }
        db.execute("INSERT INTO environments (name) VALUES (?1)", [name])?;
        let env = db.last_insert_rowid();
        self.envs.insert(name.into(), env);
        Ok(env)
    }

    /// The number of a kind, which gets one if it has none.
    pub(super) fn new_kind(&mut self, db: &Connection, env: i64, name: &str) -> rusqlite::Result<i64> {
        if let Some(kind) = self.kind(db, env, name)? {
            return Ok(kind);
        }
        db.execute(
            "INSERT INTO kinds (env, name) VALUES (?1, ?2)",
            params![env, name],
        )?;
        let kind = db.last_insert_rowid();
        self.learn(env, kind, name);
        Ok(kind)
    }

    /// The names of a kind and its environment.
    pub(super) fn of_kind(&mut self, db: &Connection, kind: i64) -> rusqlite::Result<(Arc<str>, Arc<str>)> {
        if let Some((env, name)) = self.of_kinds.get(&kind) {
            return Ok((env.clone(), name.clone()));
        }
        let sql = "SELECT e.name, k.name FROM kinds k JOIN environments e USING (env) WHERE kind = ?1";
        let names = db.query_row(sql, [kind], |row| Ok((row.get(0)?, row.get(1)?)))?;
        self.of_kinds.insert(kind, names);
        Ok(self.of_kinds[&kind].clone())
    }

    fn learn(&mut self, env: i64, kind: i64, name: &str) {
        self.kinds.entry(env).or_default().insert(name.into(), kind);
    }
}

/// The number of an environment, as the file has it.
pub(super) fn env(db: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT env FROM environments WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// The number of a kind, as the file has it.
pub(super) fn kind(db: &Connection, env: i64, name: &str) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT kind FROM kinds WHERE env = ?1 AND name = ?2")?
        .query_row(params![env, name], |row| row.get(0))
        .optional()
}

/// The kinds of an environment, done with or not, in alphabetical order.
pub(super) fn kinds(db: &Connection, env: i64) -> rusqlite::Result<Vec<(i64, String)>> {
    db.prepare_cached("SELECT kind, name FROM kinds WHERE env = ?1 ORDER BY name")?
        .query_map([env], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}
