//! From plain blobs to sealed batches: look-up, compression, encryption. One sealer a thread.

use crossbeam_channel::Sender;

use super::{entropy, pipeline::Stored};
use crate::{
    crypto::{NONCE, OVERHEAD, sha256},
    error::{ErrorKind, RepoError, Result},
    id::BlobId,
    pack::BlobKind,
    tree::TreeBuilder,
};

/// Sealed blobs travel in batches of about this size.
const BATCH: usize = 1024 * 1024;
/// zstd's level for disks: about four times as fast as its default, a few percent larger.
const LEVEL: i32 = 1;

/// Sealed blobs, one behind the other.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    /// Id, stored length, plain length if compressed.
    pub(crate) blobs: Vec<(BlobId, u32, u32)>,
}

/// What became of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is in the repository already, or another thread is storing it.
    Known,
    /// It was stored, in so many bytes.
    New(u64),
}

pub(crate) struct Sealer<'a> {
    stored: &'a Stored<'a>,
    compressor: zstd::bulk::Compressor<'static>,
    /// One batch for data, one for trees.
    batches: [Batch; 2],
    compressed: Vec<u8>,
}

fn number(kind: BlobKind) -> usize {
    usize::from(kind == BlobKind::Tree)
}

impl<'a> Sealer<'a> {
    pub(crate) fn new(stored: &'a Stored<'a>) -> Result<Self> {
        let compressor = zstd::bulk::Compressor::new(LEVEL).map_err(|e| {
            RepoError::new(ErrorKind::Storage, "the compressor cannot be set up").with_source(e)
        })?;
        Ok(Self { stored, compressor, batches: Default::default(), compressed: Vec::new() })
    }

    /// Stores a blob unless it is known.
    pub(crate) fn put(&mut self, kind: BlobKind, id: BlobId, plain: &[u8]) -> Result<Put> {
        if !self.stored.claim(kind, id) {
            return Ok(Put::Known);
        }
        let batch = &mut self.batches[number(kind)];
        if batch.bytes.capacity() == 0 {
            *batch = self.stored.spare_batch();
            batch.bytes.reserve(BATCH + plain.len() + OVERHEAD);
        }
        let start = batch.bytes.len();
        batch.bytes.resize(start + NONCE, 0);
        let mut uncompressed = 0;
        if kind == BlobKind::Tree || entropy::is_compressible(plain) {
            self.compressed.clear();
            self.compressed.reserve(zstd::zstd_safe::compress_bound(plain.len()));
            self.compressor
                .compress_to_buffer(plain, &mut self.compressed)
                .map_err(|e| RepoError::new(ErrorKind::Storage, "the compressor failed").with_source(e))?;
            // a gain below 1/32 is not worth the reader's time
            if self.compressed.len() < plain.len() - plain.len() / 32 {
                uncompressed = length(plain.len())?;
            }
        }
        batch.bytes.extend_from_slice(if uncompressed == 0 { plain } else { &self.compressed });
        self.stored.repository.key().seal_in_place(&mut batch.bytes, start)?;
        let sealed = batch.bytes.len() - start;
        batch.blobs.push((id, length(sealed)?, uncompressed));
        if batch.bytes.len() >= BATCH {
            self.send(kind)?;
        }
        Ok(Put::New(sealed as u64))
    }

    /// Stores bytes of any kind; returns their id.
    pub(crate) fn put_bytes(&mut self, kind: BlobKind, plain: &[u8]) -> Result<BlobId> {
        let id = BlobId(sha256(plain));
        self.put(kind, id, plain)?;
        Ok(id)
    }

    /// Stores a tree; returns its id.
    pub(crate) fn put_tree(&mut self, tree: TreeBuilder) -> Result<BlobId> {
        self.put_bytes(BlobKind::Tree, &tree.finish())
    }

    fn send(&mut self, kind: BlobKind) -> Result<()> {
        let batch = std::mem::take(&mut self.batches[number(kind)]);
        if batch.blobs.is_empty() {
            return Ok(());
        }
        let sender: &Sender<Batch> = self.stored.sender(kind);
        // the packer only goes when it failed, and then its error is the one that counts
        sender.send(batch).map_err(|_| RepoError::new(ErrorKind::Storage, "packs can no longer be written"))
    }

    /// Hands everything on. Must be called before the sealer goes.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.send(BlobKind::Data)?;
        self.send(BlobKind::Tree)
    }
}

fn length(bytes: usize) -> Result<u32> {
    u32::try_from(bytes).map_err(|_| RepoError::new(ErrorKind::Invalid, "a blob is longer than 4 GiB"))
}
