//! Events appended by many at once: threads, handles, processes; and those who change documents meanwhile.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bodies;

use std::{
    collections::BTreeMap,
    env,
    process::{Command, Stdio},
    sync::Barrier,
    thread,
};

use bodies::Body;
use cofre_store::{Batch, Change, ErrorKind, Event, Store};
use jiff::Timestamp;

const THREADS: usize = 16;
const EACH: usize = 60;

fn event(writer: &str, body: String) -> Event {
    Event { writer: writer.to_owned(), time: Timestamp::UNIX_EPOCH, body: body.into_bytes() }
}

/// Events of one thread: calls of one to four each, to a chain that all share and one that some share.
fn append_all(store: &Store, thread: usize) {
    for call in 0..EACH {
        let mut events: Vec<_> =
            (0..call % 4 + 1).map(|part| event("shared", format!("{thread} {call} {part}"))).collect();
        events
            .insert(call % events.len(), event(&format!("of {}", thread % 3), format!("{thread} {call} 0")));
        store.append(&events, None).unwrap();
    }
}

/// The words of a chain's bodies, as numbers.
fn numbers(store: &Store, writer: &str) -> Vec<[usize; 3]> {
    let events = store.events(writer, 1, usize::MAX).unwrap();
    let words = |event: &cofre_store::EventRow| -> Vec<usize> {
        str::from_utf8(&event.body).unwrap().split(' ').map(|word| word.parse().unwrap()).collect()
    };
    events.iter().map(|event| words(event).try_into().unwrap()).collect()
}

/// Demands that all events of `threads` threads are there once, each thread's in its order, each call's in one piece.
fn verify(store: &Store, threads: usize) {
    let shared = numbers(store, "shared");
    let mut calls = BTreeMap::<usize, usize>::new();
    let mut rest = shared.as_slice();
    while let Some([thread, call, _]) = rest.first().copied() {
        let next = calls.entry(thread).or_default();
        assert_eq!(call, *next, "of thread {thread}");
        *next += 1;
        let (whole, after) = rest.split_at(call % 4 + 1);
        assert!(whole.iter().enumerate().all(|(part, event)| *event == [thread, call, part]), "{whole:?}");
        rest = after;
    }
    assert_eq!(calls, (0..threads).map(|thread| (thread, EACH)).collect());
    assert_eq!(store.verify_chain("shared").unwrap().length, shared.len() as u64);
    for third in 0..3 {
        let writer = format!("of {third}");
        let chain = numbers(store, &writer);
        for thread in (0..threads).filter(|thread| thread % 3 == third) {
            let own: Vec<_> = chain.iter().filter(|event| event[0] == thread).map(|event| event[1]).collect();
            assert_eq!(own, (0..EACH).collect::<Vec<_>>());
        }
        assert_eq!(store.verify_chain(&writer).unwrap().length, chain.len() as u64);
    }
    assert_eq!(store.version().unwrap(), 0);
}

fn all_at_once(handles: &[&Store]) {
    let barrier = &Barrier::new(THREADS);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = handles[thread % handles.len()];
            scope.spawn(move || {
                barrier.wait();
                append_all(store, thread);
            });
        }
    });
    handles.iter().for_each(|store| verify(store, THREADS));
}

#[test]
fn threads_append_to_a_file() {
    all_at_once(&[&Body::file().open()]);
}

#[test]
fn threads_append_in_memory() {
    all_at_once(&[&Store::in_memory().unwrap()]);
}

#[test]
fn threads_append_on_a_server() {
    all_at_once(&[&Body::server().open()]);
}

#[test]
fn two_handles_append_to_a_file() {
    let body = Body::file();
    all_at_once(&[&body.open(), &body.open()]);
}

#[test]
fn two_handles_append_on_a_server() {
    let body = Body::server();
    all_at_once(&[&body.open(), &body.open()]);
}

const ADDRESS: &str = "COFRE_STORE_ADDRESS";
const FIRST: &str = "COFRE_STORE_FIRST";

