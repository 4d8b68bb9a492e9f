//! The cryptographic pieces: random bytes, derived keys, hashes. All of them are AWS-LC's.

use std::fmt;

use aws_lc_rs::{constant_time, digest, hkdf, hmac, rand};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    encoding::hex,
    error::{KeyVaultError, Result},
};

/// Bytes of every symmetric key.
pub(crate) const KEY_BYTES: usize = 32;

/// A symmetric key. Wiped when dropped, never shown.
#[derive(Clone)]
pub(crate) struct SymmetricKey(Zeroizing<[u8; KEY_BYTES]>);

impl fmt::Debug for SymmetricKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SymmetricKey(…)")
    }
}

impl SymmetricKey {
    pub(crate) fn random() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        fill_random(&mut *bytes)?;
        Ok(Self(bytes))
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if bytes.len() != KEY_BYTES {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }

    pub(crate) fn from_array(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self(bytes)
    }

    pub(crate) fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Another key for one purpose alone: HKDF-SHA-256 without salt, `purpose` as info.
    pub(crate) fn derive(&self, purpose: &str) -> Result<Self> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        hkdf::Salt::none(hkdf::HKDF_SHA256)
            .extract(&*self.0)
            .expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut *bytes))
            .map_err(|_| KeyVaultError::cryptography("derive a key"))?;
        Ok(Self(bytes))
    }

    /// HMAC-SHA-256.
    pub(crate) fn authenticate(&self, message: &[u8]) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*self.0);
        let mut tag = [0; 32];
        tag.copy_from_slice(hmac::sign(&key, message).as_ref());
        tag
    }
}

/// Fills `bytes` with random ones.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<()> {
    rand::fill(bytes).map_err(|_| {
        bytes.zeroize();
        KeyVaultError::cryptography("draw random bytes")
    })
}

/// 32 random hexadecimal digits.
pub(crate) fn random_id() -> Result<String> {
    let mut bytes = [0; 16];
    fill_random(&mut bytes)?;
    Ok(hex(&bytes))
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Compares in constant time.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}
