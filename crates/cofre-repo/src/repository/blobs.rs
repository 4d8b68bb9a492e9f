//! Reading single blobs: trees and small files.

use crate::{
    error::{ErrorKind, RepoError, Result},
    id::BlobId,
    index::{Index, Location},
    pack::{self, BlobKind},
    repository::Repository,
    storage::Object,
    tree::Tree,
};

/// Reads blobs one at a time, trying every copy there is.
pub struct BlobReader<'a> {
    repository: &'a Repository,
    index: &'a Index,
    decompressor: zstd::bulk::Decompressor<'static>,
    stored: Vec<u8>,
    scratch: Vec<u8>,
    plain: Vec<u8>,
}

impl<'a> BlobReader<'a> {
    /// A reader over an index.
    ///
    /// # Errors
    /// When the decompressor cannot be set up.
    pub fn new(repository: &'a Repository, index: &'a Index) -> Result<Self> {
        let decompressor = zstd::bulk::Decompressor::new().map_err(|e| {
            RepoError::new(ErrorKind::Storage, "the decompressor cannot be set up").with_source(e)
        })?;
        Ok(Self {
            repository,
            index,
            decompressor,
            stored: Vec::new(),
            scratch: Vec::new(),
            plain: Vec::new(),
        })
    }

    /// The plaintext of a blob.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] when no copy can be opened; the message says why the last one could not.
    pub fn read(&mut self, kind: BlobKind, id: BlobId) -> Result<&[u8]> {
        let mut failure = RepoError::damaged(&format!("blob {}", id.short()), "is in no pack that is there");
        for location in self.index.find_all(kind, id) {
            match self.read_copy(&location) {
                Ok(()) => return Ok(&self.plain),
                Err(e) => failure = e,
            }
        }
        Err(failure)
    }

    /// Reads one copy of a blob into `plain`.
    fn read_copy(&mut self, location: &Location) -> Result<()> {
        let object = Object::from(self.index.pack(location).id);
        let blob = &location.blob;
        self.stored.resize(blob.length as usize, 0);
        self.repository.storage().read_range(&object, u64::from(blob.offset), &mut self.stored)?;
        let key = self.repository.key();
        let plain = pack::open_blob(key, blob, &mut self.stored, &mut self.decompressor, &mut self.scratch)
            .map_err(|what| {
            let what = format!("blob {} at byte {} {what}", blob.id.short(), blob.offset);
            RepoError::damaged(&object.to_string(), what)
        })?;
        self.plain.clear();
        self.plain.extend_from_slice(plain);
        Ok(())
    }

    /// A tree.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`].
    pub fn tree(&mut self, id: BlobId) -> Result<Tree> {
        Tree::parse(id, self.read(BlobKind::Tree, id)?)
    }

    /// The content of a small file of a tree: all of its blobs, `limit` bytes at most.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`].
    pub fn file(&mut self, tree: &Tree, name: &str, limit: u32) -> Result<Vec<u8>> {
        let node = tree.node(name).ok_or_else(|| RepoError::damaged(name, "is missing from its tree"))?;
        let mut bytes = Vec::new();
        for &blob in node.content.iter().flatten() {
            bytes.extend_from_slice(self.read(BlobKind::Data, blob)?);
            if bytes.len() > limit as usize {
                return Err(RepoError::damaged(name, format!("is longer than {limit} bytes")));
            }
        }
        Ok(bytes)
    }
}
