//! What is SQLite's own: files, locks, pragmas, error codes.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, accessat, mknodat};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection as _, Row as _, SqliteConnection,
    sqlite::{
        SqliteConnectOptions, SqliteError, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
        SqliteSynchronous,
    },
};

use crate::{
    column,
    connection::{self, Connection},
    error::{ErrorKind, Result, StoreError},
    schema,
    statement::Statement,
};

/// How a database of ours came to be.
const STEPS: &schema::Steps = &[
    include_str!("../migrations/sqlite/0001_initial.sql"),
    include_str!("../migrations/sqlite/0002_events_together.sql"),
    include_str!("../migrations/sqlite/0003_job_lists.sql"),
];

/// "cofr": tells our databases from those of other programs.
const APPLICATION: i64 = 0x636f_6672;
/// How long a call waits for another process's lock.
const BUSY: Duration = Duration::from_secs(5);
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
    /// A connection that reads.
    pub(crate) async fn reader(&self) -> Result<Connection> {
        let reader = self.readers.acquire().await;
        let failed = |error| connection::error("the database could not be read", error);
        reader.map(Connection::Sqlite).map_err(failed)
    }

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
        // A connection to a file is not lost.
        .test_before_acquire(false)
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
    let begun = Instant::now();
    loop {
        match open_file(path).await {
            // SQLite does not wait for the lock under which a file gets its log or loses it, and says so at once.
            Err(error) if error.kind() == ErrorKind::Busy && begun.elapsed() < BUSY => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            done => return done.map_err(|error| error.prefix(format_args!("database {}: ", path.display()))),
        }
    }
}

async fn open_file(path: &Path) -> Result<Pools> {
    let path = prepare(path)?;
    let failed = |error| connection::error("it could not be opened", error);
    let inspection = options().filename(&path);
    let mut connection = inspection.connect().await.map_err(failed)?;
    let inspected = inspect(&mut connection).await;
    connection.close().await.map_err(failed)?;
    let version = inspected?;

    let options = options()
        .filename(&path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", "67108864");
    let writer = pool(1).connect_with(options.clone()).await.map_err(failed)?;
    // Nothing is written where nothing is to be done: a database can be opened, and read, on a full disk.
    if version < schema::current(STEPS) {
        migrate(&writer).await?;
    }
    let readers = pool(READERS).connect_lazy_with(options.pragma("query_only", "ON"));
    Ok(Pools { writer, readers })
}

/// A database that lives as long as its one connection.
pub(crate) async fn in_memory() -> Result<Pools> {
    let writer = pool(1).connect_with(options().in_memory(true)).await;
    let writer =
        writer.map_err(|error| connection::error("a database in memory could not be made", error))?;
    migrate(&writer).await?;
    Ok(Pools { readers: writer.clone(), writer })
}

/// Makes the file if there is none, readable by its owner alone (SQLite gives its companions the same mode), and returns
/// its absolute path, which SQLite cannot take for anything but a path.
///
/// The file is never opened here: a process that closes any descriptor of a file loses all its locks on it, those of
/// another store's connections included.
fn prepare(path: &Path) -> Result<PathBuf> {
    let failed = |error: io::Error| {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => ErrorKind::ReadOnly,
            _ => ErrorKind::Unavailable,
        };
        StoreError::new(kind, "it could not be opened").with_source(error)
    };
    match mknodat(CWD, path, FileType::RegularFile, Mode::RUSR | Mode::WUSR, 0) {
        Ok(()) => {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let directory = File::open(directory.unwrap_or(Path::new(".")));
            directory.and_then(|directory| directory.sync_all()).map_err(failed)?;
        }
        // The file system's being full or read-only is of no interest where nothing had to be made.
        Err(_) if fs::metadata(path).is_ok() => {}
        Err(error) => return Err(failed(error.into())),
    }
    let path = fs::canonicalize(path).map_err(failed)?;
    if !fs::metadata(&path).map_err(failed)?.is_file() {
        return Err(StoreError::new(ErrorKind::NotADatabase, "it is not a file"));
    }
    // SQLite would quietly go on with a file that it can only read.
    accessat(CWD, &path, Access::READ_OK | Access::WRITE_OK, AtFlags::EACCESS)
        .map_err(|error| failed(error.into()))?;
    Ok(path)
}

/// Looks whose database it is, before anything is written to it, and returns its schema's version.
async fn inspect(connection: &mut SqliteConnection) -> Result<u64> {
    // In one transaction, for another process may be making the database at this moment.
    let begun = connection.begin().await;
    let mut transaction = begun.map_err(|error| connection::error("it could not be read", error))?;
    let application = pragma(&mut transaction, "application_id").await?;
    if application == APPLICATION {
        let version = pragma(&mut transaction, "user_version").await?;
        let version = u64::try_from(version)
            .map_err(|_| StoreError::corrupt("the database has a negative schema version"))?;
        schema::check(STEPS, version)?;
        return Ok(version);
    }
    if application == 0 && integer(&mut transaction, "SELECT count(*) FROM sqlite_master").await? == 0 {
        return Ok(0);
    }
    Err(StoreError::new(ErrorKind::NotADatabase, "it belongs to another program"))
}

