//! Where headers and data are read from.

use std::{io, sync::Arc};

use crate::error::{ErrorKind, FdeError};

/// Bytes that can be read at any offset, by several threads at once: a disk, a partition, a header
/// file, a slice of memory.
pub trait ReadAt: Send + Sync {
    /// Size in bytes.
    fn size(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset` (in bytes) on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the source ends before, and whatever the source reports.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(buffer.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.as_slice().size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buffer, offset)
    }
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<T: ReadAt + ?Sized> ReadAt for $pointer {
            fn size(&self) -> u64 {
                (**self).size()
            }

            fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
                (**self).read_exact_at(buffer, offset)
            }
        }
    )*};
}

forward!(&T, Box<T>, Arc<T>);

/// A file or block device, with the size it had when it was opened.
#[cfg(unix)]
#[derive(Debug)]
pub struct FileSource {
    file: std::fs::File,
    size: u64,
}

#[cfg(unix)]
impl FileSource {
    /// Opens `path` for reading.
    ///
    /// # Errors
    /// Those of opening and seeking.
    pub fn open(path: impl AsRef<std::path::Path>) -> io::Result<Self> {
        Self::new(std::fs::File::open(path)?)
    }

    /// Takes an open file. Its size is found by seeking, which also works for block devices.
    ///
    /// # Errors
    /// Those of seeking.
    pub fn new(mut file: std::fs::File) -> io::Result<Self> {
        let size = io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
        Ok(Self { file, size })
    }
}

#[cfg(unix)]
impl ReadAt for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset)
    }
}

/// Reads `what`, telling a source that is too short from one that cannot be read.
pub(crate) fn read_part(
    source: &dyn ReadAt,
    buffer: &mut [u8],
    offset: u64,
    what: &str,
) -> Result<(), FdeError> {
    check_part(source, offset, buffer.len() as u64, what)?;
    source.read_exact_at(buffer, offset).map_err(|error| FdeError::io(what, buffer.len(), offset, error))
}

/// Says whether `length` bytes at `offset` are inside the source.
pub(crate) fn check_part(source: &dyn ReadAt, offset: u64, length: u64, what: &str) -> Result<(), FdeError> {
    let size = source.size();
    if offset.checked_add(length).is_some_and(|end| end <= size) {
        return Ok(());
    }
    Err(FdeError::new(
        ErrorKind::Truncated,
        format!(
            "{what} needs {length} bytes at byte {offset}, but the source has {size} bytes: read the whole disk \
             or header file"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_read_only_within_its_bounds() {
        let bytes = [1_u8, 2, 3, 4];
        let mut two = [0; 2];
        bytes[..].read_exact_at(&mut two, 2).unwrap();
        assert_eq!(two, [3, 4]);
        for offset in [3, 4, 5, u64::MAX] {
            let error = bytes[..].read_exact_at(&mut two, offset).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "offset {offset}");
        }
        bytes[..].read_exact_at(&mut [], 4).unwrap();
    }

    #[test]
    fn a_short_source_is_truncated_not_an_io_error() {
        let bytes = vec![0_u8; 10];
        for offset in [5, 10, u64::MAX - 1] {
            let error = read_part(&bytes, &mut [0; 8], offset, "a part").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated);
        }
    }
}
