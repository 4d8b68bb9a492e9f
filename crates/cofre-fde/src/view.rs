//! The plaintext view of an unlocked volume, for every format.

use std::io;

use zeroize::Zeroizing;

use crate::{
    error::{ErrorKind, FdeError},
    read_at::ReadAt,
};

/// What a run of the plaintext view is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunContent {
    /// Encrypted sectors that stand at `raw_offset` (bytes) of the data device.
    Encrypted {
        /// Where the run's first byte stands on the data device.
        raw_offset: u64,
    },
    /// Bytes that stand unencrypted at `raw_offset` (bytes) of the data device.
    Plain {
        /// Where the run's first byte stands on the data device.
        raw_offset: u64,
    },
    /// Bytes that read as zeros and stand nowhere (format metadata hidden from the view).
    Zeros,
}

/// A run of the plaintext view, all in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First byte in the view.
    pub start: u64,
    /// Number of bytes, never zero.
    pub length: u64,
    /// What it is made of.
    pub content: RunContent,
}

/// How the bytes of an encrypted data device and its plaintext correspond, both ways: for every
/// encrypted sector, decrypting and encrypting again gives the very same bytes. What no run of the
/// view refers to (headers, a tail shorter than a sector) has to be kept as it is.
pub trait Mapping: Send + Sync {
    /// Sector size in bytes: encrypted runs begin, end and are processed at multiples of it.
    fn sector_size(&self) -> usize;

    /// Size of the plaintext view in bytes.
    fn view_size(&self) -> u64;

    /// The run that holds byte `offset` of the view, or `None` at and past its end.
    fn run_at(&self, offset: u64) -> Option<Run>;

    /// Decrypts, in place, whole sectors that stand at `raw_offset` (bytes) of the data device.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when offset or length do not fall on sectors, or lie outside what is
    /// encrypted.
    fn decrypt(&self, raw_offset: u64, sectors: &mut [u8]) -> Result<(), FdeError>;

    /// Encrypts, in place, whole sectors for `raw_offset` (bytes) of the data device: the exact
    /// inverse of [`decrypt`](Self::decrypt).
    ///
    /// # Errors
    /// As [`decrypt`](Self::decrypt).
    fn encrypt(&self, raw_offset: u64, sectors: &mut [u8]) -> Result<(), FdeError>;
}

/// The decrypted content of a data device, read-only; implements [`ReadAt`] itself.
///
/// A last part of the device that is shorter than a sector is not encrypted by any format, and not
/// part of the view.
#[derive(Debug)]
pub struct PlaintextView<S, M> {
    data: S,
    mapping: M,
}

impl<S: ReadAt, M: Mapping> PlaintextView<S, M> {
    /// The view of `data` through `mapping`.
    pub fn new(data: S, mapping: M) -> Self {
        Self { data, mapping }
    }

    /// The mapping.
    pub fn mapping(&self) -> &M {
        &self.mapping
    }

    /// Reads into `buffer` from `offset` on as far as one run reaches; returns the number of bytes.
    fn read_run(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let run = self.mapping.run_at(offset).ok_or(io::ErrorKind::UnexpectedEof)?;
        let within = offset - run.start;
        let rest = usize::try_from(run.length - within).unwrap_or(usize::MAX);
        let length = buffer.len().min(rest);
        let buffer = &mut buffer[..length];
        match run.content {
            RunContent::Zeros => buffer.fill(0),
            RunContent::Plain { raw_offset } => self.data.read_exact_at(buffer, raw_offset + within)?,
            RunContent::Encrypted { raw_offset } => return self.read_encrypted(buffer, raw_offset, within),
        }
        Ok(length)
    }

    /// Reads whole sectors straight into the buffer, and a sector of which only a part is wanted
    /// through a buffer of its own.
    fn read_encrypted(&self, buffer: &mut [u8], run_offset: u64, within: u64) -> io::Result<usize> {
        let sector_size = self.mapping.sector_size();
        let skip = usize::try_from(within % sector_size as u64).map_err(io::Error::other)?;
        let raw_offset = run_offset + within - skip as u64;
        if skip == 0 && buffer.len() >= sector_size {
            let length = buffer.len() - buffer.len() % sector_size;
            let sectors = &mut buffer[..length];
            self.data.read_exact_at(sectors, raw_offset)?;
            self.mapping.decrypt(raw_offset, sectors).map_err(io::Error::other)?;
            return Ok(length);
        }
        let mut sector = Zeroizing::new(vec![0; sector_size]);
        self.data.read_exact_at(&mut sector, raw_offset)?;
        self.mapping.decrypt(raw_offset, &mut sector).map_err(io::Error::other)?;
        let length = buffer.len().min(sector_size - skip);
        buffer[..length].copy_from_slice(&sector[skip..skip + length]);
        Ok(length)
    }
}

impl<S: ReadAt, M: Mapping> ReadAt for PlaintextView<S, M> {
    fn size(&self) -> u64 {
        self.mapping.view_size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        while done < buffer.len() {
            done += self.read_run(&mut buffer[done..], offset + done as u64)?;
        }
        Ok(())
    }
}

/// An error for a call that does not fall on sectors or leaves what is encrypted.
pub(crate) fn outside(raw_offset: u64, length: usize) -> FdeError {
    FdeError::new(
        ErrorKind::Invalid,
        format!("{length} bytes at byte {raw_offset} of the data device are not whole encrypted sectors"),
    )
}
