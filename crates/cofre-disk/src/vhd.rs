//! Fixed VHD: the bytes of the disk, then a footer of 512 bytes that says what they are. It is the
//! shape in which Azure takes the disks of a virtual machine (as page blobs).

mod footer;

use std::{fs::File, path::Path};

use crate::{
    block::{BlockSink, BlockSource, Extent, check_offset, check_range},
    error::{DiskError, ErrorKind},
    raw::{RawSink, RawSource},
};

use footer::{FOOTER_SIZE, Footer, SECTOR};

/// The largest disk a VHD may have: 2040 GiB, the limit of the format.
pub const MAX_SIZE: u64 = 2040 << 30;

/// What a VHD says about itself besides its bytes. Both are given by the caller, so that the same disk
/// gives the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VhdIdentity {
    /// A name no other disk has.
    pub unique_id: [u8; 16],
    /// When the disk was made, in seconds since 2000-01-01 00:00 UTC; see [`timestamp`].
    pub timestamp: u32,
}

/// The time of a footer from seconds since 1970. Times a footer cannot hold become the nearest one.
#[must_use]
pub fn timestamp(unix_seconds: u64) -> u32 {
    /// From 1970 to 2000: 30 years, 7 of them leap years.
    const EPOCH: u64 = (30 * 365 + 7) * 86_400;
    u32::try_from(unix_seconds.saturating_sub(EPOCH)).unwrap_or(u32::MAX)
}

/// A fixed VHD that is being written.
#[derive(Debug)]
pub struct VhdSink {
    file: RawSink,
    size: u64,
    padded: u64,
    identity: VhdIdentity,
}

impl VhdSink {
    /// Creates `path` as a fixed VHD of a disk of `size` bytes. A size that is no multiple of 512 is
    /// padded with zeros up to one; no other rounding happens (Azure wants multiples of 1 MiB, which is
    /// for the caller to choose).
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] above [`MAX_SIZE`], and as [`RawSink::create`].
    pub fn create(path: impl AsRef<Path>, size: u64, identity: VhdIdentity) -> Result<Self, DiskError> {
        let path = path.as_ref();
        let padded = padded(path, size)?;
        Ok(Self { file: RawSink::create(path, padded + FOOTER_SIZE)?, size, padded, identity })
    }

    /// Takes an open regular file, as [`RawSink::from_file`] does.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn from_file(
        file: File,
        path: impl AsRef<Path>,
        size: u64,
        identity: VhdIdentity,
    ) -> Result<Self, DiskError> {
        let path = path.as_ref();
        let padded = padded(path, size)?;
        Ok(Self { file: RawSink::from_file(file, path, padded + FOOTER_SIZE)?, size, padded, identity })
    }

    /// The size a reader of the VHD will see: the size of the disk up to the next multiple of 512.
    #[must_use]
    pub fn virtual_size(&self) -> u64 {
        self.padded
    }
}

fn padded(path: &Path, size: u64) -> Result<u64, DiskError> {
    if size > MAX_SIZE {
        let message = format!(
            "{}: a disk of {size} bytes does not fit a VHD, which ends at {MAX_SIZE} bytes (2040 GiB); \
             restore it as raw or qcow2",
            path.display()
        );
        return Err(DiskError::new(ErrorKind::Unsupported, message));
    }
    // At most 2040 GiB, itself a multiple of a sector.
    Ok(size.next_multiple_of(SECTOR))
}

impl BlockSink for VhdSink {
    fn size(&self) -> u64 {
        self.size
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        check_range(self.size, offset, bytes.len(), &self.file.path().display().to_string())?;
        self.file.write_all_at(bytes, offset)
    }

    /// Writes the footer last: until then the file is no VHD.
    fn finish(&self) -> Result<(), DiskError> {
        let footer = Footer { size: self.padded, identity: self.identity }.encode();
        self.file.write_all_at(&footer, self.padded)?;
        self.file.finish()
    }
}

/// A fixed VHD, opened read-only.
#[derive(Debug)]
pub struct VhdSource {
    file: RawSource,
    footer: Footer,
}

impl VhdSource {
    /// Opens a fixed VHD.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] without a sound footer, [`ErrorKind::Unsupported`] for dynamic and
    /// differencing disks, and as [`RawSource::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DiskError> {
        Self::from_raw(RawSource::open(path)?)
    }

    /// Takes the file of a VHD that is open as a raw image.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_raw(file: RawSource) -> Result<Self, DiskError> {
        let footer = Footer::read(&file)?;
        Ok(Self { file, footer })
    }

    /// What the footer says of the disk.
    #[must_use]
    pub fn identity(&self) -> VhdIdentity {
        self.footer.identity
    }
}

impl BlockSource for VhdSource {
    fn size(&self) -> u64 {
        self.footer.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
        check_range(self.footer.size, offset, buffer.len(), &self.label())?;
        self.file.read_exact_at(buffer, offset)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent, DiskError> {
        check_offset(self.footer.size, offset, &self.label())?;
        let extent = self.file.extent_at(offset)?;
        Ok(Extent { length: extent.length.min(self.footer.size - offset), ..extent })
    }

    fn verify_unchanged(&self) -> Result<(), DiskError> {
        self.file.verify_unchanged()
    }

    fn label(&self) -> String {
        self.file.label()
    }
}

#[cfg(test)]
mod tests;