#[test]
#[ignore = "run by the other tests"]
fn the_process_that_appends() {
    let (Ok(address), Ok(first)) = (env::var(ADDRESS), env::var(FIRST)) else { return };
    let store = &bodies::open_address(&address);
    let first: usize = first.parse().unwrap();
    thread::scope(|scope| {
        for thread in first..first + 4 {
            scope.spawn(move || append_all(store, thread));
        }
    });
}

fn processes_append(body: &Body) {
    let store = body.open();
    let mut children = [0, 4, 8].map(|first: usize| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "the_process_that_appends", "--ignored", "--nocapture"]);
        command.env(ADDRESS, body.address()).env(FIRST, first.to_string()).stdout(Stdio::null());
        command.spawn().unwrap()
    });
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    verify(&store, 12);
}

#[test]
fn processes_append_to_a_file() {
    processes_append(&Body::file());
}

#[test]
fn processes_append_on_a_server() {
    processes_append(&Body::server());
}

/// Some decide on a document and put the decision on record as of the version they read; others change the document all
/// the while. No decision on record may be one on a document that had been replaced by then.
fn decisions_are_never_late(handles: &[&Store]) {
    const CHANGES: u64 = 40;
    let put = |number: u64| {
        let mut batch = Batch::new(Timestamp::UNIX_EPOCH);
        let body = number.to_string().into_bytes();
        batch.changes.push(Change::Put { path: "/a".to_owned(), kind: "x".to_owned(), body });
        batch.events.push(event("log", format!("changed {number}")));
        batch
    };
    handles[0].commit(&put(0)).unwrap();
    let deciders = |store: &Store| {
        let mut stale = 0;
        loop {
            // The version first: what is read after it is of that version or a later one.
            let version = store.version().unwrap();
            let body = store.read("/a").unwrap().unwrap().body;
            let decided = event("log", format!("decided {}", str::from_utf8(&body).unwrap()));
            match store.append(&[decided], Some(version)) {
                Ok(()) if body == CHANGES.to_string().as_bytes() => return stale,
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Stale => stale += 1,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let stale: usize = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..6).map(|thread| scope.spawn(move || deciders(handles[thread % handles.len()]))).collect();
        let store = handles[handles.len() - 1];
        for number in 1..=CHANGES {
            store.commit(&put(number)).unwrap();
        }
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(stale > 0, "they did not race");
    let mut present = String::new();
    let mut decisions = 0;
    for row in handles[0].events("log", 1, usize::MAX).unwrap() {
        match str::from_utf8(&row.body).unwrap().split_once(' ').unwrap() {
            ("changed", number) => number.clone_into(&mut present),
            (_, number) => {
                assert_eq!(number, present, "event {}", row.sequence);
                decisions += 1;
            }
        }
    }
    assert!(decisions >= 6);
    assert_eq!(handles[0].version().unwrap(), CHANGES + 1);
    handles[0].verify_chain("log").unwrap();
}

#[test]
fn decisions_of_one_handle_are_never_late() {
    decisions_are_never_late(&[&Body::file().open()]);
}

#[test]
fn decisions_of_two_handles_are_never_late() {
    let body = Body::file();
    decisions_are_never_late(&[&body.open(), &body.open()]);
}

#[test]
fn decisions_on_a_server_are_never_late() {
    let body = Body::server();
    decisions_are_never_late(&[&body.open()]);
    let body = Body::server();
    decisions_are_never_late(&[&body.open(), &body.open()]);
}

/// A store that ends writes what it took before.
#[test]
fn what_was_taken_is_written_before_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cofre.db");
    let store = Store::open(&path).unwrap();
    let told = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    for number in 0..1000 {
        let told = told.clone();
        store.append_then(vec![event("w", number.to_string())], None, move |result| {
            result.unwrap();
            told.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        });
    }
    drop(store);
    assert_eq!(told.load(std::sync::atomic::Ordering::SeqCst), 1000);
    assert_eq!(Store::open(&path).unwrap().verify_chain("w").unwrap().length, 1000);
}
