//! Places where a store can be: what the tests of both databases share.

#![allow(dead_code, reason = "no test program needs all of it")]

pub(crate) mod cluster;
pub(crate) mod proxy;

use std::{path::PathBuf, sync::atomic::AtomicUsize, sync::atomic::Ordering};

use cofre_store::Store;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Row, SqliteConnection,
    postgres::PgConnectOptions, sqlite::SqliteConnectOptions,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use self::cluster::Cluster;

/// A database of its own, to be opened as often as one likes.
pub(crate) enum Body {
    /// A file, in a directory that goes when this does.
    File(PathBuf, TempDir),
    /// A database on the tests' server.
    Server(String),
}

impl Body {
    pub(crate) fn file() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::File(directory.path().join("cofre.db"), directory)
    }

    /// An empty database on the server that this run of tests shares.
    pub(crate) fn server() -> Self {
        Self::Server(new_database(Cluster::shared()))
    }

    pub(crate) fn open(&self) -> Store {
        match self {
            Self::File(path, _) => Store::open(path).unwrap(),
            Self::Server(url) => Store::connect(url).unwrap(),
        }
    }

    /// How another process finds it, with [`open_address`].
    pub(crate) fn address(&self) -> &str {
        match self {
            Self::File(path, _) => path.to_str().unwrap(),
            Self::Server(url) => url,
        }
    }

    /// Waits until nobody is connected: a server may still be at work for a process that is no more.
    pub(crate) fn settle(&self) {
        if let Self::Server(_) = self {
            let others = "SELECT pid::text FROM pg_stat_activity \
                          WHERE datname = current_database() AND pid <> pg_backend_pid()";
            let mut outsider = self.outsider();
            while !outsider.run(others).is_empty() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }

    /// A connection past the store.
    pub(crate) fn outsider(&self) -> Outsider {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let connection = runtime.block_on(async {
            match self {
                Self::File(path, _) => {
                    Outside::File(SqliteConnectOptions::new().filename(path).connect().await.unwrap())
                }
                Self::Server(url) => {
                    Outside::Server(url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap())
                }
            }
        });
        Outsider { runtime, connection }
    }
}

/// Opens what [`Body::address`] says.
pub(crate) fn open_address(address: &str) -> Store {
    if address.starts_with("postgres://") {
        Store::connect(address).unwrap()
    } else {
        Store::open(address.as_ref()).unwrap()
    }
}

/// Makes an empty database and returns its URL.
pub(crate) fn new_database(cluster: &Cluster) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("t{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let mut outsider = Body::Server(cluster.url("postgres")).outsider();
    outsider.run(&format!("CREATE DATABASE {name}"));
    cluster.url(&name)
}

/// The name of a database, from its URL.
pub(crate) fn name(url: &str) -> &str {
    url.split(['/', '?']).nth(3).unwrap()
}

enum Outside {
    File(SqliteConnection),
    Server(PgConnection),
}

/// Somebody else's connection to a database.
pub(crate) struct Outsider {
    runtime: Runtime,
    connection: Outside,
}

impl Outsider {
    /// Runs statements and returns the first column of the rows, which must be text.
    pub(crate) fn run(&mut self, statements: &str) -> Vec<String> {
        self.try_run(statements).unwrap()
    }

    pub(crate) fn try_run(&mut self, statements: &str) -> Result<Vec<String>, sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(statements));
        self.runtime.block_on(async {
            Ok(match &mut self.connection {
                Outside::File(connection) => {
                    let rows = connection.fetch_all(sql).await?;
                    rows.iter().map(|row| row.get_unchecked(0)).collect()
                }
                Outside::Server(connection) => {
                    let rows = connection.fetch_all(sql).await?;
                    rows.iter().map(|row| row.get_unchecked(0)).collect()
                }
            })
        })
    }

    pub(crate) fn close(self) {
        self.runtime.block_on(async {
            match self.connection {
                Outside::File(connection) => connection.close().await.unwrap(),
                Outside::Server(connection) => connection.close().await.unwrap(),
            }
        });
    }
}
