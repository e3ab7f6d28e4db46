//! A PostgreSQL database for one measurement.

use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};

use crate::{Options, Result};

/// Creates a database on the server and connects to it. The database is not deleted, because the server
/// itself is temporary.
///
/// # Errors
///
/// Returns an error if the options name no server, or if the server reports one.
pub async fn database(options: &Options, connections: u32) -> Result<PgPool> {
    let server = options
        .server
        .as_deref()
        .ok_or("missing option `--place postgres://USER@HOST:PORT`")?;
    let admin = PgPoolOptions::new()
        .max_connections(1)
        .connect(&format!("{server}/postgres"))
        .await?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let name = format!("bench_{}_{}", std::process::id(), since.as_nanos());
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&admin)
        .await?;
    admin.close().await;
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .connect(&format!("{server}/{name}"))
        .await?;
    // Open all connections now, because connecting is not part of the measurement.
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(pool.acquire().await?);
    }
    drop(open);
    Ok(pool)
}

/// Returns the first column of the only row of a query.
///
/// # Errors
///
/// Returns an error if the server reports one.
pub async fn count(pool: &PgPool, query: &'static str) -> Result<usize> {
    let rows: i64 = sqlx::query_scalar(query).fetch_one(pool).await?;
    Ok(usize::try_from(rows)?)
}
