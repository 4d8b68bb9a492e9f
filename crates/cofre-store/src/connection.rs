//! A connection to either database, and what comes back from it. Nothing above this knows which one it is.

use sqlx::{
    AssertSqlSafe, Database, Decode, Encode, Executor, Postgres, Row as _, Sqlite, Type,
    pool::PoolConnection,
    postgres::{PgDatabaseError, PgRow},
    query::Query,
    sqlite::{SqliteError, SqliteRow},
};

use crate::{
    error::{ErrorKind, StoreError},
    postgres, sqlite,
    statement::{Statement, Value},
};

/// A connection, on loan from its pool.
pub(crate) enum Connection {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

/// A row of a result.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Connection {
    /// Executes a statement, and returns how many rows it changed.
    pub(crate) async fn execute(&mut self, statement: Statement<'_>) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(connection) => query(&statement).execute(&mut **connection).await?.rows_affected(),
            Self::Postgres(connection) => query(&statement).execute(&mut **connection).await?.rows_affected(),
        })
    }

    /// All rows of a result.
    pub(crate) async fn fetch_all(&mut self, statement: Statement<'_>) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(connection) => {
                let rows = query(&statement).fetch_all(&mut **connection).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(connection) => {
                let rows = query(&statement).fetch_all(&mut **connection).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The row of a result that has at most one.
    pub(crate) async fn fetch_optional(
        &mut self,
        statement: Statement<'_>,
    ) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.fetch_all(statement).await?.pop())
    }

    /// The row of a result that has one.
    pub(crate) async fn fetch_one(&mut self, statement: Statement<'_>) -> Result<Row, sqlx::Error> {
        self.fetch_optional(statement).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// Runs statements without parameters, separated by semicolons. Returns the rows of all.
    pub(crate) async fn run(&mut self, sql: impl Into<String>) -> Result<Vec<Row>, sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.into()));
        Ok(match self {
            Self::Sqlite(connection) => {
                connection.fetch_all(sql).await?.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(connection) => {
                connection.fetch_all(sql).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }
}

fn query<'q, DB: Database>(statement: &Statement<'q>) -> Query<'q, DB, DB::Arguments>
where
    Option<i64>: Encode<'q, DB> + Type<DB>,
    Option<&'q str>: Encode<'q, DB> + Type<DB>,
    &'q [u8]: Encode<'q, DB> + Type<DB>,
{
    let query = sqlx::query(AssertSqlSafe(statement.sql.as_str()));
    statement.values.iter().fold(query, |query, value| match *value {
        Value::Number(number) => query.bind(number),
        Value::Text(text) => query.bind(text),
        Value::Bytes(bytes) => query.bind(bytes),
    })
}

impl Row {
    /// One column.
    pub(crate) fn get<'r, T>(&'r self, column: &str) -> Result<T, sqlx::Error>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }
}

/// Whether a statement failed because something that must be unique is there already.
pub(crate) fn is_duplicate(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// An error of a driver: its kind from what the database said.
pub(crate) fn error(what: impl Into<String>, error: sqlx::Error) -> StoreError {
    let kind = match &error {
        sqlx::Error::Database(database) => {
            if let Some(error) = database.try_downcast_ref::<SqliteError>() {
                sqlite::kind(error)
            } else if let Some(error) = database.try_downcast_ref::<PgDatabaseError>() {
                postgres::kind(error)
            } else {
                ErrorKind::Unavailable
            }
        }
        sqlx::Error::PoolTimedOut => ErrorKind::Busy,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    };
    StoreError::new(kind, what).with_source(error)
}
