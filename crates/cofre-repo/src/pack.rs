//! Packs: many sealed blobs of one kind in one object, with a sealed table of contents at the end.
//!
//! `blob ‖ blob ‖ … ‖ sealed header ‖ length of the sealed header (u32, little-endian)`. A header
//! entry is kind (0 data, 1 tree, +2 compressed), stored length (u32), for compressed blobs the
//! plain length (u32), and the id. A pack's name is the SHA-256 of all of it.

use serde::{Deserialize, Serialize};

use crate::{
    crypto::{OVERHEAD, SealingKey, Sha256},
    error::{RepoError, Result},
    id::{BlobId, PackId},
    storage::{Object, Staged, Storage},
};

/// A pack is closed when it has grown to this size. A TiB is then 16 384 objects.
pub const TARGET_SIZE: u64 = 64 * 1024 * 1024;
/// Packs of trees are closed earlier: they are few, and read one blob at a time.
pub const TREE_TARGET_SIZE: u64 = 16 * 1024 * 1024;
/// Largest pack: restic refuses more.
pub const MAX_SIZE: u64 = 128 * 1024 * 1024;
/// Most blobs in a pack: keeps the header below restic's limit of 16 MiB.
pub const MAX_BLOBS: usize = 400_000;
/// Longest header, as restic has it.
const MAX_HEADER: u32 = 16 * 1024 * 1024;

/// The kind of a blob. A pack holds one kind only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlobKind {
    /// A chunk of a disk, or a file.
    Data,
    /// A directory.
    Tree,
}

/// A blob inside a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedBlob {
    /// Digest of its plaintext.
    pub id: BlobId,
    /// First byte in the pack.
    pub offset: u32,
    /// Stored bytes, nonce and tag included.
    pub length: u32,
    /// Plain bytes if it is compressed, 0 if not.
    pub uncompressed: u32,
}

impl PackedBlob {
    /// Plain bytes. A stored blob is longer by [`OVERHEAD`], 32.
    #[must_use]
    pub fn plain_length(&self) -> u32 {
        if self.uncompressed == 0 { self.length.saturating_sub(32) } else { self.uncompressed }
    }

    fn header_length(&self) -> usize {
        if self.uncompressed == 0 { 37 } else { 41 }
    }
}

/// The length a pack must have that holds exactly these blobs.
pub fn expected_size<'a>(blobs: impl Iterator<Item = &'a PackedBlob>) -> u64 {
    blobs.fold((4 + OVERHEAD) as u64, |sum, b| sum + u64::from(b.length) + b.header_length() as u64)
}

/// A finished pack that waits to be made durable.
pub struct FinishedPack {
    /// Its name.
    pub id: PackId,
    /// What kind of blobs it holds.
    pub kind: BlobKind,
    /// Its blobs, in order.
    pub blobs: Vec<PackedBlob>,
    /// Its length in bytes.
    pub size: u64,
    staged: Box<dyn Staged>,
}

impl FinishedPack {
    /// Makes it durable and visible.
    ///
    /// # Errors
    /// As [`Staged::commit`].
    pub fn commit(self) -> Result<CommittedPack> {
        self.staged.commit(&self.id.into())?;
        Ok(CommittedPack { id: self.id, kind: self.kind, blobs: self.blobs, size: self.size })
    }
}

/// A pack that is durable, to be written into an index.
pub struct CommittedPack {
    /// Its name.
    pub id: PackId,
    /// What kind of blobs it holds.
    pub kind: BlobKind,
    /// Its blobs, in order.
    pub blobs: Vec<PackedBlob>,
    /// Its length in bytes.
    pub size: u64,
}

/// Builds one pack.
pub struct PackBuilder {
    kind: BlobKind,
    staged: Box<dyn Staged>,
    digest: Sha256,
    blobs: Vec<PackedBlob>,
    size: u64,
    header: usize,
}

impl PackBuilder {
    /// Begins a pack.
    ///
    /// # Errors
    /// As [`Storage::stage`].
    pub fn new(storage: &dyn Storage, kind: BlobKind) -> Result<Self> {
        Ok(Self {
            kind,
            staged: storage.stage()?,
            digest: Sha256::default(),
            blobs: Vec::new(),
            size: 0,
            header: 0,
        })
    }

    /// Whether it has reached its target, or would pass a limit with `more` bytes in `blobs` blobs.
    #[must_use]
    pub fn is_full(&self, more: usize, blobs: usize) -> bool {
        let target = if self.kind == BlobKind::Tree { TREE_TARGET_SIZE } else { TARGET_SIZE };
        let total = self.size + (self.header + more + 41 * blobs + 4 + OVERHEAD) as u64;
        !self.blobs.is_empty()
            && (self.size >= target || total > MAX_SIZE || self.blobs.len() + blobs > MAX_BLOBS)
    }

    /// Appends sealed blobs that lie one behind the other in `bytes`: id, stored length, and plain
    /// length if compressed (else 0) of each.
    ///
    /// # Errors
    /// As [`Staged::append`].
    pub fn append(&mut self, bytes: &[u8], blobs: &[(BlobId, u32, u32)]) -> Result<()> {
        self.digest.update(bytes);
        self.staged.append(bytes)?;
        let too_big = |_| RepoError::damaged("pack", "grew past 4 GiB");
        for &(id, length, uncompressed) in blobs {
            let offset = u32::try_from(self.size).map_err(too_big)?;
            let blob = PackedBlob { id, offset, length, uncompressed };
            self.size += u64::from(length);
            self.header += blob.header_length();
            self.blobs.push(blob);
        }
        Ok(())
    }

