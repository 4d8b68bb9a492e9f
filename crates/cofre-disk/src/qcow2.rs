//! qcow2 images, versions 2 and 3, read-only, with their backing files.
//!
//! What is read: the active state of the disk (internal snapshots are left alone), compressed clusters
//! (deflate and zstd), zero clusters, chains of backing files of format qcow2 and raw. Refcounts are
//! never looked at, so that an image that was not closed cleanly (the `dirty` bit) reads well.
//!
//! What is refused, by name: external data files, encryption by QEMU, extended L2 entries, images marked
//! as corrupt, unknown incompatible features, backing files that are named by a protocol, whose format is
//! not stated, or that are outside the folder tree of the image.
//!
//! An image is foreign data: every number in it is checked before it is used, and memory is bounded
//! whatever it says (32 MiB of caches for a whole chain, and a few clusters for each thread that reads).

mod cache;
mod chain;
mod compressed;
mod header;
mod read;
mod tables;

use std::{fmt, path::Path};

use crate::{
    block::{BlockSource, Extent, check_offset, check_range},
    error::{DiskError, ErrorKind},
    open::ImageFormat,
    raw::RawSource,
};

use chain::Folder;
use header::Header;
use read::Chain;
use tables::Layer;

/// The longest chain that is read, the image itself counted.
pub const MAX_CHAIN: usize = 64;

/// Finds the bytes of a backing file by the name and the format the image states.
pub type Resolve<'a> = dyn FnMut(&[u8], ImageFormat) -> Result<Box<dyn BlockSource>, DiskError> + 'a;

/// A qcow2 image and its backing files, opened read-only.
pub struct Qcow2Source {
    chain: Chain,
    label: String,
}

impl Qcow2Source {
    /// Opens an image. Its backing files have to be inside the folder of the image or below it.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] and [`ErrorKind::Unsupported`] for what the module says,
    /// [`ErrorKind::Invalid`] for a backing file outside the folder, [`ErrorKind::InUse`] when a running
    /// QEMU writes one of the files, and the errors of the operating system.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DiskError> {
        let (folder, image) = Folder::around(path.as_ref())?;
        Self::open_chain(folder, image)
    }

    /// Opens an image inside the folder tree under `root`, with backing files anywhere in the same tree;
    /// `path` is absolute or begins at the root.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_beneath(path: impl AsRef<Path>, root: impl AsRef<Path>) -> Result<Self, DiskError> {
        let (folder, image) = Folder::beneath(path.as_ref(), root.as_ref())?;
        Self::open_chain(folder, image)
    }

    fn open_chain(mut folder: Folder, image: RawSource) -> Result<Self, DiskError> {
        let mut referrer = image.path().to_path_buf();
        Self::from_source(Box::new(image), &mut |name, _| {
            let backing = folder.backing(name, &referrer)?;
            referrer = backing.path().to_path_buf();
            Ok(Box::new(backing))
        })
    }

    /// Reads an image from bytes that are anywhere. `resolve` is given the name and the format of each
    /// backing file and returns its bytes; where that is qcow2, the bytes of the image and not of the
    /// disk.
    ///
    /// # Errors
    /// As [`open`](Self::open), and whatever `resolve` says.
    pub fn from_source(image: Box<dyn BlockSource>, resolve: &mut Resolve<'_>) -> Result<Self, DiskError> {
        let label = image.label();
        let mut layers = Vec::new();
        let mut next = image;
        let base = loop {
            if layers.len() == MAX_CHAIN {
                let message = format!(
                    "qcow2 image {label}: more than {MAX_CHAIN} backing files; shorten the chain with \
                     `qemu-img commit` or `qemu-img convert`"
                );
                return Err(DiskError::new(ErrorKind::Unsupported, message));
            }
            let header = Header::read(&*next)?;
            let backing = header.backing.clone();
            layers.push(Layer { file: next, header, number: layers.len() });
            let Some(backing) = backing else { break None };
            let file = resolve(&backing.name, backing.format)?;
            if backing.format == ImageFormat::Raw {
                break Some(file);
            }
            next = file;
        };
        Ok(Self { chain: Chain::new(layers, base), label })
    }

    /// The names of all files of the chain, the image first.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        self.chain.files().map(BlockSource::label).collect()
    }
}

impl fmt::Debug for Qcow2Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Qcow2Source").field("size", &self.size()).field("files", &self.files()).finish()
    }
}

impl BlockSource for Qcow2Source {
    fn size(&self) -> u64 {
        self.chain.size(0)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
        check_range(self.size(), offset, buffer.len(), &self.label)?;
        self.chain.read(0, buffer, offset)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent, DiskError> {
        check_offset(self.size(), offset, &self.label)?;
        self.chain.extent_at(offset)
    }

    fn verify_unchanged(&self) -> Result<(), DiskError> {
        self.chain.files().try_for_each(BlockSource::verify_unchanged)
    }

    fn label(&self) -> String {
        self.label.clone()
    }
}

#[cfg(test)]
mod tests;
