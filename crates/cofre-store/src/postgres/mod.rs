//! What is PostgreSQL's own: where it is, what a session is set to, its schema's version, its error codes.

mod transaction;

use std::{fmt, str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions, Connection as _, PgConnection, Row as _,
    postgres::{PgConnectOptions, PgDatabaseError, PgPool, PgPoolOptions},
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
    include_str!("../../migrations/postgres/0001_initial.sql"),
    include_str!("../../migrations/postgres/0002_events_together.sql"),
    include_str!("../../migrations/postgres/0003_job_lists.sql"),
];
/// The lock under which the schema is made and changed: "cofr".
const SCHEMA_LOCK: i64 = 0x636f_6672;
/// How long a call waits for a connection: for its turn within this process, or for a server that is starting.
const TURN: Duration = Duration::from_secs(10);
/// Connections that read at the same time.
const READERS: u32 = 4;
/// Statements a connection keeps prepared; those that write many rows at once differ by their number.
const PREPARED: usize = 200;
/// The oldest server that knows the statements used here, as it numbers itself.
const OLDEST: u32 = 13_00_00;

/// What each session is set to. The tables have a schema of their own. A lock is waited for as long as with SQLite; a
/// process that stands still within a transaction, and one whose machine is gone, do not keep the others for ever.
const SETTINGS: [(&str, &str); 6] = [
    ("search_path", "cofre"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "60s"),
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
];

/// Parameters of the URL that mean something. Others are refused: a misspelt `sslmode` would be one that is not there.
const PARAMETERS: [&str; 16] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
];

/// A database on a server, with a connection that writes, since there is one writer at a time, and some that read.
pub(crate) struct Server {
    name: String,
    options: PgConnectOptions,
    writer: PgPool,
    readers: PgPool,
}

// By hand, for the options have the password.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.name)
    }
}

/// Connects to the database of the URL, and makes its schema or brings it up to date.
pub(crate) async fn connect(url: &str) -> Result<Server> {
    let options = options(url)?;
    let name = name(&options);
    let prefixed = |error: StoreError| error.prefix(format_args!("database {name}: "));
    // First without the pool, which would try again for a while where there is no server.
    let inspected = match tokio::time::timeout(TURN, options.connect()).await {
        Ok(Ok(mut connection)) => {
            let inspected = inspect(&mut connection).await;
            // Its work is done, whether or not it says goodbye.
            drop(connection.close().await);
            inspected
        }
        Ok(Err(error)) => Err(unconnected(error)),
        Err(_) => Err(StoreError::new(ErrorKind::Unavailable, "the server does not answer")),
    };
    let is_current = inspected.map_err(prefixed)?;
    let pool = |connections| {
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(TURN)
            .connect_lazy_with(options.clone())
    };
    let server =
        Server { writer: pool(1), readers: pool(READERS), name: name.clone(), options: options.clone() };
    if !is_current {
        server.migrate().await.map_err(prefixed)?;
    }
    Ok(server)
}

/// What the URL and the environment say, and what a session is set to.
fn options(url: &str) -> Result<PgConnectOptions> {
    let invalid = |what: String| StoreError::new(ErrorKind::Invalid, what);
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(invalid("the database's URL does not begin with postgres://".to_owned()));
    }
    let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let key = parameter.split_once('=').map_or(parameter, |(key, _)| key);
        if !PARAMETERS.contains(&key) {
            return Err(invalid(format!(
                "the database's URL has the parameter {key:?}, which means nothing"
            )));
        }
    }
    // The driver's message names the part that is wrong, never the URL.
    let options = PgConnectOptions::from_str(url)
        .map_err(|error| invalid("the database's URL cannot be understood".to_owned()).with_source(error))?;
    let options = match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("cofre"),
    };
    Ok(options.options(SETTINGS).statement_cache_capacity(PREPARED).disable_statement_logging())
}

/// What messages call the database.
fn name(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or(options.get_username());
    match options.get_socket() {
        Some(socket) => format!("{database} at {}", socket.display()),
        None => format!("{database} at {}:{}", options.get_host(), options.get_port()),
    }
}

fn unconnected(error: sqlx::Error) -> StoreError {
    connection::error("no connection could be made", error)
}

