//! The schema's versions: each is a step from the one before. There is no way back.

use crate::{
    connection::{self, Connection},
    error::{ErrorKind, Result, StoreError},
};

/// The steps of one of the databases; the first leads to version 1. One that was released is never changed.
pub(crate) type Steps = [&'static str];

/// The version that this program knows.
pub(crate) fn current(steps: &Steps) -> u64 {
    steps.len() as u64
}

/// Refuses a version that this program does not know.
pub(crate) fn check(steps: &Steps, version: u64) -> Result<()> {
    if version <= current(steps) {
        return Ok(());
    }
    let what = format!("it has schema version {version}; this version of cofre knows {}", current(steps));
    Err(StoreError::new(ErrorKind::NewerSchema, what))
}

/// Applies the steps that are missing, within the transaction that `connection` is in. Returns the version they lead
/// to, which the caller notes in the same transaction.
pub(crate) async fn migrate(connection: &mut Connection, steps: &Steps, mut version: u64) -> Result<u64> {
    check(steps, version)?;
    for step in steps.iter().skip(usize::try_from(version).unwrap_or(usize::MAX)) {
        version += 1;
        connection.run(*step).await.map_err(|error| {
            connection::error(format!("schema version {version} could not be made"), error)
        })?;
    }
    Ok(version)
}
