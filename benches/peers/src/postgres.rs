//! A database of PostgreSQL for one measurement.

use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};

use crate::{Options, Result};

/// Makes a database on the server and connects to it. It stays: the server is there for the measurements.
///
/// # Errors
///
/// When no server is named, or it refuses.
pub async fn database(options: &Options, connections: u32) -> Result<PgPool> {
    let server = options
        .place
        .as_deref()
        .ok_or("which server? --place postgres://USER@HOST:PORT")?;
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
    // To connect is no part of what is measured.
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(pool.acquire().await?);
    }
    drop(open);
    Ok(pool)
}

/// The first column of the only row.
///
/// # Errors
///
/// When the server refuses.
pub async fn count(pool: &PgPool, query: &'static str) -> Result<usize> {
    let rows: i64 = sqlx::query_scalar(query).fetch_one(pool).await?;
    Ok(usize::try_from(rows)?)
}
