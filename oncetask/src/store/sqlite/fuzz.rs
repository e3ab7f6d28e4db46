//! The entry point for fuzzing the decoding of rows.

use rusqlite::{Connection, params_from_iter};

pub use rusqlite::types::Value;

use super::codec::{self, TASK_COLUMNS};
use crate::task::Task;

/// The number of columns of a task.
pub const COLUMNS: usize = TASK_COLUMNS;

thread_local! {
    static DB: Connection = Connection::open_in_memory().expect("a database in memory can be opened");
}

/// Decodes a row with these values. Missing values are `NULL`.
///
/// # Errors
///
/// Returns the reason if the row is not a task.
///
/// # Panics
///
/// Panics if SQLite cannot open a database in memory.
pub fn row(mut columns: Vec<Value>) -> Result<Task, String> {
    columns.resize(COLUMNS, Value::Null);
    let parameters: Vec<_> = (1..=COLUMNS).map(|number| format!("?{number}")).collect();
    let sql = format!("SELECT {}", parameters.join(", "));
    DB.with(|db| {
        let mut statement = db.prepare_cached(&sql).map_err(|error| error.to_string())?;
        let mut rows = statement
            .query(params_from_iter(columns))
            .map_err(|error| error.to_string())?;
        let row = rows.next().map_err(|error| error.to_string())?;
        let stored = codec::decode_row(row.expect("a query without a table has one row"));
        Ok(stored.map_err(|error| format!("{error:?}"))?.task)
    })
}
