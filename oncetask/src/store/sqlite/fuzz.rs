//! A door for fuzzing: rows of any shape.

use rusqlite::{Connection, params_from_iter};

pub use rusqlite::types::Value;

use super::rows;
use crate::task::Task;

/// How many columns a row of a task has.
pub const COLUMNS: usize = 24;

thread_local! {
    static DB: Connection = Connection::open_in_memory().expect("memory is always there");
}

/// Reads a row, as if a file had it. What is missing is `NULL`.
///
/// # Errors
///
/// Why it is no task.
///
/// # Panics
///
/// Never: a query without a table has one row.
pub fn row(mut columns: Vec<Value>) -> Result<Task, String> {
    columns.resize(COLUMNS, Value::Null);
    let places: Vec<_> = (1..=COLUMNS).map(|place| format!("?{place}")).collect();
    let sql = format!("SELECT {}", places.join(", "));
    DB.with(|db| {
        let mut statement = db.prepare_cached(&sql).map_err(|error| error.to_string())?;
        let mut rows = statement
            .query(params_from_iter(columns))
            .map_err(|error| error.to_string())?;
        let row = rows.next().map_err(|error| error.to_string())?;
        let stored = rows::stored(row.expect("a query without a table has one row"));
        Ok(stored.map_err(|trouble| format!("{trouble:?}"))?.task)
    })
}
