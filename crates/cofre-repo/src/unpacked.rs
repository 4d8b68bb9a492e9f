//! Files that are stored on their own, outside packs: configuration, snapshots, indexes, locks, and
//! cofre's leases, marks and damage records.
//!
//! Each is JSON, sealed. In version 2 of the format a byte 2 in front of it says that zstd follows;
//! a first byte `{` or `[` says plain JSON.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    crypto::{SealingKey, sha256},
    error::{ErrorKind, RepoError, Result},
    storage::{Object, Storage},
};

/// Longest such file, stored or unpacked. An index file of ours has about 15 MiB before compression, or
/// 60 for a single pack of the most blobs; restic's can be larger.
pub const LIMIT: u64 = 256 * 1024 * 1024;

const ZSTD: u8 = 2;

/// Encodes and seals `value`.
///
/// # Errors
/// When the random generator or a library fails, which they have no reason to.
pub fn seal(key: &SealingKey, value: &impl Serialize, compress: bool) -> Result<Vec<u8>> {
    let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
        RepoError::new(ErrorKind::Storage, "a file could not be encoded").with_source(e)
    };
    let json = serde_json::to_vec(value).map_err(|e| failed(e.into()))?;
    if !compress {
        return key.seal(&json);
    }
    let mut plain = vec![ZSTD];
    plain.extend(zstd::bulk::compress(&json, 0).map_err(|e| failed(e.into()))?);
    key.seal(&plain)
}

/// Opens `sealed` and decodes it. `name` stands in the messages.
///
/// # Errors
/// [`ErrorKind::Damaged`].
pub fn open<T: DeserializeOwned>(key: &SealingKey, name: &str, mut sealed: Vec<u8>) -> Result<T> {
    let plain = key
        .open_in_place(&mut sealed)
        .ok_or_else(|| RepoError::damaged(name, "fails its authentication (flipped bits, or another key)"))?;
    let unpacked;
    let json: &[u8] = match plain.first() {
        Some(b'{' | b'[') => plain,
        Some(&ZSTD) => {
            let limit = usize::try_from(LIMIT).unwrap_or(usize::MAX);
            unpacked = decompress(&plain[1..], limit)
                .map_err(|e| RepoError::damaged(name, "does not decompress").with_source(e))?;
            &unpacked
        }
        _ => return Err(RepoError::damaged(name, "is of an unknown encoding")),
    };
    serde_json::from_slice(json)
        .map_err(|e| RepoError::damaged(name, "does not hold what it should").with_source(e))
}

/// Decompresses without ever allocating more than the data need or `limit` allows.
fn decompress(packed: &[u8], limit: usize) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut out = Vec::new();
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
    decoder.by_ref().take(limit as u64 + 1).read_to_end(&mut out)?;
    if out.len() > limit {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "too long"));
    }
    Ok(out)
}

/// Reads an object whose name is the SHA-256 of its bytes, checks that, and decodes it. `None`: not there.
///
/// # Errors
/// [`ErrorKind::Damaged`], [`ErrorKind::Storage`].
pub fn load<T: DeserializeOwned>(
    storage: &dyn Storage,
    key: &SealingKey,
    object: &Object,
    digest: [u8; 32],
) -> Result<Option<T>> {
    let Some(bytes) = storage.read(object, LIMIT)? else { return Ok(None) };
    if sha256(&bytes) != digest {
        return Err(RepoError::damaged(&object.to_string(), "its bytes do not match its name"));
    }
    open(key, &object.to_string(), bytes).map(Some)
}

/// Seals `value` and stores it under the SHA-256 of the stored bytes, which it returns.
///
/// # Errors
/// As [`Storage::create`].
pub fn store<I: From<[u8; 32]> + Into<Object> + Copy>(
    storage: &dyn Storage,
    key: &SealingKey,
    value: &impl Serialize,
) -> Result<I> {
    let bytes = seal(key, value, true)?;
    let id = I::from(sha256(&bytes));
    storage.create(&id.into(), &bytes)?;
    Ok(id)
}
