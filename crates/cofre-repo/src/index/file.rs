//! Index files: JSON lists of packs and the blobs in them.

use serde::{Deserialize, Serialize};

use crate::{
    crypto::SealingKey,
    error::Result,
    id::{BlobId, IndexId, PackId},
    pack::{BlobKind, CommittedPack, PackedBlob},
    storage::{Kind, Storage},
    unpacked,
};

/// Most blobs in one index file that we write, unless one pack alone has more: 100 000 take about 15 MiB
/// of JSON before compression.
pub const MAX_BLOBS: usize = 100_000;

/// An index file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct IndexFile {
    /// The packs it lists, each with all of its blobs.
    pub packs: Vec<IndexPack>,
}

/// A pack in an index file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IndexPack {
    /// The pack.
    pub id: PackId,
    /// All of its blobs.
    pub blobs: Vec<IndexBlob>,
}

/// A blob in an index file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct IndexBlob {
    /// The blob.
    pub id: BlobId,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: BlobKind,
    /// First byte in the pack.
    pub offset: u32,
    /// Stored bytes.
    pub length: u32,
    /// Plain bytes if compressed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uncompressed_length: u32,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl IndexBlob {
    /// The blob as packs know it.
    #[must_use]
    pub fn packed(&self) -> PackedBlob {
        PackedBlob {
            id: self.id,
            offset: self.offset,
            length: self.length,
            uncompressed: self.uncompressed_length,
        }
    }
}

impl IndexPack {
    /// The entry of a pack.
    #[must_use]
    pub fn new(id: PackId, kind: BlobKind, blobs: &[PackedBlob]) -> Self {
        let blobs = blobs.iter().map(|b| IndexBlob {
            id: b.id,
            kind,
            offset: b.offset,
            length: b.length,
            uncompressed_length: b.uncompressed,
        });
        Self { id, blobs: blobs.collect() }
    }
}

impl From<&CommittedPack> for IndexPack {
    fn from(pack: &CommittedPack) -> Self {
        Self::new(pack.id, pack.kind, &pack.blobs)
    }
}

/// Names of all index files.
///
/// # Errors
/// As [`Storage::list`].
pub fn list(storage: &dyn Storage) -> Result<Vec<IndexId>> {
    Ok(storage.list(Kind::Index)?.iter().filter_map(|(object, _)| object.name().parse().ok()).collect())
}

/// Loads an index file. `None`: it is gone.
///
/// # Errors
/// [`crate::ErrorKind::Damaged`], [`crate::ErrorKind::Storage`].
pub fn load(storage: &dyn Storage, key: &SealingKey, id: IndexId) -> Result<Option<IndexFile>> {
    unpacked::load(storage, key, &id.into(), id.0)
}

/// Writes packs into as many index files as they need; returns their names. Durable on return.
///
/// # Errors
/// As [`Storage::create`].
pub fn store(storage: &dyn Storage, key: &SealingKey, packs: Vec<IndexPack>) -> Result<Vec<IndexId>> {
    let mut written = Vec::new();
    let mut file = IndexFile::default();
    let mut blobs = 0;
    for pack in packs {
        if blobs > 0 && blobs + pack.blobs.len() > MAX_BLOBS {
            written.push(unpacked::store(storage, key, &file)?);
            file.packs.clear();
            blobs = 0;
        }
        blobs += pack.blobs.len();
        file.packs.push(pack);
    }
    if !file.packs.is_empty() {
        written.push(unpacked::store(storage, key, &file)?);
    }
    Ok(written)
}
