//! Transactions on PostgreSQL: one that writes at a time, and an answer also where the connection was lost before it.

use std::time::Duration;

use sqlx::{ConnectOptions, Connection as _, Row as _};

use super::Server;
use crate::{
    connection::{self, Connection},
    error::{ErrorKind, Result, StoreError},
};

/// How long the outcome of a transaction is asked for whose connection was lost.
const OUTCOME: Duration = Duration::from_secs(10);

impl Server {
    /// Runs `work` in a transaction that holds the lock of the batch's number from the start: whoever writes does, so the
    /// chains and the number stay as they are until it commits. Statements see what was committed before each of them,
    /// the first one included, which is the one that waits for the lock.
    pub(crate) async fn transaction<T>(
        &self,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T>,
    ) -> Result<T> {
        self.exclusively("SELECT number FROM batch FOR UPDATE", work).await
    }

    /// Like [`Self::transaction`], with another lock.
    pub(super) async fn exclusively<T>(
        &self,
        lock: &str,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T>,
    ) -> Result<T> {
        let mut held = match self.writer.acquire().await {
            Ok(connection) => Held { connection: Connection::Postgres(connection), is_clean: false },
            Err(error) => return Err(self.unreached(UNLOCKED, error).await),
        };
        let transaction = held.begin(lock).await?;
        match work(&mut held.connection).await {
            Ok(done) => match held.connection.run("COMMIT").await {
                Ok(_) => {
                    held.is_clean = true;
                    Ok(done)
                }
                Err(error) => {
                    drop(held);
                    self.outcome(&transaction, error).await.map(|()| done)
                }
            },
            Err(error) => {
                held.is_clean = held.connection.run("ROLLBACK").await.is_ok();
                Err(error)
            }
        }
    }

    /// Whether a transaction was committed although no word of it came back: the connection was lost before, or the server
    /// was ending.
    async fn outcome(&self, transaction: &str, lost: sqlx::Error) -> Result<()> {
        let asked = tokio::time::timeout(OUTCOME, async {
            loop {
                match self.status(transaction).await {
                    // It has not noticed the loss yet, or it is starting.
                    Err(_) => {}
                    Ok(status) if status == "in progress" => {}
                    Ok(status) => return status,
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        match asked.await.as_deref() {
            Ok("committed") => Ok(()),
            Ok("aborted") => Err(connection::error(UNCOMMITTED, lost)),
            _ => {
                let what = "the connection was lost while the changes were committed, and whether they were could not \
                            be found out";
                Err(StoreError::new(ErrorKind::Unavailable, what).with_source(lost))
            }
        }
    }

    async fn status(&self, transaction: &str) -> Result<String, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        let status = sqlx::query("SELECT coalesce(pg_xact_status($1::text::xid8), 'unknown')")
            .bind(transaction)
            .fetch_one(&mut connection)
            .await
            .and_then(|row| row.try_get(0));
        drop(connection.close().await);
        status
    }
}

const UNLOCKED: &str = "the database could not be locked for writing";
const UNCOMMITTED: &str = "the changes could not be committed";

/// A connection in a transaction. Unless that was ended, it does not go back to its pool but is closed, as after a panic,
/// which ends the transaction as well.
struct Held {
    connection: Connection,
    is_clean: bool,
}

impl Held {
    /// Begins a transaction in one exchange with the server, and returns its number there. It will be on the disk when it
    /// is committed, whatever the server is set to.
    async fn begin(&mut self, lock: &str) -> Result<String> {
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; \
             SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'; \
             {lock}; \
             SELECT pg_current_xact_id()::text AS transaction"
        );
        let rows = self.connection.run(begin).await;
        let last = rows.and_then(|rows| rows.last().ok_or(sqlx::Error::RowNotFound)?.get("transaction"));
        last.map_err(|error| connection::error(UNLOCKED, error))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Connection::Postgres(connection) = &mut self.connection
            && !self.is_clean
        {
            connection.close_on_drop();
        }
    }
}
