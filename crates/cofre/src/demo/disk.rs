//! The encrypted disk of a virtual machine: made, read, changed, given another key.
//!
//! A block that the file system does not use was never written, as on a disk that a machine formatted
//! through its encryption: it stays a hole. A block of zeros that *is* used has to be written, as a hole
//! decrypts to noise.

use std::{
    fs::{File, OpenOptions},
    ops::Range,
    os::unix::fs::FileExt as _,
    path::Path,
};

use cofre_fde::{
    FileSource, Limits, Mapping as _,
    luks::{self, Argon2Cost, FormatOptions, Kdf, LuksMapping, Unlocked},
};
use serde::Serialize;
use tempfile::NamedTempFile;

use super::{
    ext4::{self, BLOCK},
    failed,
    listing::{self, Listing},
    tree::{Change, Tree},
};
use crate::report::Result;

/// What a change is measured in: the repository's chunks.
const CHUNK: u64 = 64 << 10;
/// First byte of the data.
const DATA_OFFSET: u64 = 16 << 20;

/// What was written to a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Written {
    /// Bytes of data, in whole blocks of 4096.
    pub(crate) bytes: u64,
    /// Chunks of 64 KiB of the disk in which something was written.
    pub(crate) chunks: u64,
}

/// Makes a disk of `size` bytes at `path`, which must not exist: LUKS2 with one keyslot for `secret`,
/// ext4 with the files of `tree`. Only its owner may read it.
///
/// # Errors
/// What could not be written, or is missing.
pub(crate) fn create(path: &Path, size: u64, secret: &[u8], label: &str, tree: &Tree) -> Result<Written> {
    let blocks = size.saturating_sub(DATA_OFFSET) / BLOCK as u64;
    let temporary = tempfile::tempdir().map_err(|e| failed("cannot make a temporary directory", e))?;
    let plain = temporary.path().join("plain");
    ext4::make(&plain, blocks * BLOCK as u64, tree)?;

    let options =
        FormatOptions { label: label.to_owned(), data_offset: DATA_OFFSET, ..FormatOptions::new(kdf()) };
    let formatted = luks::format(&options, &[secret], &mut random)?;
    let cannot = |e: std::io::Error| failed(format!("cannot write {}", path.display()), e);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let disk = NamedTempFile::new_in(directory.unwrap_or(Path::new("."))).map_err(cannot)?;
    disk.as_file().set_len(size).map_err(cannot)?;
    disk.as_file().write_all_at(formatted.header(), 0).map_err(cannot)?;
    let written = store(disk.as_file(), formatted.unlocked(), &plain)?;
    check(listing::read(source(disk.path())?, formatted.unlocked())?, &tree.listing())?;
    disk.as_file().sync_all().map_err(cannot)?;
    disk.persist_noclobber(path).map_err(|e| cannot(e.error))?;
    Ok(written)
}

/// What is on the disk at `path`.
///
/// # Errors
/// Those of unlocking, and a file system that cannot be read.
pub(crate) fn list(path: &Path, secret: &[u8]) -> Result<Listing> {
    let disk = source(path)?;
    let unlocked = luks::unlock(&disk, secret, &Limits::default())?;
    listing::read(disk, &unlocked)
}

/// Applies `changes` to the files on the disk at `path`, which nobody else uses, and writes the blocks
/// that are different then. The disk is changed in place, and not in one step.
///
/// # Errors
/// As [`list`]; what could not be written, or is not there afterwards.
pub(crate) fn change(path: &Path, secret: &[u8], changes: &[Change]) -> Result<Written> {
    let disk = source(path)?;
    let unlocked = luks::unlock(&disk, secret, &Limits::default())?;
    let temporary = tempfile::tempdir().map_err(|e| failed("cannot make a temporary directory", e))?;
    let plain = temporary.path().join("plain");
    let cannot = |e: std::io::Error| failed(format!("cannot write {}", path.display()), e);
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(cannot)?;
    decrypt(&file, &unlocked, &plain)?;
    let mut expected = listing::read(disk, &unlocked)?;
    changes.iter().for_each(|change| expected.apply(change));

    ext4::change(&plain, changes)?;
    let written = store(&file, &unlocked, &plain)?;
    file.sync_all().map_err(cannot)?;
    check(listing::read(source(path)?, &unlocked)?, &expected)?;
    Ok(written)
}

