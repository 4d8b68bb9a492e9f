//! Every disk that goes in comes out, over chains of backups, against a model in memory.

#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test")]

use std::{path::Path, sync::Arc};

use cofre_disk::{
    BlockSink, BlockSource, DiskError, Extent, ExtentKind,
    dirty::DirtyRanges,
    memory::{MemorySink, MemorySource},
};
use cofre_repo::{
    Cancel, ErrorKind, PointId, Repository, RepositorySecret, Result,
    config::ChunkSize,
    ingest::{DiskInput, IngestReport, IngestRequest, ParentChoice},
    point::{Consistency, KeyFile},
    progress::Silent,
    repository::PointSelector,
    storage::local::LocalStorage,
};
use jiff::SignedDuration;
use proptest::prelude::*;

fn secret() -> RepositorySecret {
    RepositorySecret::new(b"correct horse").unwrap()
}

fn init(path: &Path, chunk: u64) -> Repository {
    let storage = Arc::new(LocalStorage::new(path).unwrap());
    Repository::init(storage, &secret(), ChunkSize::new(chunk).unwrap()).unwrap()
}

fn open(path: &Path) -> Repository {
    Repository::open(Arc::new(LocalStorage::new(path).unwrap()), &secret()).unwrap()
}

fn backup_from(
    repository: &Repository,
    source: Box<dyn BlockSource>,
    parent: ParentChoice,
    changed: Option<DirtyRanges>,
    tag: &str,
) -> Result<IngestReport> {
    let request = IngestRequest {
        id: None,
        name: "vm".into(),
        resource: None,
        tags: vec![tag.to_owned()],
        time: None,
        consistency: Consistency::CrashConsistent,
        parent,
        disks: vec![DiskInput { name: "os".into(), format: "raw".into(), source, changed, encryption: None }],
        machine: None,
        keys: Vec::new(),
        software: "test".into(),
    };
    repository.ingest(&request, &Silent, &Cancel::new())
}

fn backup(
    repository: &Repository,
    disk: &[u8],
    parent: ParentChoice,
    changed: Option<DirtyRanges>,
    tag: &str,
) -> IngestReport {
    backup_from(repository, Box::new(MemorySource::new(disk, "memory")), parent, changed, tag).unwrap()
}

fn restore(repository: &Repository, tag: &str) -> Vec<u8> {
    let plan = repository.plan_restore(&PointSelector::Tag(tag.to_owned()), None, "os", &Silent).unwrap();
    let sink = MemorySink::new(usize::try_from(plan.disk.size).unwrap());
    plan.run(&sink, &Silent, &Cancel::new()).unwrap();
    sink.into_bytes()
}

fn assert_clean(repository: &Repository) {
    let report = repository.check(true, &Silent, &Cancel::new()).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.warnings, Vec::<String>::new());
}

/// A day in the life of a disk.
#[derive(Clone, Debug)]
enum Day {
    /// Overwrite from a place (in per mille) so many bytes with this byte, or with noise.
    Write {
        at: u16,
        length: usize,
        byte: Option<u8>,
    },
    /// A new size.
    Resize(usize),
    Nothing,
}

fn day() -> impl Strategy<Value = Day> {
    prop_oneof![
        4 => (0..1000_u16, 1..200_000_usize, prop::option::of(0..2_u8))
            .prop_map(|(at, length, byte)| Day::Write { at, length, byte }),
        1 => (1..400_000_usize).prop_map(Day::Resize),
        1 => Just(Day::Nothing),
    ]
}

