//! A key's backup blob, and base64 as others write it.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64ct::{Base64, Base64Unpadded, Base64UrlUnpadded, Encoding};
use zeroize::Zeroizing;

/// The backup blob of a key, all versions of it: opened by no one but a key vault.
#[derive(Clone)]
pub struct KeyBlob(Zeroizing<Vec<u8>>);

impl KeyBlob {
    /// Takes the bytes.
    #[must_use]
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// SHA-256 of the bytes, in hex digits.
    #[must_use]
    pub fn sha256(&self) -> String {
        digest(&SHA256, &self.0).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn encode(&self) -> Zeroizing<String> {
        Zeroizing::new(Base64::encode_string(&self.0))
    }

    /// From base64 in either alphabet, padded or not.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let text = text.trim_ascii().trim_end_matches('=');
        let bytes = if text.contains(['-', '_']) {
            Base64UrlUnpadded::decode_vec(text)
        } else {
            Base64Unpadded::decode_vec(text)
        };
        bytes.ok().filter(|b| !b.is_empty()).map(|b| Self(Zeroizing::new(b)))
    }
}

impl fmt::Debug for KeyBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyBlob(… {} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_alphabet_with_padding_or_without() {
        let bytes = [0xfb, 0xff, 0x00, 0x7e];
        for text in ["+/8Afg==", "+/8Afg", "-_8Afg==", "-_8Afg", " +/8Afg==\n"] {
            assert_eq!(KeyBlob::decode(text).unwrap().expose(), bytes, "{text}");
        }
        for bad in ["", "=", "+_8Afg", "+/8Af", "+/8 Afg", "ü"] {
            assert!(KeyBlob::decode(bad).is_none(), "{bad}");
        }
        let blob = KeyBlob::new(Zeroizing::new(b"abc".to_vec()));
        assert_eq!(blob.sha256(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(format!("{blob:?}"), "KeyBlob(… 3 bytes)");
    }
}