/// Looks what server and whose database it is, before anything is written to it. True if the schema is there and
/// nothing is missing.
async fn inspect(connection: &mut PgConnection) -> Result<bool> {
    let refused = |what: String| Err(StoreError::new(ErrorKind::NotADatabase, what));
    let server = connection.server_version_num().unwrap_or_default();
    if server < OLDEST {
        return refused(format!("the server has version {}; 13 is the oldest that will do", server / 10_000));
    }
    let row = sqlx::query(
        "SELECT current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS replica, \
         to_regnamespace('cofre') IS NOT NULL AS schema, to_regclass('cofre.schema_version') IS NOT NULL AS ours",
    )
    .fetch_one(&mut *connection)
    .await;
    let failed = |error| connection::error("it could not be read", error);
    let row = row.map_err(failed)?;
    let flag = |column: &str| row.try_get::<bool, _>(column).map_err(failed);
    let encoding: String = row.try_get("encoding").map_err(failed)?;
    if encoding != "UTF8" {
        return refused(format!("its encoding is {encoding}; only UTF8 can hold every name"));
    }
    if flag("replica")? {
        return Err(StoreError::new(ErrorKind::ReadOnly, "it is a replica"));
    }
    if !flag("schema")? {
        return Ok(false);
    }
    if !flag("ours")? {
        return refused("its schema cofre belongs to another program".to_owned());
    }
    let version =
        sqlx::query_scalar::<_, i64>("SELECT number FROM schema_version").fetch_one(connection).await;
    let version = u64::try_from(version.map_err(failed)?)
        .map_err(|_| StoreError::corrupt("it has a negative schema version"))?;
    schema::check(STEPS, version)?;
    Ok(version == schema::current(STEPS))
}

impl Server {
    /// A connection that reads.
    pub(crate) async fn reader(&self) -> Result<Connection> {
        match self.readers.acquire().await {
            Ok(reader) => Ok(Connection::Postgres(reader)),
            Err(error) => Err(self.unreached("the database could not be read", error).await),
        }
    }

    /// Why the pool gave no connection. It tries again for a while where the server does not answer, and says of both
    /// that and of too long a queue no more than that time is up.
    async fn unreached(&self, what: &str, error: sqlx::Error) -> StoreError {
        if !matches!(error, sqlx::Error::PoolTimedOut) {
            return connection::error(what, error);
        }
        match tokio::time::timeout(Duration::from_secs(2), self.options.connect()).await {
            Ok(Ok(connection)) => {
                drop(connection.close().await);
                connection::error(what, error)
            }
            Ok(Err(cause)) => connection::error(what, cause),
            Err(_) => StoreError::new(ErrorKind::Unavailable, what).with_source(error),
        }
    }

    /// Makes the schema, or what it lacks, in one transaction. Several processes may come here at once.
    async fn migrate(&self) -> Result<()> {
        self.exclusively(&format!("SELECT pg_advisory_xact_lock({SCHEMA_LOCK})"), async |connection| {
            let failed = |error| connection::error("the schema could not be made", error);
            // Not without a question first: who may not make a schema may still use one.
            let there = Statement::new("SELECT count(*) AS there FROM pg_namespace WHERE nspname = 'cofre'");
            let there = connection.fetch_one(there).await.map_err(failed)?;
            if column::number(&there, "there")? == 0 {
                let made = "CREATE SCHEMA cofre; CREATE TABLE schema_version (number BIGINT NOT NULL); \
                            INSERT INTO schema_version (number) VALUES (0)";
                connection.run(made).await.map_err(failed)?;
            }
            let version = Statement::new("SELECT number FROM schema_version");
            let version = connection.fetch_one(version).await.map_err(failed)?;
            let version = schema::migrate(connection, STEPS, column::number(&version, "number")?).await?;
            let version = column::from_number(version, "schema's version")?;
            let noted = Statement::new("UPDATE schema_version SET number = $1").bind(version);
            connection.execute(noted).await.map_err(failed).map(drop)
        })
        .await
    }

    /// Closes all connections.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// The kind of an error, from its SQLSTATE.
pub(crate) fn kind(error: &PgDatabaseError) -> ErrorKind {
    match error.code() {
        // Serialization failure, deadlock, no lock within its time, cancelled, too many connections.
        "40001" | "40P01" | "55P03" | "57014" | "53300" => ErrorKind::Busy,
        "53100" => ErrorKind::Full,
        // A transaction or a server that only reads; a role that may not write.
        "25006" | "42501" => ErrorKind::ReadOnly,
        // Damaged data, a damaged index.
        "XX001" | "XX002" => ErrorKind::Corrupt,
        // Above a limit of the program.
        "54000" => ErrorKind::Invalid,
        code if code.starts_with("22") => ErrorKind::Invalid,
        code if code.starts_with("23") => ErrorKind::Conflict,
        _ => ErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_understood_or_refused() {
        let named = |url| options(url).map(|options| name(&options)).map_err(|error| error.to_string());
        assert_eq!(named("postgres://u:secret@h:5433/db?sslmode=verify-full").unwrap(), "db at h:5433");
        assert_eq!(named("postgresql:///db?host=/run/postgresql").unwrap(), "db at /run/postgresql");
        assert_eq!(named("postgres://u@%2Frun%2Fpg/db").unwrap(), "db at /run/pg");
        for wrong in [
            "mysql://u:secret@h/db",
            "cofre.db",
            "postgres://u:secret@h:x/db",
            "postgres://u:secret@h/db?sslmode=verify",
            "postgres://u:secret@h/db?sslmod=verify-full",
            "postgres://u:secret@h/db?ssl%6dode=require",
        ] {
            let error = options(wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}
