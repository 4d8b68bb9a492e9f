//! What is SQLite's own: files, locks, pragmas, error codes. All other SQL is what PostgreSQL understands too.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Sqlite, SqliteConnection, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{
    column,
    error::{ErrorKind, Result, StoreError},
    schema,
};

/// "cofr": tells our databases from those of other programs.
const APPLICATION: i64 = 0x636f_6672;
/// How long a call waits for another process's lock.
const BUSY: Duration = Duration::from_secs(10);
/// How long a call waits for its turn within this process. Longer, for there are others ahead of it that wait too.
const TURN: Duration = Duration::from_secs(60);
/// Connections that read at the same time.
const READERS: u32 = 4;

/// The two sets of connections: one that writes, since SQLite has one writer at a time and waiting for it in a queue is
/// fairer and faster than polling the file's lock, and some that read beside it.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    pub(crate) writer: SqlitePool,
    pub(crate) readers: SqlitePool,
}

impl Pools {
    /// Closes all connections; the last one moves the write-ahead log into the database.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A pool that keeps its connections for good: to replace them is no use, and in memory it would lose the database.
fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(TURN)
        .idle_timeout(None)
        .max_lifetime(None)
}

fn options() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .busy_timeout(BUSY)
        .foreign_keys(true)
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .disable_statement_logging()
}

/// Opens the database in the file, or makes one there.
pub(crate) async fn open(path: &Path) -> Result<Pools> {
    open_file(path).await.map_err(|error| error.prefix(format_args!("database {}: ", path.display())))
}

async fn open_file(path: &Path) -> Result<Pools> {
    let path = prepare(path)?;
    let failed = |error| self::error("it could not be opened", error);
    let inspection = options().filename(&path);
    let mut connection = inspection.connect().await.map_err(failed)?;
    let inspected = inspect(&mut connection).await;
    connection.close().await.map_err(failed)?;
    inspected?;

    let options = options()
        .filename(&path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", "67108864");
    let writer = pool(1).connect_with(options.clone()).await.map_err(failed)?;
    migrate(&writer).await?;
    let readers = pool(READERS).connect_lazy_with(options.pragma("query_only", "ON"));
    Ok(Pools { writer, readers })
}

/// A database that lives as long as its one connection.
pub(crate) async fn in_memory() -> Result<Pools> {
    let writer = pool(1).connect_with(options().in_memory(true)).await;
    let writer = writer.map_err(|error| self::error("a database in memory could not be made", error))?;
    migrate(&writer).await?;
    Ok(Pools { readers: writer.clone(), writer })
}

/// Makes the file if there is none, readable by its owner alone (SQLite gives its companions the same mode), and returns
/// its absolute path, which SQLite cannot take for anything but a path.
fn prepare(path: &Path) -> Result<PathBuf> {
    let failed = |error: io::Error| {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => ErrorKind::ReadOnly,
            _ => ErrorKind::Unavailable,
        };
        StoreError::new(kind, "it could not be opened").with_source(error)
    };
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => {
            let directory =
                path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    let path = fs::canonicalize(path).map_err(failed)?;
    if !fs::metadata(&path).map_err(failed)?.is_file() {
        return Err(StoreError::new(ErrorKind::NotADatabase, "it is not a file"));
    }
    // Opened for writing here, because SQLite would quietly go on with a file that it can only read.
    OpenOptions::new().write(true).open(&path).map_err(failed)?;
    Ok(path)
}

/// Looks whose database it is, before anything is written to it.
async fn inspect(connection: &mut SqliteConnection) -> Result<()> {
    // In one transaction, for another process may be making the database at this moment.
    let begun = connection.begin().await;
    let mut transaction = begun.map_err(|error| self::error("it could not be read", error))?;
    let application = pragma(&mut transaction, "application_id").await?;
    if application == APPLICATION {
        return schema::check(schema_version(&mut transaction).await?);
    }
    if application == 0 && integer(&mut transaction, "SELECT count(*) FROM sqlite_master").await? == 0 {
        return Ok(());
    }
    Err(StoreError::new(ErrorKind::NotADatabase, "it belongs to another program"))
}

async fn migrate(writer: &SqlitePool) -> Result<()> {
    let mut transaction = begin(writer).await?;
    schema::migrate(&mut transaction).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION}")))
        .execute(&mut *transaction)
        .await
        .map_err(|error| self::error("the database could not be marked as cofre's", error))?;
    commit(transaction).await
}

/// Begins a transaction that writes. It has the lock from the start, so what it reads cannot change before it commits.
pub(crate) async fn begin(writer: &SqlitePool) -> Result<Transaction<'static, Sqlite>> {
    let begun = writer.begin_with("BEGIN IMMEDIATE").await;
    begun.map_err(|error| self::error("the database could not be locked for writing", error))
}

pub(crate) async fn commit(transaction: Transaction<'static, Sqlite>) -> Result<()> {
    transaction.commit().await.map_err(|error| self::error("the changes could not be committed", error))
}

pub(crate) async fn schema_version(connection: &mut SqliteConnection) -> Result<u64> {
    let version = pragma(connection, "user_version").await?;
    u64::try_from(version).map_err(|_| StoreError::corrupt("the database has a negative schema version"))
}

pub(crate) async fn set_schema_version(connection: &mut SqliteConnection, version: u64) -> Result<()> {
    let set =
        sqlx::raw_sql(AssertSqlSafe(format!("PRAGMA user_version = {version}"))).execute(connection).await;
    set.map_err(|error| self::error("the schema's version could not be written", error))?;
    Ok(())
}

async fn pragma(connection: &mut SqliteConnection, name: &str) -> Result<i64> {
    integer(connection, format!("PRAGMA {name}")).await
}

async fn integer(connection: &mut SqliteConnection, sql: impl Into<String>) -> Result<i64> {
    let row = sqlx::query(AssertSqlSafe(sql.into())).fetch_one(connection).await;
    column::get(&row.map_err(|error| self::error("the database could not be read", error))?, 0)
}

/// Whether a statement failed because something that must be unique is there already.
pub(crate) fn is_duplicate(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// An error of the driver: its kind from SQLite's result code.
pub(crate) fn error(what: impl Into<String>, error: sqlx::Error) -> StoreError {
    /// SQLITE_IOERR_SHMSIZE: no room to enlarge the companion file that readers share.
    const NO_ROOM_TO_SHARE: i32 = 10 | 19 << 8;
    let kind = match &error {
        sqlx::Error::Database(database) => {
            let code = database.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or_default();
            match (code, code & 0xff) {
                (_, 5 | 6) => ErrorKind::Busy,
                (_, 8) => ErrorKind::ReadOnly,
                (NO_ROOM_TO_SHARE, _) | (_, 13) => ErrorKind::Full,
                (_, 11) => ErrorKind::Corrupt,
                (_, 26) => ErrorKind::NotADatabase,
                (_, 18) => ErrorKind::Invalid,
                (_, 19) => ErrorKind::Conflict,
                _ => ErrorKind::Unavailable,
            }
        }
        sqlx::Error::PoolTimedOut => ErrorKind::Busy,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    };
    StoreError::new(kind, what).with_source(error)
}