async fn migrate(writer: &SqlitePool) -> Result<()> {
    transaction(writer, async |connection| {
        let version = Statement::new("SELECT user_version AS version FROM pragma_user_version");
        let version = connection.fetch_one(version).await;
        let version =
            version.map_err(|error| connection::error("the schema's version could not be read", error))?;
        let version = schema::migrate(connection, STEPS, column::number(&version, "version")?).await?;
        connection
            .run(format!("PRAGMA user_version = {version}; PRAGMA application_id = {APPLICATION}"))
            .await
            .map(drop)
            .map_err(|error| connection::error("the database could not be marked as cofre's", error))
    })
    .await
}

/// Runs `work` in a transaction that writes, and commits what it did unless it fails. The transaction has the lock from the
/// start, so what it reads cannot change before it commits.
///
/// The statements are sent as they are, for the driver's own transactions count in how many they are: when the disk is
/// full, SQLite ends the transaction by itself, the driver does not notice, and its connection is of no use any more.
pub(crate) async fn transaction<T>(
    writer: &SqlitePool,
    work: impl AsyncFnOnce(&mut Connection) -> Result<T>,
) -> Result<T> {
    let failed = |error| connection::error("the database could not be locked for writing", error);
    let mut connection = writer.acquire().await.map_err(failed)?;
    if let Err(error) = run(&mut connection, "BEGIN IMMEDIATE").await {
        // In a transaction already, that of a call that panicked?
        if run(&mut connection, "ROLLBACK").await.is_err() {
            return Err(failed(error));
        }
        run(&mut connection, "BEGIN IMMEDIATE").await.map_err(failed)?;
    }
    let mut connection = Connection::Sqlite(connection);
    let done = match work(&mut connection).await {
        Ok(done) => connection
            .run("COMMIT")
            .await
            .map(|_| done)
            .map_err(|error| connection::error("the changes could not be committed", error)),
        Err(error) => Err(error),
    };
    if done.is_err() {
        // Fails only where SQLite has ended the transaction itself.
        drop(connection.run("ROLLBACK").await);
    }
    done
}

async fn run(connection: &mut SqliteConnection, sql: impl Into<String>) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(connection).await.map(drop)
}

async fn pragma(connection: &mut SqliteConnection, name: &str) -> Result<i64> {
    integer(connection, format!("PRAGMA {name}")).await
}

async fn integer(connection: &mut SqliteConnection, sql: impl Into<String>) -> Result<i64> {
    let row = sqlx::query(AssertSqlSafe(sql.into())).fetch_one(connection).await;
    row.and_then(|row| row.try_get(0))
        .map_err(|error| connection::error("the database could not be read", error))
}

/// The kind of an error, from SQLite's result code.
pub(crate) fn kind(error: &SqliteError) -> ErrorKind {
    /// SQLITE_IOERR_SHMSIZE: no room to enlarge the companion file that readers share.
    const NO_ROOM_TO_SHARE: i32 = 10 | 19 << 8;
    let code =
        sqlx::error::DatabaseError::code(error).and_then(|code| code.parse::<i32>().ok()).unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::Executor;

    #[test]
    fn connections_are_set_up_as_promised() {
        let directory = tempfile::tempdir().unwrap();
        let executor = Executor::new().unwrap();
        executor.wait(async {
            let pools = open(&directory.path().join("cofre.db")).await.unwrap();
            for pool in [&pools.writer, &pools.readers] {
                let mut connection = pool.acquire().await.unwrap();
                let wal =
                    integer(&mut connection, "SELECT journal_mode = 'wal' FROM pragma_journal_mode").await;
                assert_eq!(wal.unwrap(), 1);
                for (name, value) in [("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 5000)] {
                    assert_eq!(pragma(&mut connection, name).await.unwrap(), value, "{name}");
                }
            }
            let written = transaction(&pools.readers, async |connection| {
                let written = connection.run("PRAGMA user_version = 7").await;
                written.map(drop).map_err(|error| connection::error("", error))
            });
            assert_eq!(written.await.unwrap_err().kind(), ErrorKind::ReadOnly);
            let version = pragma(&mut pools.writer.acquire().await.unwrap(), "user_version").await.unwrap();
            assert_eq!(version, i64::try_from(schema::current(STEPS)).unwrap());
            pools.close().await;
        });
    }

    #[test]
    fn a_transaction_that_was_left_open_is_ended() {
        let executor = Executor::new().unwrap();
        executor.wait(async {
            let pools = in_memory().await.unwrap();
            let mut connection = pools.writer.acquire().await.unwrap();
            run(&mut connection, "BEGIN IMMEDIATE").await.unwrap();
            run(&mut connection, "UPDATE batch SET number = 7").await.unwrap();
            drop(connection);
            let number = transaction(&pools.writer, crate::batch::last);
            assert_eq!(number.await.unwrap(), 0);
        });
    }
}
