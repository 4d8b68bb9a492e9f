//! Authenticated encryption and hashing as restic's format has them.
//!
//! A sealed message is `nonce (16) ‖ ciphertext ‖ tag (16)`: AES-256 in counter mode with a 128-bit
//! big-endian counter that starts at the nonce, then Poly1305-AES (Bernstein 2005) over the
//! ciphertext, with the AES-128 encryption of the nonce as its one-time pad. Nonces are random;
//! docs/format.md, section 3, counts how many messages one key can bear.
//!
//! AES and SHA-256 come from AWS-LC, Poly1305 from the `poly1305` crate. The crate
//! `aes256ctr_poly1305aes`, an independent implementation, is the witness in the tests.

use aws_lc_rs::{
    cipher::{
        AES_128, AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext,
        UnboundCipherKey,
    },
    digest,
    iv::FixedLength,
    rand,
};
use poly1305::{
    Poly1305,
    universal_hash::{KeyInit, UniversalHash},
};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::{ErrorKind, RepoError, Result};

/// Bytes of the nonce in front of a sealed message.
pub const NONCE: usize = 16;
/// Bytes of the tag behind a sealed message.
pub const TAG: usize = 16;
/// By how much a sealed message is longer than its plaintext.
pub const OVERHEAD: usize = NONCE + TAG;

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// SHA-256 of bytes that come in pieces.
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl Sha256 {
    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything added.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.finish().as_ref());
        out
    }
}

/// Fills `buffer` with random bytes of the operating system's generator.
///
/// # Errors
/// When the generator fails.
pub fn random(buffer: &mut [u8]) -> Result<()> {
    rand::fill(buffer).map_err(|_| RepoError::new(ErrorKind::Storage, "the random generator failed"))
}

/// The three keys a message is sealed with, as they stand in key files. Erased when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct RawKey {
    /// AES-256 key.
    pub encrypt: [u8; 32],
    /// AES-128 key that turns the nonce into the tag's one-time pad.
    pub mac_k: [u8; 16],
    /// The point at which Poly1305 evaluates.
    pub mac_r: [u8; 16],
}

/// The JSON shape of [`RawKey`] (restic: `{"mac":{"k":…,"r":…},"encrypt":…}`).
#[derive(Serialize, Deserialize)]
struct RawKeyJson {
    mac: MacJson,
    encrypt: Zeroizing<String>,
}

#[derive(Serialize, Deserialize)]
struct MacJson {
    k: Zeroizing<String>,
    r: Zeroizing<String>,
}

impl RawKey {
    /// A fresh random key.
    ///
    /// # Errors
    /// When the random generator fails.
    pub fn generate() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; 64]);
        random(bytes.as_mut_slice())?;
        Ok(Self::from_bytes(&bytes))
    }

    /// Cuts 64 bytes into the three keys: encryption 32, k 16, r 16.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        let mut key = Self { encrypt: [0; 32], mac_k: [0; 16], mac_r: [0; 16] };
        key.encrypt.copy_from_slice(&bytes[..32]);
        key.mac_k.copy_from_slice(&bytes[32..48]);
        key.mac_r.copy_from_slice(&bytes[48..]);
        key
    }

    /// The key as the JSON that key files hold.
    ///
    /// # Errors
    /// Never in practice.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>> {
        use base64ct::{Base64, Encoding};
        let text = |bytes: &[u8]| Zeroizing::new(Base64::encode_string(bytes));
        let json = RawKeyJson {
            mac: MacJson { k: text(&self.mac_k), r: text(&self.mac_r) },
            encrypt: text(&self.encrypt),
        };
        serde_json::to_vec(&json).map(Zeroizing::new).map_err(|e| {
            RepoError::new(ErrorKind::Storage, "the master key cannot be encoded").with_source(e)
        })
    }

    /// The inverse of [`to_json`](Self::to_json).
    ///
    /// # Errors
    /// When the JSON is of another shape. The message carries none of it.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        use base64ct::{Base64, Encoding};
        let bad = || RepoError::new(ErrorKind::Damaged, "a key file holds no usable master key");
        let json: RawKeyJson = serde_json::from_slice(json).map_err(|_| bad())?;
        let mut key = Self { encrypt: [0; 32], mac_k: [0; 16], mac_r: [0; 16] };
        for (text, out) in [
            (&json.encrypt, key.encrypt.as_mut_slice()),
            (&json.mac.k, key.mac_k.as_mut_slice()),
            (&json.mac.r, key.mac_r.as_mut_slice()),
        ] {
            let bytes = Zeroizing::new(Base64::decode_vec(text).map_err(|_| bad())?);
            if bytes.len() != out.len() {
                return Err(bad());
            }
            out.copy_from_slice(&bytes);
        }
        Ok(key)
    }
}

/// A key ready for work: schedules are set up once. Share it between threads.
pub struct SealingKey {
    encrypt: EncryptingKey,
    decrypt: DecryptingKey,
    pad: EncryptingKey,
    r: Zeroizing<[u8; 16]>,
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey(…)")
    }
}

impl SealingKey {
    /// Sets up the schedules.
    ///
    /// # Errors
    /// When the cryptographic library refuses, which it has no reason to.
    pub fn new(raw: &RawKey) -> Result<Self> {
        let failed = |_| RepoError::new(ErrorKind::Storage, "the cryptographic library refused a key");
        let aes256 = || UnboundCipherKey::new(&AES_256, &raw.encrypt).map_err(failed);
        let aes128 = UnboundCipherKey::new(&AES_128, &raw.mac_k).map_err(failed)?;
        Ok(Self {
            encrypt: EncryptingKey::ctr(aes256()?).map_err(failed)?,
            decrypt: DecryptingKey::ctr(aes256()?).map_err(failed)?,
            // Counter mode over sixteen zero bytes is one AES block: the encryption of the nonce.
            pad: EncryptingKey::ctr(aes128).map_err(failed)?,
            r: Zeroizing::new(raw.mac_r),
        })
    }

