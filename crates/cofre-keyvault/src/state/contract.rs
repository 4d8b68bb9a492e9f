//! The exam that every body of [`State`] takes.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use super::{Change, Record, State, StateError};
use crate::{
    audit::{AuditEvent, Operation, Scope},
    caller::Caller,
};

fn event() -> AuditEvent {
    let caller = Caller {
        object_id: "object".to_owned(),
        tenant: "tenant".to_owned(),
        name: "Tést\"er".to_owned(),
        ..Caller::default()
    };
    let mut event = AuditEvent::begin(&caller, Operation::Get, Scope::Keys, "vault", "name", None);
    event.allowed(Timestamp::UNIX_EPOCH);
    event
}

fn create(path: &str, body: &[u8]) -> Change {
    Change::Create { path: path.to_owned(), body: body.to_vec() }
}

fn replace(record: &Record, body: &[u8]) -> Change {
    Change::Replace { path: record.path.clone(), revision: record.revision, body: body.to_vec() }
}

fn delete(record: &Record) -> Change {
    Change::Delete { path: record.path.clone(), revision: record.revision }
}

fn get(state: &dyn State, path: &str) -> Record {
    let record = state.read(path).expect("the storage can be read").expect("the record is there");
    assert_eq!(record.path, path);
    record
}

fn assert_conflict(state: &dyn State, changes: &[Change]) {
    let result = state.commit(changes, &[event()]);
    assert!(matches!(result, Err(StateError::Conflict { .. })), "a conflict was expected: {result:?}");
}

/// Puts an empty storage through everything this crate relies on.
///
/// What became of the events only the body's own tests can see: they were appended with every
/// commit that succeeded, in their order, and with no other.
///
/// # Panics
/// Where the storage does not keep a promise.
pub fn state_contract(state: &dyn State) {
    writes_and_reads(state);
    revisions_do_not_come_back(state);
    batches_are_all_or_nothing(state);
    lists_are_sorted_and_paged(state);
    one_of_many_writers_wins(state);
    decisions_rest_on_a_version(state);
}

fn writes_and_reads(state: &dyn State) {
    assert!(state.read("a/none").expect("reads").is_none());
    let every_byte: Vec<u8> = (0..=255).collect();
    state.commit(&[create("a/bytes", &every_byte)], &[event(), event()]).expect("commits");
    assert_eq!(get(state, "a/bytes").body, every_byte);
    state.commit(&[create("a/empty", b"")], &[]).expect("commits without an event");
    assert!(get(state, "a/empty").body.is_empty());
    let large = vec![0x5a; 3 << 20];
    state.commit(&[create("a/large", &large)], &[]).expect("takes three MiB");
    assert_eq!(get(state, "a/large").body, large);
    state.commit(&[], &[event()]).expect("commits an event alone");
    state.commit(&[], &[]).expect("commits nothing");
    let long = format!("a/{}", "x".repeat(253));
    state.commit(&[create(&long, b"1")], &[]).expect("takes paths of 255 bytes");
    assert_eq!(get(state, &long).body, b"1");
}

fn revisions_do_not_come_back(state: &dyn State) {
    state.commit(&[create("b/record", b"1")], &[]).expect("commits");
    let first = get(state, "b/record");
    assert_conflict(state, &[create("b/record", b"again")]);
    state.commit(&[replace(&first, b"2")], &[event()]).expect("replaces");
    let second = get(state, "b/record");
    assert_eq!(second.body, b"2");
    assert_ne!(first.revision, second.revision);
    assert_conflict(state, &[replace(&first, b"3")]);
    assert_conflict(state, &[delete(&first)]);
    state.commit(&[delete(&second)], &[event()]).expect("deletes");
    assert!(state.read("b/record").expect("reads").is_none());
    assert_conflict(state, &[replace(&second, b"3")]);
    assert_conflict(state, &[delete(&second)]);
    state.commit(&[create("b/record", b"1")], &[]).expect("creates again");
    let third = get(state, "b/record");
    assert!(third.revision != first.revision && third.revision != second.revision);
    assert_conflict(state, &[replace(&first, b"3")]);
    assert_eq!(get(state, "b/record"), third);
}

