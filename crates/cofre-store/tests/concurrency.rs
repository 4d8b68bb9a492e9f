//! Many threads, several handles, other people's locks.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    path::Path,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cofre_store::{Batch, Change, ErrorKind, Event, Store};
use jiff::Timestamp;
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

const COUNTERS: [&str; 2] = ["/counter/a", "/counter/b"];

fn number(body: &[u8]) -> u64 {
    str::from_utf8(body).unwrap().parse().unwrap()
}

/// Adds one to both counters, as often as it takes, and notes it in the log. Returns how often it was refused.
fn increment(store: &Store, writer: &str) -> usize {
    let mut conflicts = 0;
    loop {
        let documents = store.list("/counter", None, 10).unwrap();
        let mut batch = Batch::new(Timestamp::UNIX_EPOCH);
        for document in documents {
            let body = (number(&document.body) + 1).to_string().into_bytes();
            batch.changes.push(Change::Replace { path: document.path, revision: document.revision, body });
        }
        batch.events.push(Event {
            writer: writer.to_owned(),
            time: Timestamp::UNIX_EPOCH,
            body: b"+".to_vec(),
        });
        match store.commit(&batch) {
            Ok(_) => return conflicts,
            Err(error) if error.kind() == ErrorKind::Conflict => conflicts += 1,
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        }
    }
}

fn start(store: &Store) {
    let mut batch = Batch::new(Timestamp::UNIX_EPOCH);
    for path in COUNTERS {
        batch.changes.push(Change::Create {
            path: path.to_owned(),
            kind: "n".to_owned(),
            body: b"0".to_vec(),
        });
    }
    store.commit(&batch).unwrap();
}

/// Eight threads share the handles evenly; others read all the while.
fn race(handles: &[&Store]) {
    const THREADS: usize = 8;
    const EACH: usize = 30;
    start(handles[0]);
    let done = AtomicBool::new(false);
    let (done, barrier) = (&done, &Barrier::new(THREADS));
    thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let store = handles[thread % handles.len()];
                scope.spawn(move || {
                    barrier.wait();
                    (0..EACH).map(|_| increment(store, "shared")).sum::<usize>()
                })
            })
            .collect();
        for store in handles {
            scope.spawn(move || {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let both = store.list("/counter", None, 10).unwrap();
                    let (a, b) = (number(&both[0].body), number(&both[1].body));
                    assert_eq!(a, b, "a batch is seen as one");
                    assert!(a >= last, "what was seen stays");
                    last = a;
                }
            });
        }
        let conflicts: usize = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        done.store(true, Ordering::Relaxed);
        assert!(conflicts > 0, "they did not race");
    });
    let total = (THREADS * EACH) as u64;
    for store in handles {
        for path in COUNTERS {
            assert_eq!(number(&store.read(path).unwrap().unwrap().body), total);
        }
        assert_eq!(store.verify_chain("shared").unwrap().length, total);
    }
}

#[test]
fn threads_share_a_store() {
    let directory = tempfile::tempdir().unwrap();
    race(&[&Store::open(&directory.path().join("cofre.db")).unwrap()]);
}

#[test]
fn threads_share_a_store_in_memory() {
    race(&[&Store::in_memory().unwrap()]);
}

#[test]
fn two_handles_share_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cofre.db");
    race(&[&Store::open(&path).unwrap(), &Store::open(&path).unwrap()]);
}

#[test]
fn a_database_is_made_once() {
    for _ in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cofre.db");
        let barrier = Barrier::new(6);
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    barrier.wait();
                    let store = Store::open(&path).unwrap();
                    let mut batch = Batch::new(Timestamp::UNIX_EPOCH);
                    let (writer, time) = ("w".to_owned(), Timestamp::UNIX_EPOCH);
                    batch.events.push(Event { writer, time, body: Vec::new() });
                    store.commit(&batch).unwrap();
                });
            }
        });
        assert_eq!(Store::open(&path).unwrap().verify_chain("w").unwrap().length, 6);
    }
}

/// Runs `during` while another program holds a lock on the database.
fn locked(path: &Path, lock: &'static str, during: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut connection = runtime.block_on(async {
        let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
        sqlx::raw_sql(lock).execute(&mut connection).await.unwrap();
        connection
    });
    during();
    runtime.block_on(async {
        sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

#[test]
fn a_lock_of_somebody_else_is_busy_and_passes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cofre.db");
    let store = Store::open(&path).unwrap();
    start(&store);
    locked(&path, "BEGIN IMMEDIATE", || {
        let begun = Instant::now();
        let error = store.commit(&{
            let mut batch = Batch::new(Timestamp::UNIX_EPOCH);
            batch.changes.push(Change::Delete { path: "/counter/a".to_owned(), revision: None });
            batch
        });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Busy);
        assert!(begun.elapsed() > Duration::from_secs(4));
        assert!(store.read("/counter/a").unwrap().is_some(), "it can be read all the while");
    });
    assert_eq!(increment(&store, "w"), 0);
    drop(store);
    locked(&path, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE", || {
        assert_eq!(Store::open(&path).unwrap_err().kind(), ErrorKind::Busy);
    });
    assert_eq!(increment(&Store::open(&path).unwrap(), "w"), 0);
}

/// A server may call from where it should not: the thread blocks, and that is all.
#[test]
fn an_asynchronous_caller_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cofre.db");
    for mut builder in
        [tokio::runtime::Builder::new_current_thread(), tokio::runtime::Builder::new_multi_thread()]
    {
        builder.build().unwrap().block_on(async {
            let store = Store::open(&path).unwrap();
            if store.read("/counter/a").unwrap().is_none() {
                start(&store);
            }
            assert_eq!(increment(&store, "w"), 0);
        });
    }
    assert_eq!(Store::open(&path).unwrap().verify_chain("w").unwrap().length, 2);
}
