//! The database behind a store: which of the two it is, and how one reads from it and writes to it.

use crate::{connection::Connection, error::Result, postgres, sqlite};

/// One of the two databases.
#[derive(Debug)]
pub(crate) enum Backend {
    Sqlite(sqlite::Pools),
    Postgres(Box<postgres::Server>),
}

impl Backend {
    /// A connection that reads, beside other readers and the writer.
    pub(crate) async fn reader(&self) -> Result<Connection> {
        match self {
            Self::Sqlite(pools) => pools.reader().await,
            Self::Postgres(server) => server.reader().await,
        }
    }

    /// Runs `work` in a transaction that writes, and commits what it did unless it fails. No other one is in such a
    /// transaction at the same time, so what it reads cannot change before it commits.
    pub(crate) async fn transaction<T>(
        &self,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T>,
    ) -> Result<T> {
        match self {
            Self::Sqlite(pools) => sqlite::transaction(&pools.writer, work).await,
            Self::Postgres(server) => server.transaction(work).await,
        }
    }

    /// Closes all connections.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pools) => pools.close().await,
            Self::Postgres(server) => server.close().await,
        }
    }
}
