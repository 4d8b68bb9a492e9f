//! Locks and leases: who excludes whom, what is stale, and what a writer that lost its lease may do.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use cofre_disk::{BlockSource, DiskError, Extent, memory::MemorySource};
use cofre_repo::{
    BlobId, Cancel, ErrorKind, Repository, RepositorySecret, Result,
    clock::Clock,
    config::ChunkSize,
    crypto::sha256,
    ingest::{DiskInput, IngestReport, IngestRequest, ParentChoice},
    lease::Purpose,
    lock::Access,
    pack::BlobKind,
    point::Consistency,
    progress::Silent,
    repository::{PointSelector, Session},
    storage::{Kind, local::LocalStorage},
    tree::TreeBuilder,
};
use jiff::{SignedDuration, Timestamp};

/// A clock that the test moves.
#[derive(Clone)]
struct Hands(Arc<Mutex<Timestamp>>);

impl Hands {
    fn new() -> Self {
        Self(Arc::new(Mutex::new("2026-01-01T00:00:00Z".parse().unwrap())))
    }
    fn forward(&self, minutes: i64) {
        let mut now = self.0.lock().unwrap();
        *now = now.checked_add(SignedDuration::from_mins(minutes)).unwrap();
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

fn init(path: &Path, clock: &Hands) -> Repository {
    let storage = Arc::new(LocalStorage::new(path).unwrap());
    let secret = RepositorySecret::new(b"x").unwrap();
    Repository::init(storage, &secret, ChunkSize::DEFAULT).unwrap().with_clock(Arc::new(clock.clone()))
}

fn kind<T>(result: Result<T>) -> ErrorKind {
    result.err().expect("an error").kind()
}

fn ingest(repository: &Repository, name: &str, source: Box<dyn BlockSource>) -> Result<IngestReport> {
    let request = IngestRequest {
        id: None,
        name: name.into(),
        resource: None,
        tags: Vec::new(),
        time: None,
        consistency: Consistency::CrashConsistent,
        parent: ParentChoice::Newest,
        disks: vec![DiskInput {
            name: "os".into(),
            format: "raw".into(),
            source,
            changed: None,
            encryption: None,
        }],
        machine: None,
        keys: Vec::new(),
        software: "test".into(),
    };
    repository.ingest(&request, &Silent, &Cancel::new())
}

/// Three megabytes that are all different from each other.
fn noise() -> Vec<u8> {
    (0..3_000_000_u32).map(|i| i.wrapping_mul(i).to_le_bytes()[1]).collect()
}

fn memory(bytes: Vec<u8>) -> Box<dyn BlockSource> {
    Box::new(MemorySource::new(bytes, "memory"))
}

#[test]
fn who_excludes_whom() {
    let directory = tempfile::tempdir().unwrap();
    let repository = init(directory.path(), &Hands::new());
    let begin = |access, purpose, subject| Session::begin(&repository, access, purpose, subject);
    {
        let first = begin(Access::Shared, Purpose::Ingest, "a").unwrap();
        let other = begin(Access::Shared, Purpose::Ingest, "b").unwrap();
        let reader = begin(Access::Shared, Purpose::Restore, "").unwrap();
        let _another = begin(Access::Shared, Purpose::Restore, "").unwrap();
        assert!(first.epoch() < other.epoch() && other.epoch() < reader.epoch());
        assert_eq!(kind(begin(Access::Shared, Purpose::Ingest, "a")), ErrorKind::Locked);
        assert_eq!(kind(begin(Access::Exclusive, Purpose::Prune, "")), ErrorKind::Locked);
        first.verify().unwrap();
    }
    // all were given back
    let alone = begin(Access::Exclusive, Purpose::Prune, "").unwrap();
    assert!(alone.epoch() >= 5, "no epoch comes back");
    assert_eq!(kind(begin(Access::Shared, Purpose::Restore, "")), ErrorKind::Locked);
    drop(alone);
    assert_eq!(repository.storage().list(Kind::Lock).unwrap(), []);
    assert_eq!(repository.storage().list(Kind::Lease).unwrap().len(), 1, "the highest epoch is kept");
}

#[test]
fn a_silent_holder_is_replaced_and_finds_out() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Hands::new();
    let repository = init(directory.path(), &clock);
    let slow = Session::begin(&repository, Access::Shared, Purpose::Ingest, "a").unwrap();
    clock.forward(29);
    slow.verify().unwrap();
    assert_eq!(kind(Session::begin(&repository, Access::Shared, Purpose::Ingest, "a")), ErrorKind::Locked);
    clock.forward(2);
    assert_eq!(kind(slow.verify()), ErrorKind::LeaseLost);
    let next = Session::begin(&repository, Access::Shared, Purpose::Ingest, "a").unwrap();
    assert!(next.epoch() > slow.epoch());
    assert_eq!(kind(slow.verify()), ErrorKind::LeaseLost);
    drop(slow);
    next.verify().unwrap();
}

/// A disk whose reader loses its lease in the middle of the backup.
struct Paused {
    inner: MemorySource,
    clock: Hands,
    rival: Repository,
}

impl BlockSource for Paused {
    fn size(&self) -> u64 {
        self.inner.size()
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
        self.inner.read_exact_at(buffer, offset)
    }
    fn extent_at(&self, offset: u64) -> Result<Extent, DiskError> {
        self.inner.extent_at(offset)
    }
    fn verify_unchanged(&self) -> Result<(), DiskError> {
        self.clock.forward(60);
        drop(ingest(&self.rival, "vm", memory(vec![9; 1000])).unwrap());
        Ok(())
    }
    fn label(&self) -> String {
        "paused".into()
    }
}

#[test]
fn a_writer_that_lost_its_lease_publishes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Hands::new();
    let repository = init(directory.path(), &clock);
    let source = Paused {
        inner: MemorySource::new(vec![5; 100_000], "memory"),
        clock: clock.clone(),
        rival: repository.clone(),
    };
    assert_eq!(kind(ingest(&repository, "vm", Box::new(source))), ErrorKind::LeaseLost);
    let (points, unreadable) = repository.points(&repository.load_index().unwrap()).unwrap();
    assert_eq!((points.len(), unreadable.len()), (1, 0), "only the rival's");
    assert_eq!(repository.check(true, &Silent, &Cancel::new()).unwrap().findings, []);
}

