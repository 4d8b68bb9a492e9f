//! Passed over, with a message, where e2fsprogs is not installed.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::PathBuf,
    process::Command,
};

use cofre_fde::{FileSource, Limits, luks};
use tempfile::TempDir;

use super::{
    disk::{self, Written},
    listing::Entry,
    tool,
    tree::{Change, Tree},
};
use crate::exit::Exit;

const SIZE: u64 = 96 << 20;
const KEY: &[u8] = b"key of the demonstration\n";

struct Bench {
    directory: TempDir,
    tree: Tree,
    written: Written,
}

/// A disk of the first day.
fn bench() -> Option<Bench> {
    if tool::find("mkfs.ext4").and(tool::find("debugfs")).and(tool::find("dumpe2fs")).is_err() {
        eprintln!("passed over: e2fsprogs is not installed");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let tree = Tree::first_day(7);
    let written = disk::create(&directory.path().join("disk"), SIZE, KEY, "demo", &tree).unwrap();
    Some(Bench { directory, tree, written })
}

impl Bench {
    fn disk(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    /// What e2fsck, which wrote none of it, says of the plaintext.
    fn checks(&self) {
        let path = self.directory.path().join("plain");
        let source = FileSource::open(self.disk()).unwrap();
        let unlocked = luks::unlock(&source, KEY, &Limits::default()).unwrap();
        let view = unlocked.view(source).unwrap();
        let mut bytes = vec![0; usize::try_from(SIZE - (16 << 20)).unwrap()];
        cofre_fde::ReadAt::read_exact_at(&view, &mut bytes, 0).unwrap();
        fs::write(&path, bytes).unwrap();
        let output =
            Command::new(tool::find("e2fsck").unwrap()).args(["-f", "-n"]).arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn the_files_are_read_back_through_the_encryption() {
    let Some(bench) = bench() else { return };
    let listing = disk::list(&bench.disk(), KEY).unwrap();
    assert_eq!(listing, bench.tree.listing());
    let entries: Vec<_> = listing.entries().collect();
    assert_eq!(entries.len(), 59);
    let find = |wanted: &str| entries.iter().find(|(path, _)| *path == wanted).map(|(_, entry)| *entry);
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(find("etc/motd"), Some(&Entry::File { size: 0, sha256: empty.to_owned() }));
    assert!(matches!(find("srv/db/tables/customers.db"), Some(Entry::File { size: 3_145_728, .. })));
    assert!(matches!(find("home/anna/Bilder/Straße am Meer.raw"), Some(Entry::File { size: 300_001, .. })));
    assert_eq!(find("srv/web/current"), Some(&Entry::Link { target: "a/b/c".to_owned() }));
    // The file system is whole, also where it is not used and decrypts to noise.
    bench.checks();

    let wrong = disk::list(&bench.disk(), b"key of the demonstration").unwrap_err();
    assert_eq!((wrong.code, wrong.exit), ("DiskKeyWrong", Exit::WrongSecret));
}

#[test]
fn the_disk_is_sparse_private_and_not_replaced() {
    let Some(bench) = bench() else { return };
    let metadata = fs::metadata(bench.disk()).unwrap();
    assert_eq!((metadata.len(), metadata.mode() & 0o777), (SIZE, 0o600));
    eprintln!("first day: {:?}, {} KiB on disk", bench.written, metadata.blocks() / 2);
    assert!(metadata.blocks() * 512 < 20 << 20, "{} bytes", metadata.blocks() * 512);
    let before = fs::read(bench.disk()).unwrap();
    let again = disk::create(&bench.disk(), SIZE, KEY, "demo", &bench.tree).unwrap_err();
    assert!(again.message.contains("cannot write"), "{again:?}");
    assert!(before == fs::read(bench.disk()).unwrap());
    assert_eq!(fs::read_dir(bench.directory.path()).unwrap().count(), 1);
    // Nothing of the files is readable without the key.
    for needle in [&b"request served"[..], b"customers.db", "Müller".as_bytes()] {
        assert!(!before.windows(needle.len()).any(|bytes| bytes == needle));
    }
}

#[test]
fn a_second_day_changes_little_and_exactly_that() {
    let Some(bench) = bench() else { return };
    let changes = bench.tree.second_day(8);
    let before = fs::read(bench.disk()).unwrap();
    let written = disk::change(&bench.disk(), KEY, &changes).unwrap();
    let after = fs::read(bench.disk()).unwrap();

    let expected = bench.tree.clone().changed(&changes).listing();
    let listing = disk::list(&bench.disk(), KEY).unwrap();
    assert_eq!(listing, expected);
    let mut touched: Vec<_> = changes.iter().map(Change::path).collect();
    touched.sort_unstable();
    assert_eq!(listing.differences(&bench.tree.listing()), touched);
    bench.checks();

    let differ =
        |size: usize| before.chunks(size).zip(after.chunks(size)).filter(|(a, b)| a != b).count() as u64;
    let total = SIZE >> 16;
    eprintln!("second day: {written:?} of {total} chunks; first day: {:?}", bench.written);
    assert_eq!((differ(65536), differ(4096) * 4096), (written.chunks, written.bytes));
    assert!(written.chunks > 5 && written.chunks < total / 20, "{written:?}");
    assert!(written.bytes < 2 << 20, "{written:?}");
    assert_eq!(before[..16 << 20], after[..16 << 20], "the header is left alone");

    // The same once more changes next to nothing, and no file.
    disk::change(&bench.disk(), KEY, &[]).map(|none| assert_eq!(none.bytes, 0)).unwrap();
}

#[test]
fn a_hole_that_comes_into_use_is_written() {
    let Some(bench) = bench() else { return };
    let zeros = Change::Write { path: "srv/zeros".to_owned(), content: vec![0; 200_000] };
    let mixed = Change::Write {
        path: "srv/mixed".to_owned(),
        content: [vec![1; 5000], vec![0; 50_000], vec![2; 5000]].concat(),
    };
    let changes = [zeros, mixed];
    disk::change(&bench.disk(), KEY, &changes).unwrap();
    assert_eq!(disk::list(&bench.disk(), KEY).unwrap(), bench.tree.clone().changed(&changes).listing());
    bench.checks();
}

#[test]
fn another_key_opens_the_same_files() {
    let Some(bench) = bench() else { return };
    let inspect = || luks::inspect(&FileSource::open(bench.disk()).unwrap()).unwrap();
    let (before, data) = (inspect(), fs::read(bench.disk()).unwrap()[16 << 20..].to_vec());
    disk::rekey(&bench.disk(), KEY, b"new key").unwrap();
    let after = inspect();
    assert_eq!(after.label.as_deref(), Some("demo"));
    assert_ne!(after.header_sha256, before.header_sha256);
    assert_eq!(after.volume_key_digest, before.volume_key_digest);
    assert!(data == fs::read(bench.disk()).unwrap()[16 << 20..]);
    assert_eq!(disk::list(&bench.disk(), KEY).unwrap_err().code, "DiskKeyWrong");
    assert_eq!(disk::list(&bench.disk(), b"new key").unwrap(), bench.tree.listing());
}

#[test]
fn damage_is_told_from_health() {
    let Some(bench) = bench() else { return };
    let file = File::options().write(true).open(bench.disk()).unwrap();
    // The superblock and the first group descriptors.
    file.write_all_at(&[0; 8192], 16 << 20).unwrap();
    let error = disk::list(&bench.disk(), KEY).unwrap_err();
    assert_eq!(error.code, "DemoFailed");
    assert!(error.message.contains("file system"), "{error:?}");
}

#[test]
fn the_same_seed_gives_the_same_files() {
    assert_eq!(Tree::first_day(1), Tree::first_day(1));
    assert_ne!(Tree::first_day(1), Tree::first_day(2));
    let tree = Tree::first_day(1);
    assert_eq!(tree.second_day(5), tree.second_day(5));
    let directory = tempfile::tempdir().unwrap();
    tree.write_to(directory.path()).unwrap();
    assert!(directory.path().join("home/anna/Rechnung für Müller.txt").is_file());
    assert!(directory.path().join("srv/web/current").is_symlink());
}

#[test]
fn a_missing_program_is_named_with_its_package() {
    let error = tool::find("mkfs.ext5").unwrap_err();
    assert_eq!(error.code, "ToolMissing");
    assert!(error.recommendations[0].contains("e2fsprogs"), "{error:?}");
}
