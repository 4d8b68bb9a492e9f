//! Connections to a server that are lost, and servers that crash.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bodies;

use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use bodies::{
    Body,
    cluster::Cluster,
    new_database,
    proxy::{Fate, Proxy},
};
use cofre_store::{Batch, Change, ErrorKind, Event, Store};
use jiff::Timestamp;

fn event(body: &str) -> Event {
    Event { writer: "w".to_owned(), time: Timestamp::UNIX_EPOCH, body: body.as_bytes().to_vec() }
}

fn populated(body: &str) -> Batch {
    let mut batch = Batch::new(Timestamp::UNIX_EPOCH);
    batch.changes.push(Change::Put { path: "/a".to_owned(), kind: "x".to_owned(), body: body.into() });
    batch.events.push(event(body));
    batch
}

const END_ALL: &str = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity \
                       WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[test]
fn connections_that_were_ended_are_made_anew() {
    let body = Body::server();
    let store = body.open();
    let mut outsider = body.outsider();
    for number in 1..=5 {
        store.commit(&populated("1")).unwrap();
        store.append(&[event("2")], None).unwrap();
        assert_eq!(store.version().unwrap(), number);
        assert!(!outsider.run(END_ALL).is_empty());
    }
    assert_eq!(store.verify_chain("w").unwrap().length, 10);
}

/// What a call answers is so, also when the connection is lost before the server's answer.
#[test]
fn a_commit_whose_answer_is_lost_is_found_out() {
    let url = new_database(Cluster::shared());
    let name = bodies::name(&url);
    let proxy = Proxy::new(Cluster::shared().socket());
    let direct = Store::connect(&url).unwrap();
    let store = Store::connect(&proxy.url(name)).unwrap();
    let mut length = 0;
    for round in 0..3 {
        proxy.next_commit(Fate::AnswerIsLost);
        let committed = store.commit(&populated("1")).unwrap();
        assert!(proxy.is_done());
        assert_eq!(committed.revision, direct.version().unwrap());
        proxy.next_commit(Fate::AnswerIsLost);
        store.append(&[event("2"), event("3")], Some(committed.revision)).unwrap();
        length += 3;
        assert_eq!(direct.verify_chain("w").unwrap().length, length);

        proxy.next_commit(Fate::IsLost);
        assert_eq!(store.commit(&populated("4")).unwrap_err().kind(), ErrorKind::Unavailable);
        proxy.next_commit(Fate::IsLost);
        let error = store.append(&[event("4")], None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(proxy.is_done());
        assert_eq!(
            (direct.verify_chain("w").unwrap().length, direct.version().unwrap()),
            (length, round + 1)
        );
    }
}

/// Kills one of the server's processes again and again. It then ends all others, forgets what it had in memory and
/// recovers from its log, as after a crash of the machine.
#[test]
fn what_was_acknowledged_outlives_a_crash_of_the_server() {
    const THREADS: usize = 4;
    let cluster = Cluster::own();
    let body = Body::Server(new_database(&cluster));
    let (store, over) = (&body.open(), &AtomicBool::new(false));
    let acknowledged: Vec<Vec<usize>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    let mut acknowledged = Vec::new();
                    for number in 0.. {
                        let was_over = over.load(Ordering::Relaxed);
                        match store.append(&[event(&format!("{thread} {number}"))], None) {
                            Ok(()) => acknowledged.push(number),
                            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
                        }
                        // It goes on after the last crash.
                        if was_over && acknowledged.last() == Some(&number) {
                            break;
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        let length = || store.chain_head("w").map(|head| head.length).unwrap_or_default();
        for _ in 0..3 {
            let before = length();
            while length() < before + 40 {
                thread::yield_now();
            }
            let writer = "SELECT pid::text FROM pg_stat_activity \
                          WHERE datname = current_database() AND query LIKE 'COMMIT%' LIMIT 1";
            let mut outsider = body.outsider();
            let victim = std::iter::repeat_with(|| outsider.run(writer).pop()).flatten().next().unwrap();
            assert!(Command::new("kill").args(["-KILL", &victim]).status().unwrap().success());
        }
        over.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let events = store.events("w", 1, usize::MAX).unwrap();
    assert_eq!(store.verify_chain("w").unwrap().length, events.len() as u64);
    for (thread, acknowledged) in acknowledged.iter().enumerate() {
        let prefix = format!("{thread} ");
        let bodies = events.iter().map(|event| str::from_utf8(&event.body).unwrap());
        let there: Vec<usize> = bodies.filter_map(|body| body.strip_prefix(&prefix)?.parse().ok()).collect();
        assert!(there.is_sorted_by(|a, b| a < b), "in order, and none twice");
        assert!(acknowledged.iter().all(|number| there.binary_search(number).is_ok()));
    }
}
