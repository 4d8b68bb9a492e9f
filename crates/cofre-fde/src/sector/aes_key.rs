//! AES with a key of any of the three lengths.

use aes::{
    Aes128, Aes192, Aes256,
    cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit},
};

use super::{BLOCK, Direction};
use crate::error::FdeError;

/// An expanded AES key; wiped when dropped (feature `zeroize` of the `aes` crate).
pub(super) enum AesKey {
    Aes128(Aes128),
    Aes192(Aes192),
    Aes256(Aes256),
}

impl AesKey {
    pub(super) fn new(key: &[u8]) -> Result<Self, FdeError> {
        let bad_length = |_| FdeError::unsupported(format!("AES does not take a key of {} bytes", key.len()));
        match key.len() {
            16 => Aes128::new_from_slice(key).map(Self::Aes128).map_err(bad_length),
            24 => Aes192::new_from_slice(key).map(Self::Aes192).map_err(bad_length),
            _ => Aes256::new_from_slice(key).map(Self::Aes256).map_err(bad_length),
        }
    }

    /// Runs every block through the cipher by itself.
    pub(super) fn run(&self, direction: Direction, blocks: &mut [[u8; BLOCK]]) {
        let blocks = Array::cast_slice_from_core_mut(blocks);
        match (self, direction) {
            (Self::Aes128(aes), Direction::Encrypt) => aes.encrypt_blocks(blocks),
            (Self::Aes192(aes), Direction::Encrypt) => aes.encrypt_blocks(blocks),
            (Self::Aes256(aes), Direction::Encrypt) => aes.encrypt_blocks(blocks),
            (Self::Aes128(aes), Direction::Decrypt) => aes.decrypt_blocks(blocks),
            (Self::Aes192(aes), Direction::Decrypt) => aes.decrypt_blocks(blocks),
            (Self::Aes256(aes), Direction::Decrypt) => aes.decrypt_blocks(blocks),
        }
    }
}
