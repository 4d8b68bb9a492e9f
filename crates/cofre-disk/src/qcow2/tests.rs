mod build;
mod hostile;
mod model;
mod qemu;

use super::*;
use crate::{block::ExtentKind, memory::MemorySource};

/// Opens an image in memory that has no backing file.
fn open_alone(bytes: impl Into<Vec<u8>>) -> Result<Qcow2Source, DiskError> {
    open_over(bytes, vec![])
}

/// Opens an image in memory; its backing files are the others, in order.
fn open_over(bytes: impl Into<Vec<u8>>, backing: Vec<Vec<u8>>) -> Result<Qcow2Source, DiskError> {
    let mut backing = backing.into_iter();
    Qcow2Source::from_source(Box::new(MemorySource::new(bytes, "top")), &mut |_, _| match backing.next() {
        Some(bytes) => Ok(Box::new(MemorySource::new(bytes, "backing"))),
        None => Err(DiskError::new(ErrorKind::NotFound, "no such backing file")),
    })
}

/// All extents, checked to be in order and without gaps.
fn extents(source: &dyn BlockSource) -> Vec<Extent> {
    let mut extents = Vec::new();
    let mut at = 0;
    while at < source.size() {
        let extent = source.extent_at(at).unwrap();
        assert_eq!(extent.start, at);
        assert!(extent.length > 0 && extent.end() <= source.size(), "{extent:?}");
        at = extent.end();
        extents.push(extent);
    }
    extents
}

/// The bytes of a disk, read in pieces of that size.
fn bytes(source: &dyn BlockSource, piece: usize) -> Vec<u8> {
    let mut bytes = vec![0xee; usize::try_from(source.size()).unwrap()];
    for (index, part) in bytes.chunks_mut(piece).enumerate() {
        source.read_exact_at(part, (index * piece) as u64).unwrap();
    }
    bytes
}

/// Holes have to be zeros.
fn check_holes(source: &dyn BlockSource, expected: &[u8]) {
    for extent in extents(source) {
        let range = usize::try_from(extent.start).unwrap()..usize::try_from(extent.end()).unwrap();
        let zero = expected[range].iter().all(|byte| *byte == 0);
        assert!(zero || extent.kind == ExtentKind::Data, "{extent:?}");
    }
}