fn batches_are_all_or_nothing(state: &dyn State) {
    state.commit(&[create("c/1", b"1"), create("c/2", b"2")], &[event()]).expect("commits");
    let (one, two) = (get(state, "c/1"), get(state, "c/2"));
    let stale =
        Change::Replace { path: "c/2".to_owned(), revision: two.revision + 1000, body: b"x".to_vec() };
    assert_conflict(state, &[replace(&one, b"x"), create("c/3", b"x"), stale.clone()]);
    assert_conflict(state, &[stale, delete(&one)]);
    assert_eq!((get(state, "c/1"), get(state, "c/2")), (one.clone(), two.clone()));
    assert!(state.read("c/3").expect("reads").is_none());
    state.commit(&[replace(&one, b"new"), delete(&two), create("c/3", b"3")], &[event()]).expect("commits");
    assert_eq!(get(state, "c/1").body, b"new");
    assert!(state.read("c/2").expect("reads").is_none());
    assert_eq!(get(state, "c/3").body, b"3");
}

fn lists_are_sorted_and_paged(state: &dyn State) {
    let paths = ["d-/x", "d/a", "d/a-b", "d/a/1", "d/a/2", "d/ab", "d/z", "d0"];
    for path in ["d/z", "d0", "d/a/2", "d/ab", "d-/x", "d/a", "d/a/1", "d/a-b"] {
        state.commit(&[create(path, path.as_bytes())], &[]).expect("commits");
    }
    let list = |prefix: &str, after: Option<&str>, limit| {
        let records = state.list(prefix, after, limit).expect("lists");
        assert!(
            records
                .iter()
                .all(|record| record.body == record.path.as_bytes() && *record == get(state, &record.path))
        );
        records.into_iter().map(|record| record.path).collect::<Vec<_>>()
    };
    assert_eq!(list("d", None, 100), paths);
    assert_eq!(list("d/", None, 100), paths[1..7]);
    assert_eq!(list("d/a/", None, 100), ["d/a/1", "d/a/2"]);
    assert_eq!(list("d/", None, 2), paths[1..3]);
    assert_eq!(list("d/", Some("d/a-b"), 2), paths[3..5]);
    assert_eq!(list("d/", Some("d/aa"), 100), ["d/ab", "d/z"]);
    assert_eq!(list("d/", Some("d"), 100), paths[1..7]);
    assert!(list("d/", Some("d/z"), 100).is_empty());
    assert!(
        list("d/", None, 0).is_empty() && list("d/_", None, 9).is_empty() && list("d%", None, 9).is_empty()
    );
    assert!(list("D/", None, 9).is_empty(), "prefixes count byte for byte");
}

fn one_of_many_writers_wins(state: &dyn State) {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 25;
    state.commit(&[create("e/counter", &0_u64.to_be_bytes())], &[]).expect("commits");
    let conflicts = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    loop {
                        let record = get(state, "e/counter");
                        let count =
                            u64::from_be_bytes(record.body.as_slice().try_into().expect("eight bytes"));
                        match state.commit(&[replace(&record, &(count + 1).to_be_bytes())], &[event()]) {
                            Ok(()) => break,
                            Err(StateError::Conflict { .. }) => conflicts.fetch_add(1, Ordering::Relaxed),
                            Err(error) => panic!("{error:?}"),
                        };
                    }
                }
            });
        }
    });
    assert_eq!(get(state, "e/counter").body, (THREADS * ROUNDS).to_be_bytes());
}

fn decisions_rest_on_a_version(state: &dyn State) {
    let version = || state.version().expect("the storage has a version");
    let before = version();
    state.append(&[event()], Some(before)).expect("nothing was changed");
    state.append(&[event(), event()], None).expect("whatever was changed");
    assert_eq!(version(), before, "events alone change no version");
    state.commit(&[create("versioned/a", b"1")], &[event()]).expect("a new record");
    let after = version();
    assert_ne!(after, before, "a change changes the version");
    let stale = state.append(&[event()], Some(before));
    assert!(matches!(stale, Err(StateError::Stale)), "{stale:?}");
    state.append(&[event()], Some(after)).expect("decided anew");
    let (told, outcome) = std::sync::mpsc::channel();
    for as_of in [after, before] {
        let told = told.clone();
        let then = Box::new(move |result| told.send(result).expect("somebody waits"));
        state.append_then(event(), as_of, then);
        let result = outcome.recv().expect("the outcome is told");
        match result {
            Ok(()) => assert_eq!(as_of, after),
            Err(StateError::Stale) => assert_eq!(as_of, before),
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::MemoryState;

    #[test]
    fn memory() {
        let state = MemoryState::new();
        state_contract(&state);
        assert!(state.events().iter().all(|made| *made == event()));
        // bytes, alone, revisions, batches, counter, version
        assert_eq!(state.events().len(), 2 + 1 + 2 + 2 + 100 + 6);
    }
}
