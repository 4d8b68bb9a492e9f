//! The schema's versions: each is a step from the one before. There is no way back.

use sqlx::SqliteConnection;

use crate::{
    error::{ErrorKind, Result, StoreError},
    sqlite,
};

/// The steps; the first leads to version 1. One that was released is never changed.
const MIGRATIONS: &[&str] = &[include_str!("../migrations/sqlite/0001_initial.sql")];

/// The version of this program.
pub(crate) fn current() -> u64 {
    MIGRATIONS.len() as u64
}

/// Refuses a version that this program does not know.
pub(crate) fn check(version: u64) -> Result<()> {
    if version <= current() {
        return Ok(());
    }
    let what = format!("it has schema version {version}; this version of cofre knows {}", current());
    Err(StoreError::new(ErrorKind::NewerSchema, what))
}

/// Applies the steps that are missing, within the transaction that `connection` is in.
pub(crate) async fn migrate(connection: &mut SqliteConnection) -> Result<()> {
    let mut version = sqlite::schema_version(connection).await?;
    check(version)?;
    for step in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(usize::MAX)) {
        version += 1;
        sqlx::raw_sql(*step)
            .execute(&mut *connection)
            .await
            .map_err(|error| sqlite::error(format!("schema version {version} could not be made"), error))?;
        sqlite::set_schema_version(connection, version).await?;
    }
    Ok(())
}