fn noise(bytes: &mut [u8], seed: u64) {
    let mut state = seed | 1;
    for byte in bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (state >> 56) as u8;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn chains_of_backups(
        size in prop_oneof![Just(1_usize), Just(512), 1..300_000_usize, Just(262_144)],
        days in prop::collection::vec((day(), any::<bool>()), 1..6),
        chunk in prop_oneof![Just(16_u64), Just(64)],
    ) {
        let directory = tempfile::tempdir().unwrap();
        let repository = init(directory.path(), chunk * 1024);
        let mut disk = vec![0; size];
        let mut history = Vec::new();
        backup(&repository, &disk, ParentChoice::Newest, None, "0");
        history.push(disk.clone());
        for (number, (day, with_list)) in days.into_iter().enumerate() {
            let before = disk.clone();
            match day {
                Day::Write { at, length, byte } => {
                    let at = disk.len() * usize::from(at) / 1000;
                    let end = (at + length).min(disk.len());
                    match byte {
                        Some(byte) => disk[at..end].fill(byte),
                        None => noise(&mut disk[at..end], number as u64),
                    }
                }
                Day::Resize(size) => {
                    let old = disk.len();
                    disk.resize(size, 0);
                    if size > old {
                        noise(&mut disk[old..], 99);
                    }
                }
                Day::Nothing => {}
            }
            let changed = with_list.then(|| {
                let ranges = (0..disk.len()).filter(|&i| before.get(i) != Some(&disk[i]));
                // the list need not name the tail that grew
                let ranges = ranges.filter(|&i| i < before.len()).map(|i| (i as u64, 1));
                DirtyRanges::from_ranges(ranges, disk.len() as u64).unwrap()
            });
            let tag = (number + 1).to_string();
            let report = backup(&repository, &disk, ParentChoice::Newest, changed, &tag);
            prop_assert!(report.parent.is_some());
            history.push(disk.clone());
        }
        let repository = open(directory.path());
        for (number, disk) in history.iter().enumerate() {
            prop_assert!(restore(&repository, &number.to_string()) == *disk, "day {}", number);
        }
        assert_clean(&repository);
        // keep the last one, drop what it does not need
        let gone: Vec<_> = (0..history.len() - 1).map(|n| PointSelector::Tag(n.to_string())).collect();
        repository.forget(&gone, None).unwrap();
        repository.prune(SignedDuration::ZERO, &Silent, &Cancel::new()).unwrap();
        let last = history.len() - 1;
        prop_assert!(restore(&repository, &last.to_string()) == history[last]);
        assert_clean(&repository);
    }
}

#[test]
fn unchanged_and_listed_changes_cost_little() {
    let directory = tempfile::tempdir().unwrap();
    let repository = init(directory.path(), 64 * 1024);
    let mut disk = vec![0; 200 << 20];
    noise(&mut disk[..100 << 20], 1);
    let first = backup(&repository, &disk, ParentChoice::Newest, None, "1");
    assert_eq!((first.disks[0].chunks_new, first.disks[0].bytes_read), (1600, 200 << 20));

    let same = backup(&repository, &disk, ParentChoice::Newest, None, "2");
    assert_eq!((same.disks[0].chunks_new, same.disks[0].bytes_stored), (0, 0));
    assert!(same.repository_bytes_added < 16 * 1024, "{}", same.repository_bytes_added);

    disk[70 << 20] ^= 1;
    let ranges = DirtyRanges::from_ranges([(70 << 20, 1)], disk.len() as u64).unwrap();
    let listed = backup(&repository, &disk, ParentChoice::Newest, Some(ranges), "3");
    assert_eq!((listed.disks[0].chunks_new, listed.disks[0].bytes_read), (1, 64 * 1024));
    assert_eq!(restore(&repository, "3"), disk);
    assert_clean(&repository);
}

#[test]
fn a_list_without_a_parent_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let repository = init(directory.path(), 64 * 1024);
    let source = || Box::new(MemorySource::new(vec![1; 1000], "memory"));
    let refused =
        backup_from(&repository, source(), ParentChoice::Newest, Some(DirtyRanges::none(1000)), "1");
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
    let refused = backup_from(&repository, source(), ParentChoice::Point(PointSelector::Latest), None, "1");
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::PointNotFound);
}

/// A disk of 5 TiB with a few islands of data.
struct Sparse;

const ISLANDS: [u64; 4] = [0, 1 << 30, (3 << 40) + 12_345 * 512, (5 << 40) - 512];

impl BlockSource for Sparse {
    fn size(&self) -> u64 {
        5 << 40
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
        buffer.fill(0);
        for island in ISLANDS {
            for i in 0..512 {
                if (offset..offset + buffer.len() as u64).contains(&(island + i)) {
                    buffer[(island + i - offset) as usize] = 7;
                }
            }
        }
        Ok(())
    }
    fn extent_at(&self, offset: u64) -> Result<Extent, DiskError> {
        for island in ISLANDS {
            if (island..island + 512).contains(&offset) {
                return Ok(Extent { start: offset, length: island + 512 - offset, kind: ExtentKind::Data });
            }
            if island > offset {
                return Ok(Extent { start: offset, length: island - offset, kind: ExtentKind::Hole });
            }
        }
        unreachable!("the last island is the end")
    }
    fn verify_unchanged(&self) -> Result<(), DiskError> {
        Ok(())
    }
    fn label(&self) -> String {
        "sparse".into()
    }
}