    /// Writes the header and gives the pack its name.
    ///
    /// # Errors
    /// As [`Staged::append`].
    pub fn finish(mut self, key: &SealingKey) -> Result<FinishedPack> {
        let mut header = Vec::with_capacity(self.header);
        for blob in &self.blobs {
            let kind = u8::from(self.kind == BlobKind::Tree) | u8::from(blob.uncompressed != 0) << 1;
            header.push(kind);
            header.extend_from_slice(&blob.length.to_le_bytes());
            if blob.uncompressed != 0 {
                header.extend_from_slice(&blob.uncompressed.to_le_bytes());
            }
            header.extend_from_slice(&blob.id.0);
        }
        let mut sealed = key.seal(&header)?;
        let length =
            u32::try_from(sealed.len()).map_err(|_| RepoError::damaged("pack", "header too long"))?;
        sealed.extend_from_slice(&length.to_le_bytes());
        self.digest.update(&sealed);
        self.staged.append(&sealed)?;
        Ok(FinishedPack {
            id: PackId(self.digest.finish()),
            kind: self.kind,
            blobs: self.blobs,
            size: self.size + sealed.len() as u64,
            staged: self.staged,
        })
    }
}

/// Decodes the plain bytes of a header. `name` stands in the messages.
///
/// # Errors
/// [`crate::ErrorKind::Damaged`].
pub fn parse_header(header: &[u8], name: &str) -> Result<(BlobKind, Vec<PackedBlob>)> {
    let bad = |what: &str| RepoError::damaged(name, what);
    let mut rest = header;
    let mut blobs = Vec::with_capacity(header.len() / 37);
    let mut offset = 0_u32;
    let mut kind = None;
    while let Some((&code, tail)) = rest.split_first() {
        let this = match code {
            0 | 2 => BlobKind::Data,
            1 | 3 => BlobKind::Tree,
            _ => return Err(bad("its header has an unknown kind of blob")),
        };
        if *kind.get_or_insert(this) != this {
            return Err(bad("holds data and trees together"));
        }
        let cut = || bad("its header ends in the middle of an entry");
        let (length, tail) = tail.split_first_chunk::<4>().ok_or_else(cut)?;
        let (uncompressed, tail) = if code >= 2 {
            let (plain, tail) = tail.split_first_chunk::<4>().ok_or_else(cut)?;
            (u32::from_le_bytes(*plain), tail)
        } else {
            (0, tail)
        };
        let (id, tail) = tail.split_first_chunk::<32>().ok_or_else(cut)?;
        let length = u32::from_le_bytes(*length);
        blobs.push(PackedBlob { id: BlobId(*id), offset, length, uncompressed });
        offset = offset.checked_add(length).ok_or_else(|| bad("its header is longer than any pack"))?;
        rest = tail;
    }
    Ok((kind.unwrap_or(BlobKind::Data), blobs))
}

/// Reads the header of a pack of `size` bytes, and checks that its blobs fill the pack exactly.
///
/// # Errors
/// [`crate::ErrorKind::Damaged`], [`crate::ErrorKind::Storage`].
pub fn read_header(
    storage: &dyn Storage,
    key: &SealingKey,
    pack: PackId,
    size: u64,
) -> Result<(BlobKind, Vec<PackedBlob>)> {
    let object = Object::from(pack);
    let name = object.to_string();
    let bad = |what: &str| RepoError::damaged(&name, what);
    let mut tail = [0; 4];
    let end = size.checked_sub(4).ok_or_else(|| bad("is too short to be a pack"))?;
    storage.read_range(&object, end, &mut tail)?;
    let length = u32::from_le_bytes(tail);
    if length > MAX_HEADER || u64::from(length) > end {
        return Err(bad("its header cannot be as long as it says"));
    }
    let mut sealed = vec![0; length as usize];
    storage.read_range(&object, end - u64::from(length), &mut sealed)?;
    let header = key.open_in_place(&mut sealed).ok_or_else(|| bad("its header fails its authentication"))?;
    let (kind, blobs) = parse_header(header, &name)?;
    if expected_size(blobs.iter()) != size {
        return Err(bad("its length is not what its header says"));
    }
    Ok((kind, blobs))
}

/// Opens a sealed blob: authentication, decompression, digest. The plaintext is left in `stored`
/// itself or, for compressed blobs, in `scratch`, which keeps its capacity.
///
/// # Errors
/// A short text that says which of the three failed.
pub fn open_blob<'a>(
    key: &SealingKey,
    blob: &PackedBlob,
    stored: &'a mut [u8],
    decompressor: &mut zstd::bulk::Decompressor<'_>,
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], &'static str> {
    let opened = key.open_in_place(stored).ok_or("fails its authentication")?;
    let plain: &[u8] = if blob.uncompressed == 0 {
        opened
    } else {
        let length = blob.uncompressed as usize;
        scratch.clear();
        scratch.reserve(length);
        decompressor.decompress_to_buffer(opened, scratch).map_err(|_| "does not decompress")?;
        if scratch.len() != length {
            return Err("has another length than its index says");
        }
        scratch
    };
    if crate::crypto::sha256(plain) != blob.id.0 {
        return Err("has another digest than its name");
    }
    Ok(plain)
}
