//! Random bytes as a header needs them.

use std::io;

use zeroize::Zeroizing;

use super::RandomBytes;
use crate::{error::FdeError, hex};

/// Length of a salt in bytes, as cryptsetup writes it.
const SALT: usize = 32;

pub(super) struct Random<'a, 'b> {
    fill: &'a mut RandomBytes<'b>,
}

impl<'a, 'b> Random<'a, 'b> {
    pub(super) fn new(fill: &'a mut RandomBytes<'b>) -> Self {
        Self { fill }
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) -> Result<(), FdeError> {
        (self.fill)(bytes).map_err(FdeError::no_random_bytes)
    }

    pub(super) fn salt(&mut self) -> Result<Vec<u8>, FdeError> {
        let mut salt = vec![0; SALT];
        self.fill(&mut salt)?;
        Ok(salt)
    }

    /// A key for XTS. Equal halves would undo the mode's security, and do not happen by chance: a
    /// generator that gives them is none.
    pub(super) fn volume_key(&mut self, length: usize) -> Result<Zeroizing<Vec<u8>>, FdeError> {
        let mut key = Zeroizing::new(vec![0; length]);
        self.fill(&mut key)?;
        if key[..length / 2] == key[length / 2..] {
            let source = io::Error::other("the two halves of a key came out equal");
            return Err(FdeError::no_random_bytes(source));
        }
        Ok(key)
    }

    /// A UUID of version 4 (RFC 9562, section 5.4).
    pub(super) fn uuid(&mut self) -> Result<String, FdeError> {
        let mut bytes = [0; 16];
        self.fill(&mut bytes)?;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let text = hex::encode(&bytes);
        Ok([&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-"))
    }
}
