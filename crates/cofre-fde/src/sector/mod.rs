//! Sector ciphers: what turns one sector of ciphertext into one of plaintext and back.
//!
//! Every mode here keeps the length and depends on nothing but the key, the number of the sector
//! and its bytes, so decrypting and encrypting again gives the very same bytes.

mod aes_key;
mod cbc;
mod spec;
mod xts;

use std::fmt;

pub(crate) use spec::printable;
pub use spec::{CipherMode, CipherSpec, IvRule};

use self::{aes_key::AesKey, cbc::Cbc, xts::Xts};
use crate::error::{ErrorKind, FdeError};

/// Length of an AES block, and of an IV, in bytes.
pub(crate) const BLOCK: usize = 16;
/// Blocks handed to the cipher at a time: enough to keep its pipeline full, one 512-byte sector.
const BATCH: usize = 32;

/// Which way a sector goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Encrypt,
    Decrypt,
}

enum Body {
    Xts(Box<Xts>),
    Cbc(Box<Cbc>),
    Ecb(Box<AesKey>),
}

/// A sector cipher with its key set up.
///
/// The IV of a sector counts 512-byte units, also when sectors are larger (dm-crypt's default,
/// which LUKS2 uses): sector `n` of size `s` has the number `first_iv + n × s / 512`.
pub struct SectorCipher {
    spec: CipherSpec,
    body: Body,
    sector_size: usize,
    first_iv: u64,
}

impl SectorCipher {
    /// Sets up a cipher. `sector_size` is in bytes (512, 1024, 2048 or 4096), `first_iv` is the IV
    /// number of sector 0 (the `iv_tweak` of LUKS2).
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] when the key has a length the cipher does not take, or the sector
    /// size is another.
    pub fn new(spec: CipherSpec, key: &[u8], sector_size: u32, first_iv: u64) -> Result<Self, FdeError> {
        spec.check_key_bytes(key.len())?;
        let sector_size = checked_sector_size(u64::from(sector_size))?;
        let body = match spec.mode {
            CipherMode::Xts => Body::Xts(Box::new(Xts::new(key, spec.iv)?)),
            CipherMode::Cbc => Body::Cbc(Box::new(Cbc::new(key, spec.iv)?)),
            CipherMode::Ecb => Body::Ecb(Box::new(AesKey::new(key)?)),
        };
        Ok(Self { spec, body, sector_size: sector_size as usize, first_iv })
    }

    /// Sector size in bytes.
    #[must_use]
    pub fn sector_size(&self) -> usize {
        self.sector_size
    }

    /// Decrypts whole sectors in place; the first has the number `first_sector`, in units of the
    /// sector size.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when `sectors` is no multiple of the sector size.
    pub fn decrypt(&self, first_sector: u64, sectors: &mut [u8]) -> Result<(), FdeError> {
        self.run(Direction::Decrypt, first_sector, sectors)
    }

    /// Encrypts whole sectors in place: the exact inverse of [`decrypt`](Self::decrypt).
    ///
    /// # Errors
    /// As [`decrypt`](Self::decrypt).
    pub fn encrypt(&self, first_sector: u64, sectors: &mut [u8]) -> Result<(), FdeError> {
        self.run(Direction::Encrypt, first_sector, sectors)
    }

    fn run(&self, direction: Direction, first_sector: u64, sectors: &mut [u8]) -> Result<(), FdeError> {
        if !sectors.len().is_multiple_of(self.sector_size) {
            return Err(FdeError::new(
                ErrorKind::Invalid,
                format!("{} bytes are no whole number of {}-byte sectors", sectors.len(), self.sector_size),
            ));
        }
        let step = (self.sector_size / 512) as u64;
        let first_iv = self.first_iv.wrapping_add(first_sector.wrapping_mul(step));
        match &self.body {
            Body::Xts(xts) => xts.run(direction, first_iv, step, self.sector_size, sectors),
            Body::Cbc(cbc) => cbc.run(direction, first_iv, step, self.sector_size, sectors),
            Body::Ecb(aes) => {
                for batch in blocks(sectors).chunks_mut(BATCH) {
                    aes.run(direction, batch);
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for SectorCipher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SectorCipher({}, {}-byte sectors)", self.spec, self.sector_size)
    }
}

/// A sector size that LUKS2 allows (on-disk format, section 3.3).
pub(crate) fn checked_sector_size(bytes: u64) -> Result<u32, FdeError> {
    match bytes {
        512 | 1024 | 2048 | 4096 => Ok(u32::try_from(bytes).unwrap_or(512)),
        other => {
            Err(FdeError::unsupported(format!("sector size {other}: only 512, 1024, 2048 and 4096 are read")))
        }
    }
}

/// Whole AES blocks of `bytes`; sectors have no rest.
fn blocks(bytes: &mut [u8]) -> &mut [[u8; BLOCK]] {
    bytes.as_chunks_mut().0
}

fn xor(block: &mut [u8; BLOCK], other: u128) {
    *block = (u128::from_le_bytes(*block) ^ other).to_le_bytes();
}

#[cfg(test)]
mod tests;
