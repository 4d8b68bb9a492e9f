//! The two traits every disk format implements, and extents.

use crate::error::{DiskError, ErrorKind};

/// What a run of bytes of a disk holds, as far as the format can tell without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentKind {
    /// Bytes that have to be read (they may still turn out to be zeros).
    Data,
    /// Bytes that read as zeros and were never allocated: reading them is a waste.
    Hole,
}

/// A run of bytes of one kind. Offsets and lengths are in bytes, as the guest sees the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First byte.
    pub start: u64,
    /// Number of bytes, never zero.
    pub length: u64,
    /// What the bytes are.
    pub kind: ExtentKind,
}

impl Extent {
    /// First byte after the extent.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start + self.length
    }
}

/// A disk that can be read at any offset, by several threads at once.
pub trait BlockSource: Send + Sync {
    /// Size of the disk in bytes, as the guest sees it. Any size is legal, also one that is no
    /// multiple of a sector.
    fn size(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unreadable`] with the offset of the first byte that could not be read,
    /// [`crate::ErrorKind::Changed`] when the file ended early, and format errors.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError>;

    /// The extent that begins at `offset` (which must be below [`size`](Self::size)): its kind, and
    /// how far that kind reaches at least. Neighbouring extents may be of the same kind.
    ///
    /// # Errors
    /// As [`read_exact_at`](Self::read_exact_at).
    fn extent_at(&self, offset: u64) -> Result<Extent, DiskError>;

    /// Called after the last read: says whether the disk is still the one that was opened (same
    /// size, same file).
    ///
    /// # Errors
    /// [`crate::ErrorKind::Changed`] when it is not.
    fn verify_unchanged(&self) -> Result<(), DiskError>;

    /// What to call this disk in messages: its path, usually.
    fn label(&self) -> String;
}

/// Takes the bytes of a disk in any order, from several threads at once. Bytes that are never
/// written read as zeros afterwards.
pub trait BlockSink: Send + Sync {
    /// Size of the disk in bytes, fixed when the sink was made.
    fn size(&self) -> u64;

    /// Writes `bytes` at `offset`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NoSpace`] when the target is full, [`crate::ErrorKind::Unwritable`] else.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError>;

    /// Writes what the format needs around the data, and returns when all of it is durable.
    ///
    /// # Errors
    /// As [`write_all_at`](Self::write_all_at).
    fn finish(&self) -> Result<(), DiskError>;
}

/// Refuses a request that is not wholly inside a disk of `size` bytes.
pub(crate) fn check_range(size: u64, offset: u64, length: usize, label: &str) -> Result<(), DiskError> {
    let fits = u64::try_from(length).ok().and_then(|length| offset.checked_add(length));
    if fits.is_some_and(|end| end <= size) {
        return Ok(());
    }
    let message = format!("{label}: {length} bytes at {offset} are not inside the disk of {size} bytes");
    Err(DiskError::new(ErrorKind::Invalid, message))
}

/// Refuses a question about a byte that is not inside a disk of `size` bytes.
pub(crate) fn check_offset(size: u64, offset: u64, label: &str) -> Result<(), DiskError> {
    if offset < size {
        return Ok(());
    }
    let message = format!("{label}: byte {offset} is not inside the disk of {size} bytes");
    Err(DiskError::new(ErrorKind::Invalid, message))
}
