//! Disk images: made, changed and compared without reading their holes.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use cofre_disk::{BlockSource, ExtentKind, RawSource};

/// The same bytes for the same seed, and not compressible.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A sparse image of `size` bytes with noise at (offset, length).
pub(crate) fn make(path: &Path, size: u64, seed: u64, islands: &[(u64, usize)]) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for (i, &(offset, length)) in islands.iter().enumerate() {
        file.write_all_at(&noise(seed + i as u64 * 1000, length), offset).unwrap();
    }
}

/// An image of noise.
pub(crate) fn full(path: &Path, size: usize, seed: u64) {
    std::fs::write(path, noise(seed, size)).unwrap();
}

/// Overwrites a part of an image with noise.
pub(crate) fn change(path: &Path, offset: u64, length: usize, seed: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&noise(seed, length), offset).unwrap();
}

/// Two images hold the same bytes.
#[track_caller]
pub(crate) fn assert_same(a: &Path, b: &Path) {
    let (first, second) = (RawSource::open(a).unwrap(), RawSource::open(b).unwrap());
    assert_eq!(first.size(), second.size(), "sizes of {} and {}", a.display(), b.display());
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut at = 0;
    while at < first.size() {
        let (x, y) = (first.extent_at(at).unwrap(), second.extent_at(at).unwrap());
        let mut length = x.length.min(y.length);
        if x.kind == ExtentKind::Data || y.kind == ExtentKind::Data {
            length = length.min(1 << 20);
            let n = usize::try_from(length).unwrap();
            first.read_exact_at(&mut left[..n], at).unwrap();
            second.read_exact_at(&mut right[..n], at).unwrap();
            assert!(left[..n] == right[..n], "{} and {} differ after byte {at}", a.display(), b.display());
        }
        at += length;
    }
}