#[test]
fn prune_waits_for_older_leases_and_grace() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Hands::new();
    let repository = init(directory.path(), &clock);
    let old = ingest(&repository, "vm", memory(noise())).unwrap();
    ingest(&repository, "vm", memory(vec![1; 1000])).unwrap();
    repository.forget(&[PointSelector::Id(old.point.to_hex())], None).unwrap();
    let prune = |grace| repository.prune(SignedDuration::from_mins(grace), &Silent, &Cancel::new()).unwrap();

    let marked = prune(60);
    assert_eq!(marked.packs_deleted, 0);
    assert!(marked.packs_waiting > 0 && marked.waiting_for.is_some());
    // a restore that runs holds the deletion up, whatever its age
    let reader = Session::begin(&repository, Access::Shared, Purpose::Restore, "").unwrap();
    clock.forward(20);
    assert!(prune(10).packs_waiting > 0);
    drop(reader);
    let done = prune(10);
    assert!(done.packs_deleted > 0 && done.bytes_freed > 0, "{done:?}");
    assert_eq!(prune(10).packs_waiting, 0);
    assert_eq!(repository.check(true, &Silent, &Cancel::new()).unwrap().findings, []);
}

#[test]
fn a_marked_chunk_that_is_needed_again_is_stored_again() {
    let directory = tempfile::tempdir().unwrap();
    let repository = init(directory.path(), &Hands::new());
    let disk: Vec<u8> = noise();
    let old = ingest(&repository, "vm", memory(disk.clone())).unwrap();
    repository.forget(&[PointSelector::Id(old.point.to_hex())], None).unwrap();
    let marked = repository.prune(SignedDuration::from_hours(1), &Silent, &Cancel::new()).unwrap();
    assert!(marked.packs_waiting > 0);
    let again = ingest(&repository, "vm", memory(disk)).unwrap();
    assert_eq!(again.disks[0].chunks_new, old.disks[0].chunks_new);
    let pruned = repository.prune(SignedDuration::ZERO, &Silent, &Cancel::new()).unwrap();
    assert!(pruned.packs_deleted > 0);
    let report = repository.check(true, &Silent, &Cancel::new()).unwrap();
    assert_eq!(report.findings, []);
}