    /// Poly1305-AES of `ciphertext` under `nonce`.
    fn tag(&self, nonce: [u8; NONCE], ciphertext: &[u8]) -> Result<[u8; TAG]> {
        let mut key = Zeroizing::new([0; 32]);
        key[..16].copy_from_slice(self.r.as_slice());
        self.pad
            .less_safe_encrypt(&mut key[16..], EncryptionContext::Iv128(FixedLength::from(nonce)))
            .map_err(|_| RepoError::new(ErrorKind::Storage, "the cryptographic library failed"))?;
        let mut state = Poly1305::new((&*key).into());
        // Whole blocks in one run keep the vector units busy; only the tail takes the slower path.
        let (blocks, rest) = ciphertext.split_at(ciphertext.len() & !15);
        state.update_padded(blocks);
        Ok(state.compute_unpadded(rest).into())
    }

    /// Seals `buffer[start + NONCE..]` in place: the caller has left [`NONCE`] bytes free at `start`
    /// and the plaintext after them; the tag is appended.
    ///
    /// # Errors
    /// When the random generator or the cryptographic library fails.
    pub fn seal_in_place(&self, buffer: &mut Vec<u8>, start: usize) -> Result<()> {
        let mut nonce = [0; NONCE];
        random(&mut nonce)?;
        buffer[start..start + NONCE].copy_from_slice(&nonce);
        self.encrypt
            .less_safe_encrypt(
                &mut buffer[start + NONCE..],
                EncryptionContext::Iv128(FixedLength::from(nonce)),
            )
            .map_err(|_| RepoError::new(ErrorKind::Storage, "the cryptographic library failed"))?;
        let tag = self.tag(nonce, &buffer[start + NONCE..])?;
        buffer.extend_from_slice(&tag);
        Ok(())
    }

    /// Seals `plaintext` into a new message.
    ///
    /// # Errors
    /// As [`seal_in_place`](Self::seal_in_place).
    pub fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(plaintext.len() + OVERHEAD);
        out.resize(NONCE, 0);
        out.extend_from_slice(plaintext);
        self.seal_in_place(&mut out, 0)?;
        Ok(out)
    }

    /// Opens `sealed` in place and returns the plaintext inside it. `None`: the message is too short
    /// or not authentic; nothing was decrypted then.
    #[must_use]
    pub fn open_in_place<'a>(&self, sealed: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let length = sealed.len().checked_sub(OVERHEAD)?;
        let (nonce, rest) = sealed.split_first_chunk_mut::<NONCE>()?;
        let (ciphertext, tag) = rest.split_at_mut(length);
        let expected = self.tag(*nonce, ciphertext).ok()?;
        aws_lc_rs::constant_time::verify_slices_are_equal(&expected, tag).ok()?;
        self.decrypt.decrypt(ciphertext, DecryptionContext::Iv128(FixedLength::from(*nonce))).ok()?;
        Some(ciphertext)
    }
}

#[cfg(test)]
mod tests {
    use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, aead::AeadInPlace};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_an_independent_implementation(
            key in prop::array::uniform32(any::<u8>()), key2 in prop::array::uniform32(any::<u8>()),
            message in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut bytes = [0; 64];
            bytes[..32].copy_from_slice(&key);
            bytes[32..].copy_from_slice(&key2);
            let ours = SealingKey::new(&RawKey::from_bytes(&bytes)).unwrap();
            let theirs = Aes256CtrPoly1305Aes::new(&bytes.into());

            let mut sealed = ours.seal(&message).unwrap();
            let (nonce, rest) = sealed.split_at(NONCE);
            let (ciphertext, tag) = rest.split_at(message.len());
            let mut opened = ciphertext.to_vec();
            theirs.decrypt_in_place_detached(nonce.into(), b"", &mut opened, tag.into()).unwrap();
            prop_assert_eq!(&opened, &message);
            prop_assert_eq!(&*ours.open_in_place(&mut sealed).unwrap(), &message[..]);
        }

        #[test]
        fn every_flipped_bit_is_noticed(
            message in prop::collection::vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>(), bit in 0..8,
        ) {
            let key = SealingKey::new(&RawKey::from_bytes(&[7; 64])).unwrap();
            let mut sealed = key.seal(&message).unwrap();
            let at = at.index(sealed.len());
            sealed[at] ^= 1_u8 << bit;
            prop_assert!(key.open_in_place(&mut sealed).is_none());
        }
    }

    #[test]
    fn short_messages_are_refused() {
        let key = SealingKey::new(&RawKey::from_bytes(&[7; 64])).unwrap();
        for length in 0..OVERHEAD {
            assert!(key.open_in_place(&mut vec![0; length]).is_none());
        }
    }

    #[test]
    fn key_json_round_trip() {
        let key = RawKey::generate().unwrap();
        let again = RawKey::from_json(&key.to_json().unwrap()).unwrap();
        assert_eq!((again.encrypt, again.mac_k, again.mac_r), (key.encrypt, key.mac_k, key.mac_r));
        assert!(
            RawKey::from_json(b"{\"mac\":{\"k\":\"AA==\",\"r\":\"AA==\"},\"encrypt\":\"AA==\"}").is_err()
        );
    }
}
