//! Disks that live in memory: for tests, and for parsers that are fed bytes from anywhere.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    block::{BlockSink, BlockSource, Extent, ExtentKind, check_offset, check_range},
    error::DiskError,
};

/// A disk whose bytes are in memory; all of them are data.
#[derive(Clone, Debug)]
pub struct MemorySource {
    bytes: Vec<u8>,
    label: String,
}

impl MemorySource {
    /// A disk of these bytes, called `label` in messages.
    pub fn new(bytes: impl Into<Vec<u8>>, label: impl Into<String>) -> Self {
        Self { bytes: bytes.into(), label: label.into() }
    }
}

impl BlockSource for MemorySource {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
        check_range(self.size(), offset, buffer.len(), &self.label)?;
        // In range, so that it fits.
        let start = usize::try_from(offset).unwrap_or(0);
        buffer.copy_from_slice(&self.bytes[start..start + buffer.len()]);
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent, DiskError> {
        check_offset(self.size(), offset, &self.label)?;
        Ok(Extent { start: offset, length: self.size() - offset, kind: ExtentKind::Data })
    }

    fn verify_unchanged(&self) -> Result<(), DiskError> {
        Ok(())
    }

    fn label(&self) -> String {
        self.label.clone()
    }
}

/// A disk that is written into memory.
#[derive(Debug)]
pub struct MemorySink {
    bytes: Mutex<Vec<u8>>,
    size: u64,
}

impl MemorySink {
    /// A disk of `size` zeros.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self { bytes: Mutex::new(vec![0; size]), size: size as u64 }
    }

    /// The bytes written so far, zeros elsewhere.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockSink for MemorySink {
    fn size(&self) -> u64 {
        self.size
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        check_range(self.size, offset, bytes.len(), "memory")?;
        // In range, so that it fits.
        let start = usize::try_from(offset).unwrap_or(0);
        self.lock()[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn finish(&self) -> Result<(), DiskError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn memory_is_a_disk() {
        let sink = MemorySink::new(4);
        sink.write_all_at(&[1, 2], 1).unwrap();
        assert_eq!(sink.write_all_at(&[1, 2], 3).unwrap_err().kind(), ErrorKind::Invalid);
        sink.finish().unwrap();
        let source = MemorySource::new(sink.into_bytes(), "memory");
        let mut bytes = [9; 4];
        source.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes, [0, 1, 2, 0]);
        assert_eq!(source.extent_at(1).unwrap().end(), 4);
        assert_eq!(source.extent_at(4).unwrap_err().kind(), ErrorKind::Invalid);
    }
}
