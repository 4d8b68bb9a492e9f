//! The bytes of a disk image, for those who look at encryption.

use std::io;

use cofre_disk::{BlockSource, ErrorKind as DiskKind};
use cofre_fde::ReadAt;

/// A disk as a source of headers and data.
pub(crate) struct DiskBytes(pub(crate) Box<dyn BlockSource>);

impl ReadAt for DiskBytes {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset).map_err(|e| match e.kind() {
            DiskKind::Invalid | DiskKind::Changed => io::Error::new(io::ErrorKind::UnexpectedEof, e),
            _ => io::Error::other(e),
        })
    }
}
