//! The exam every body of `Storage` takes.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    sync::{Arc, Barrier},
    thread,
};

use cofre_repo::{
    ErrorKind, PackId, SnapshotId,
    crypto::sha256,
    storage::{Kind, Object, Storage, local::LocalStorage},
};

fn pack(bytes: &[u8]) -> Object {
    PackId(sha256(bytes)).into()
}

/// All of it, on an empty store.
fn exam(storage: Arc<dyn Storage>) {
    storage.prepare().unwrap();
    storage.prepare().unwrap();
    for kind in Kind::DIRECTORIES {
        assert_eq!(storage.list(kind).unwrap(), [], "{kind:?}");
    }
    create_only_once(&*storage);
    ranges(&*storage);
    staged(&*storage);
    replaced(&*storage);
    deleted(&*storage);
    races(&storage);
    storage.sweep().unwrap();
}

fn create_only_once(storage: &dyn Storage) {
    let object = Object::config();
    assert_eq!(storage.read(&object, 10).unwrap(), None);
    assert!(storage.create(&object, b"first").unwrap());
    assert!(!storage.create(&object, b"second").unwrap());
    assert_eq!(storage.read(&object, 10).unwrap().unwrap(), b"first");
    assert_eq!(storage.read(&object, 4).unwrap_err().kind(), ErrorKind::Damaged, "longer than allowed");
    assert_eq!(storage.length(&object).unwrap(), Some(5));
}

fn ranges(storage: &dyn Storage) {
    let object = pack(b"0123456789");
    storage.create(&object, b"0123456789").unwrap();
    let mut buffer = [0; 4];
    storage.read_range(&object, 3, &mut buffer).unwrap();
    assert_eq!(&buffer, b"3456");
    storage.read_range(&object, 10, &mut []).unwrap();
    for (object, offset) in [(&object, 7), (&object, u64::MAX - 2), (&pack(b"none"), 0)] {
        let error = storage.read_range(object, offset, &mut buffer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    }
}

fn staged(storage: &dyn Storage) {
    let object = pack(b"staged");
    let mut staged = storage.stage().unwrap();
    staged.append(b"sta").unwrap();
    assert_eq!(storage.length(&object).unwrap(), None, "not before it is committed");
    staged.append(b"ged").unwrap();
    staged.commit(&object).unwrap();
    assert_eq!(storage.read(&object, 10).unwrap().unwrap(), b"staged");

    let before = storage.list(Kind::Pack).unwrap().len();
    let mut dropped = storage.stage().unwrap();
    dropped.append(b"never").unwrap();
    drop(dropped);
    assert_eq!(storage.list(Kind::Pack).unwrap().len(), before);
}

fn replaced(storage: &dyn Storage) {
    let object = Object::lease(1);
    storage.replace(&object, b"a").unwrap();
    storage.replace(&object, b"bb").unwrap();
    assert_eq!(storage.read(&object, 10).unwrap().unwrap(), b"bb");
    assert_eq!(storage.list(Kind::Lease).unwrap(), [(object, 2)]);
}

fn deleted(storage: &dyn Storage) {
    let objects = [Object::from(SnapshotId([1; 32])), Object::from(SnapshotId([2; 32]))];
    storage.create(&objects[0], b"x").unwrap();
    storage.delete(&objects).unwrap();
    storage.delete(&objects).unwrap();
    assert_eq!(storage.list(Kind::Snapshot).unwrap(), []);
    assert!(storage.create(&objects[0], b"again").unwrap());
}

/// Of many threads that create one object one wins, and everybody reads the winner's bytes whole.
fn races(storage: &Arc<dyn Storage>) {
    for round in 0..20_u64 {
        let barrier = Arc::new(Barrier::new(4));
        let threads = (0..4_u8).map(|n| {
            let (storage, barrier) = (Arc::clone(storage), Arc::clone(&barrier));
            thread::spawn(move || {
                barrier.wait();
                let won = storage.create(&Object::mark(round), &vec![n; 100_000]).unwrap();
                let read = storage.read(&Object::mark(round), 1 << 20).unwrap().unwrap();
                assert!(read.len() == 100_000 && read.iter().all(|&b| b == read[0]));
                (won, n, read[0])
            })
        });
        let outcomes: Vec<_> = threads.collect::<Vec<_>>().into_iter().map(|t| t.join().unwrap()).collect();
        let winners: Vec<_> = outcomes.iter().filter(|(won, ..)| *won).collect();
        assert_eq!(winners.len(), 1);
        assert!(outcomes.iter().all(|(_, _, read)| *read == winners[0].1));
    }
}

#[test]
fn local_directory() {
    let directory = tempfile::tempdir().unwrap();
    exam(Arc::new(LocalStorage::new(directory.path().join("a/b")).unwrap()));
    // nothing half written is left
    let left = std::fs::read_dir(directory.path().join("a/b/cofre/tmp")).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn names_that_are_none_are_not_listed() {
    let directory = tempfile::tempdir().unwrap();
    let storage = LocalStorage::new(directory.path()).unwrap();
    storage.prepare().unwrap();
    for name in ["locks/README", "locks/abc-tmp-1", "locks/ABC", "data/zz", "data/00/x.tmp"] {
        std::fs::write(directory.path().join(name), b"x").unwrap();
    }
    std::fs::create_dir(directory.path().join("locks/abcd")).unwrap();
    assert_eq!(storage.list(Kind::Lock).unwrap(), []);
    assert_eq!(storage.list(Kind::Pack).unwrap(), []);
}