/// Takes what is written and complains about anything but the islands.
#[derive(Default)]
struct Islands(std::sync::Mutex<Vec<u64>>);

impl BlockSink for Islands {
    fn size(&self) -> u64 {
        5 << 40
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        let mut expected = vec![0; bytes.len()];
        Sparse.read_exact_at(&mut expected, offset).unwrap();
        assert_eq!(bytes, expected);
        self.0.lock().unwrap().push(offset);
        Ok(())
    }
    fn finish(&self) -> Result<(), DiskError> {
        Ok(())
    }
}

#[test]
fn a_huge_sparse_disk() {
    let directory = tempfile::tempdir().unwrap();
    let repository = init(directory.path(), 64 * 1024);
    let report = backup_from(&repository, Box::new(Sparse), ParentChoice::None, None, "1").unwrap();
    assert_eq!(report.disks[0].bytes_read, 4 * 65536);
    let plan = repository.plan_restore(&PointSelector::Latest, Some("vm"), "os", &Silent).unwrap();
    let sink = Islands::default();
    plan.run(&sink, &Silent, &Cancel::new()).unwrap();
    let mut written = sink.0.into_inner().unwrap();
    written.sort_unstable();
    assert_eq!(written, ISLANDS.map(|i| i / 65536 * 65536));
    drop(plan);
    let again = backup_from(&repository, Box::new(Sparse), ParentChoice::Newest, None, "2").unwrap();
    assert!(again.repository_bytes_added < 16 * 1024);
    assert_clean(&repository);
}

#[test]
fn another_chunk_size_reads_everything() {
    let directory = tempfile::tempdir().unwrap();
    let repository = init(directory.path(), 1024 * 1024);
    let mut disk = vec![0; 3_000_001];
    noise(&mut disk, 5);
    backup(&repository, &disk, ParentChoice::None, None, "1");
    assert_eq!(restore(&repository, "1"), disk);
    assert_clean(&repository);
}

#[test]
fn keys_and_the_machine_travel_with_the_point() {
    let directory = tempfile::tempdir().unwrap();
    let repository = init(directory.path(), 64 * 1024);
    let id = PointId([0xab; 16]);
    let machine = serde_json::json!({"vmSize": "Standard_D2s_v3"});
    let header = serde_json::json!({"headerSha256": "00"});
    let key = |name: &str, bytes: &[u8]| KeyFile { name: name.into(), bytes: bytes.to_vec().into() };
    let request = |keys| IngestRequest {
        id: Some(id),
        name: "vm".into(),
        resource: Some("/subscriptions/s/vm".into()),
        tags: Vec::new(),
        time: None,
        consistency: Consistency::CrashConsistent,
        parent: ParentChoice::Newest,
        disks: vec![DiskInput {
            name: "os".into(),
            format: "raw".into(),
            source: Box::new(MemorySource::new(vec![1; 70_000], "memory")),
            changed: None,
            encryption: Some(header.clone()),
        }],
        machine: Some(machine.clone()),
        keys,
        software: "test".into(),
    };
    let empty_last = vec![key("kek.blob", b"sealed"), key("a.json", b"{}"), key("z", b"")];
    let report = repository.ingest(&request(empty_last), &Silent, &Cancel::new()).unwrap();
    assert_eq!(report.point, id);
    assert_clean(&repository);

    let index = repository.load_index().unwrap();
    let (points, _) = repository.points(&index).unwrap();
    assert_eq!(points[0].document.machine.as_ref(), Some(&machine));
    let files = repository.key_files(&index, &points[0]).unwrap();
    let files: Vec<_> = files.iter().map(|f| (f.name.as_str(), f.bytes.as_slice())).collect();
    assert_eq!(files, [("kek.blob", &b"sealed"[..]), ("a.json", b"{}"), ("z", b"")]);
    let disk = repository.disk_document(&index, &points[0], &points[0].document.disks[0]).unwrap();
    assert_eq!(disk.encryption.as_ref(), Some(&header));

    for bad in [vec![key("../x", b"")], vec![key("a", b""), key("a", b"")], vec![key("a", &vec![0; 5 << 20])]]
    {
        let error = repository.ingest(&request(bad), &Silent, &Cancel::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}
