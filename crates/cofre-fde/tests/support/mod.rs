//! What the test files share: fixtures, cheap limits, and headers rewritten with a right checksum.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::{fs, path::Path};

use cofre_fde::Limits;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub(crate) const FIRST: &[u8] = b"first passphrase";
pub(crate) const SECOND: &[u8] = b"second passphrase\n";

/// Bytes of a file in `tests/fixtures`.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The volume key of the fixtures: 0, 1, 2, …
pub(crate) fn counting_key(bytes: u8) -> Vec<u8> {
    (0..bytes).collect()
}

/// Enough for the fixtures, and little more.
pub(crate) fn cheap() -> Limits {
    Limits { argon2_memory_kib: 1024, argon2_work_kib: 4096, argon2_lanes: 4, pbkdf2_iterations: 100_000 }
}

/// Length of one copy of a LUKS2 header.
pub(crate) fn copy_size(image: &[u8]) -> usize {
    usize::try_from(u64::from_be_bytes(image[8..16].try_into().unwrap())).unwrap()
}

/// Writes the right checksum into the LUKS2 header copy at `offset`.
pub(crate) fn seal(image: &mut [u8], offset: usize) {
    let size = copy_size(&image[offset..]);
    let copy = &mut image[offset..offset + size];
    copy[448..512].fill(0);
    let digest = Sha256::digest(&*copy);
    copy[448..480].copy_from_slice(&digest);
}

/// Replaces the JSON of both copies and seals them.
pub(crate) fn set_json(image: &mut [u8], text: &[u8]) {
    let size = copy_size(image);
    for offset in [0, size] {
        let area = &mut image[offset + 4096..offset + size];
        area.fill(0);
        area[..text.len()].copy_from_slice(text);
        seal(image, offset);
    }
}

/// The JSON of the primary copy.
pub(crate) fn json(image: &[u8]) -> Value {
    let area = &image[4096..copy_size(image)];
    let length = area.iter().position(|byte| *byte == 0).unwrap();
    serde_json::from_slice(&area[..length]).unwrap()
}

/// Lets `change` work on the JSON of a fixture, and seals both copies.
pub(crate) fn with_json(mut image: Vec<u8>, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value = json(&image);
    change(&mut value);
    set_json(&mut image, &serde_json::to_vec(&value).unwrap());
    image
}

/// The most memory this process ever held, where the system says it.
pub(crate) fn peak_memory_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse().ok()
}
