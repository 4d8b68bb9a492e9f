//! Many threads, several handles, other people's locks.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bodies;

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bodies::Body;
use cofre_store::{Batch, Change, ErrorKind, Event, Store};
use jiff::Timestamp;

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
            // The disk stood still for longer than a lock is waited for.
            Err(error) if error.kind() == ErrorKind::Busy => {}
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
        let writers: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        // Before a panic of theirs goes on, or the readers would read for ever.
        done.store(true, Ordering::Relaxed);
        let conflicts: usize = writers.into_iter().map(Result::unwrap).sum();
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
    race(&[&Body::file().open()]);
}

#[test]
fn threads_share_a_store_in_memory() {
    race(&[&Store::in_memory().unwrap()]);
}

#[test]
fn threads_share_a_store_on_a_server() {
    race(&[&Body::server().open()]);
}

#[test]
fn two_handles_share_a_file() {
    let body = Body::file();
    race(&[&body.open(), &body.open()]);
}

#[test]
fn two_handles_share_a_database_on_a_server() {
    let body = Body::server();
    race(&[&body.open(), &body.open()]);
}

fn made_once(body: &Body) {
    let barrier = Barrier::new(6);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                barrier.wait();
                let store = body.open();
                let mut batch = Batch::new(Timestamp::UNIX_EPOCH);
                let (writer, time) = ("w".to_owned(), Timestamp::UNIX_EPOCH);
                batch.events.push(Event { writer, time, body: Vec::new() });
                store.commit(&batch).unwrap();
            });
        }
    });
    assert_eq!(body.open().verify_chain("w").unwrap().length, 6);
}

#[test]
fn a_database_is_made_once() {
    (0..20).for_each(|_| made_once(&Body::file()));
}

#[test]
fn a_database_is_made_once_on_a_server() {
    (0..5).for_each(|_| made_once(&Body::server()));
}

/// `writing` locks the database against those who write, `everything` against those who open it as well.
fn a_lock_is_busy_and_passes(body: &Body, writing: &str, everything: &str) {
    let store = body.open();
    start(&store);
    let mut outsider = body.outsider();
    outsider.run(writing);
    thread::scope(|scope| {
        let change = scope.spawn(|| {
            let begun = Instant::now();
            let mut batch = Batch::new(Timestamp::UNIX_EPOCH);
            batch.changes.push(Change::Delete { path: "/counter/a".to_owned(), revision: None });
            assert_eq!(store.commit(&batch).unwrap_err().kind(), ErrorKind::Busy);
            assert!(begun.elapsed() > Duration::from_secs(4));
        });
        while !change.is_finished() {
            assert!(store.read("/counter/a").unwrap().is_some(), "it can be read all the while");
        }
        change.join().unwrap();
    });
    let event = Event { writer: "w".to_owned(), time: Timestamp::UNIX_EPOCH, body: Vec::new() };
    assert_eq!(store.append(&[event], None).unwrap_err().kind(), ErrorKind::Busy);
    outsider.run("ROLLBACK");
    outsider.close();
    assert_eq!(increment(&store, "w"), 0);
    drop(store);
    let mut outsider = body.outsider();
    outsider.run(everything);
    let opened = match body {
        Body::File(path, _) => Store::open(path),
        Body::Server(url) => Store::connect(url),
    };
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::Busy);
    outsider.run("ROLLBACK");
    outsider.close();
    assert_eq!(increment(&body.open(), "w"), 0);
}

#[test]
fn a_lock_of_somebody_else_is_busy_and_passes() {
    let everything = "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE";
    a_lock_is_busy_and_passes(&Body::file(), "BEGIN IMMEDIATE", everything);
}

#[test]
fn a_lock_of_somebody_else_on_a_server_is_busy_and_passes() {
    let writing = "BEGIN; SELECT number::text FROM cofre.batch FOR UPDATE";
    let everything = "BEGIN; LOCK TABLE cofre.schema_version";
    a_lock_is_busy_and_passes(&Body::server(), writing, everything);
}

/// A server may call from where it should not: the thread blocks, and that is all.
fn asynchronous_callers(body: &Body) {
    for mut builder in
        [tokio::runtime::Builder::new_current_thread(), tokio::runtime::Builder::new_multi_thread()]
    {
        builder.build().unwrap().block_on(async {
            let store = body.open();
            if store.read("/counter/a").unwrap().is_none() {
                start(&store);
            }
            assert_eq!(increment(&store, "w"), 0);
        });
    }
    assert_eq!(body.open().verify_chain("w").unwrap().length, 2);
}

#[test]
fn an_asynchronous_caller_does_no_harm() {
    asynchronous_callers(&Body::file());
}

#[test]
fn an_asynchronous_caller_does_no_harm_on_a_server() {
    asynchronous_callers(&Body::server());
}