#[test]
fn a_lost_pack_is_stored_again_by_the_next_backup() {
    let directory = tempfile::tempdir().unwrap();
    let repository = init(directory.path(), &Hands::new());
    let disk: Vec<u8> = noise();
    ingest(&repository, "vm", memory(disk.clone())).unwrap();
    for (object, _) in repository.storage().list(Kind::Pack).unwrap() {
        let path = directory.path().join(object.to_string());
        let mut bytes = std::fs::read(&path).unwrap();
        // flip a bit in the first blob
        bytes[20] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let report = repository.check(false, &Silent, &Cancel::new()).unwrap();
    assert!(report.findings.iter().any(|f| f.code == "PackDamaged"), "{report:?}");
    assert!(
        report.findings.iter().any(|f| f.code.starts_with("Disk") || f.code.starts_with("Point")),
        "{report:?}"
    );
    ingest(&repository, "vm", memory(disk)).unwrap();
    repository.prune(SignedDuration::ZERO, &Silent, &Cancel::new()).unwrap();
    let report = repository.check(true, &Silent, &Cancel::new()).unwrap();
    assert_eq!(report.findings, [], "both points are whole again");
}

#[test]
fn packs_of_an_interrupted_backup_are_adopted() {
    let directory = tempfile::tempdir().unwrap();
    let repository = init(directory.path(), &Hands::new());
    let disk: Vec<u8> = noise();
    let first = ingest(&repository, "vm", memory(disk.clone())).unwrap();
    // what a kill before the first index leaves
    for kind in [Kind::Index, Kind::Snapshot] {
        let all: Vec<_> = repository.storage().list(kind).unwrap().into_iter().map(|(o, _)| o).collect();
        repository.storage().delete(&all).unwrap();
    }
    let again = ingest(&repository, "vm", memory(disk)).unwrap();
    assert_eq!(again.disks[0].chunks_new, 0);
    assert!(again.repository_bytes_added < first.repository_bytes_added / 10);
    let report = repository.check(true, &Silent, &Cancel::new()).unwrap();
    assert_eq!((report.findings.len(), report.warnings.len()), (0, 0), "{report:?}");
}

#[test]
fn a_chunk_with_the_bytes_of_a_tree_is_a_blob_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let repository = init(directory.path(), &Hands::new());
    // the piece tree of this disk, as a guest that guesses it could write it
    let mut tree = TreeBuilder::default();
    tree.file("data", 1000, &[BlobId(sha256(&[7; 1000]))]).unwrap();
    let tree = tree.finish();
    let evil = ingest(&repository, "evil", memory(tree.clone())).unwrap();
    assert_eq!(evil.disks[0].chunks_new, 1);
    ingest(&repository, "vm", memory(vec![7; 1000])).unwrap();
    ingest(&repository, "late", memory(tree)).unwrap();
    let index = repository.load_index().unwrap();
    let both: Vec<_> =
        index.iter().filter(|l| l.blob.plain_length() < 1000).map(|l| index.pack(&l).kind).collect();
    assert!(both.contains(&BlobKind::Data) && both.contains(&BlobKind::Tree));
    repository.prune(SignedDuration::ZERO, &Silent, &Cancel::new()).unwrap();
    assert_eq!(repository.check(true, &Silent, &Cancel::new()).unwrap().findings, []);
    let (points, _) = repository.points(&repository.load_index().unwrap()).unwrap();
    assert_eq!(points.len(), 3);
}

#[test]
fn two_inits_at_once_leave_one_repository_that_opens() {
    for _ in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let secret = RepositorySecret::new(b"x").unwrap();
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let inits = [0, 1].map(|_| {
                scope.spawn(|| {
                    let storage = Arc::new(LocalStorage::new(directory.path()).unwrap());
                    Repository::init(storage, &secret, ChunkSize::DEFAULT).map(drop)
                })
            });
            inits.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1, "{outcomes:?}");
        let storage = Arc::new(LocalStorage::new(directory.path()).unwrap());
        let repository = Repository::open(storage, &secret).unwrap();
        assert_eq!(repository.storage().list(Kind::Key).unwrap().len(), 1);
    }
}

#[test]
fn a_point_that_cannot_be_read_can_be_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let repository = init(directory.path(), &Hands::new());
    let point = ingest(&repository, "vm", memory(noise())).unwrap();
    for (object, _) in repository.storage().list(Kind::Pack).unwrap() {
        std::fs::remove_file(directory.path().join(object.to_string())).unwrap();
    }
    let (points, unreadable) = repository.points(&repository.load_index().unwrap()).unwrap();
    assert!(points.is_empty() && unreadable[0].point == Some(point.point));
    let error = repository.prune(SignedDuration::ZERO, &Silent, &Cancel::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    // not by way of another machine's name
    let other = repository.forget(&[PointSelector::Id(point.point.short())], Some("other"));
    assert_eq!(kind(other), ErrorKind::PointNotFound);
    let gone = repository.forget(&[PointSelector::Id(point.point.short())], Some("vm")).unwrap();
    assert_eq!(gone, [point.point]);
    repository.prune(SignedDuration::ZERO, &Silent, &Cancel::new()).unwrap();
    let report = repository.check(true, &Silent, &Cancel::new()).unwrap();
    assert_eq!((report.findings.len(), report.packs), (0, 0));
}