/// Replaces the keyslots of the disk at `path` by one for `new`. The volume key stays, and so do the
/// data.
///
/// # Errors
/// As [`list`]; what could not be written.
#[cfg(test)]
pub(crate) fn rekey(path: &Path, secret: &[u8], new: &[u8]) -> Result<()> {
    let cannot = |e: std::io::Error| failed(format!("cannot write {}", path.display()), e);
    let changed = luks::rekey(&source(path)?, secret, &Limits::default(), &kdf(), &[new], &mut random)?;
    let file = OpenOptions::new().write(true).open(path).map_err(cannot)?;
    file.write_all_at(changed.header(), 0).and_then(|()| file.sync_all()).map_err(cannot)
}

/// Argon2id at a cost that is felt and does not keep anybody waiting: 64 MiB.
fn kdf() -> Kdf {
    Kdf::Argon2id(Argon2Cost { passes: 4, memory_kib: 64 << 10, lanes: 1 })
}

fn random(bytes: &mut [u8]) -> std::io::Result<()> {
    aws_lc_rs::rand::fill(bytes).map_err(|e| std::io::Error::other(e.to_string()))
}

fn source(path: &Path) -> Result<FileSource> {
    FileSource::open(path).map_err(|e| failed(format!("cannot open {}", path.display()), e))
}

fn check(found: Listing, expected: &Listing) -> Result<()> {
    let different = found.differences(expected);
    if different.is_empty() {
        return Ok(());
    }
    Err(failed("the files on the disk are not those that were written", different.join(", ")))
}

/// One block of the disk.
struct Blocks<'a> {
    disk: &'a File,
    mapping: LuksMapping,
    offset: u64,
}

impl<'a> Blocks<'a> {
    fn new(disk: &'a File, unlocked: &Unlocked) -> Result<Self> {
        let size = disk.metadata().map_err(|e| failed("cannot look at the disk", e))?.len();
        Ok(Self { disk, mapping: unlocked.mapping(size)?, offset: unlocked.segment().offset })
    }

    fn count(&self) -> u64 {
        self.mapping.view_size() / BLOCK as u64
    }

    /// The content of a block, or `None` for a hole.
    fn read(&self, number: u64) -> Result<Option<Vec<u8>>> {
        let mut block = vec![0; BLOCK];
        let at = self.offset + number * BLOCK as u64;
        self.disk.read_exact_at(&mut block, at).map_err(|e| failed("cannot read the disk", e))?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        self.mapping.decrypt(at, &mut block)?;
        Ok(Some(block))
    }

    fn write(&self, number: u64, mut block: Vec<u8>) -> Result<u64> {
        let at = self.offset + number * BLOCK as u64;
        self.mapping.encrypt(at, &mut block)?;
        self.disk.write_all_at(&block, at).map_err(|e| failed("cannot write the disk", e))?;
        Ok(at)
    }
}

/// Writes the content of the disk to the new file `plain`; holes stay holes.
fn decrypt(disk: &File, unlocked: &Unlocked, plain: &Path) -> Result<()> {
    let blocks = Blocks::new(disk, unlocked)?;
    let cannot = |e: std::io::Error| failed(format!("cannot write {}", plain.display()), e);
    let file = File::create_new(plain).map_err(cannot)?;
    file.set_len(blocks.count() * BLOCK as u64).map_err(cannot)?;
    for number in 0..blocks.count() {
        if let Some(block) = blocks.read(number)? {
            file.write_all_at(&block, number * BLOCK as u64).map_err(cannot)?;
        }
    }
    Ok(())
}

/// Brings the disk to the content of the file system `plain`, writing only what is different.
fn store(disk: &File, unlocked: &Unlocked, plain: &Path) -> Result<Written> {
    let free = ext4::free_blocks(plain)?;
    let blocks = Blocks::new(disk, unlocked)?;
    let cannot = |e: std::io::Error| failed(format!("cannot read {}", plain.display()), e);
    let file = File::open(plain).map_err(cannot)?;
    let (mut written, mut last_chunk) = (Written::default(), None);
    for number in 0..blocks.count() {
        let mut wanted = vec![0; BLOCK];
        file.read_exact_at(&mut wanted, number * BLOCK as u64).map_err(cannot)?;
        let right = match blocks.read(number)? {
            Some(there) => there == wanted,
            None => is_free(&free, number) && wanted.iter().all(|byte| *byte == 0),
        };
        if !right {
            let chunk = Some(blocks.write(number, wanted)? / CHUNK);
            written.bytes += BLOCK as u64;
            written.chunks += u64::from(chunk != last_chunk);
            last_chunk = chunk;
        }
    }
    Ok(written)
}

/// Whether a block is in one of the ranges, which are in order.
fn is_free(free: &[Range<u64>], number: u64) -> bool {
    let behind = free.partition_point(|range| range.end <= number);
    free.get(behind).is_some_and(|range| range.contains(&number))
}
