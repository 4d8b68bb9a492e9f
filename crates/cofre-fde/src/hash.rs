//! The hashes a header may name, and what is built on them.

use pbkdf2::{hmac::EagerHash, pbkdf2_hmac};
use serde::{Deserialize, Serialize};
use sha2::Digest;

/// A hash function, as headers name it. Names are compared without regard to case, as cryptsetup
/// writes them the way the user typed them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HashAlgorithm {
    /// SHA-1, 20 bytes. Weak, but sound as the PRF of PBKDF2 and in old headers.
    Sha1,
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-512, 64 bytes.
    Sha512,
    /// RIPEMD-160, 20 bytes.
    Ripemd160,
    /// Whirlpool (ISO/IEC 10118-3), 64 bytes.
    Whirlpool,
}

impl HashAlgorithm {
    const ALL: [Self; 5] = [Self::Sha1, Self::Sha256, Self::Sha512, Self::Ripemd160, Self::Whirlpool];

    /// The hash of this name, if it is one of the five.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.name().eq_ignore_ascii_case(name))
    }

    /// The name cryptsetup writes by itself.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Ripemd160 => "ripemd160",
            Self::Whirlpool => "whirlpool",
        }
    }

    /// Length of a digest in bytes.
    #[must_use]
    pub fn output_size(self) -> usize {
        match self {
            Self::Sha1 | Self::Ripemd160 => 20,
            Self::Sha256 => 32,
            Self::Sha512 | Self::Whirlpool => 64,
        }
    }

    /// Writes the hash of `parts`, one after another, over `output`, cut to its length.
    pub(crate) fn digest_into(self, parts: &[&[u8]], output: &mut [u8]) {
        match self {
            Self::Sha1 => digest_into::<sha1::Sha1>(parts, output),
            Self::Sha256 => digest_into::<sha2::Sha256>(parts, output),
            Self::Sha512 => digest_into::<sha2::Sha512>(parts, output),
            Self::Ripemd160 => digest_into::<ripemd::Ripemd160>(parts, output),
            Self::Whirlpool => digest_into::<whirlpool::Whirlpool>(parts, output),
        }
    }

    /// PBKDF2 (RFC 8018) with HMAC over this hash. The caller has bounded `iterations`.
    pub(crate) fn pbkdf2(self, password: &[u8], salt: &[u8], iterations: u32, output: &mut [u8]) {
        fn run<D: EagerHash>(password: &[u8], salt: &[u8], iterations: u32, output: &mut [u8]) {
            pbkdf2_hmac::<D>(password, salt, iterations, output);
        }
        match self {
            Self::Sha1 => run::<sha1::Sha1>(password, salt, iterations, output),
            Self::Sha256 => run::<sha2::Sha256>(password, salt, iterations, output),
            Self::Sha512 => run::<sha2::Sha512>(password, salt, iterations, output),
            Self::Ripemd160 => run::<ripemd::Ripemd160>(password, salt, iterations, output),
            Self::Whirlpool => run::<whirlpool::Whirlpool>(password, salt, iterations, output),
        }
    }
}

fn digest_into<D: Digest>(parts: &[&[u8]], output: &mut [u8]) {
    let mut hasher = D::new();
    for part in parts {
        hasher.update(part);
    }
    let digest = hasher.finalize();
    let length = output.len().min(digest.len());
    output[..length].copy_from_slice(&digest[..length]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(HashAlgorithm::from_name("SHA256"), Some(HashAlgorithm::Sha256));
        assert_eq!(HashAlgorithm::from_name("Whirlpool"), Some(HashAlgorithm::Whirlpool));
        for name in ["", "md5", "sha3-256", "sha256 "] {
            assert_eq!(HashAlgorithm::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn every_hash_gives_its_published_digest_of_abc() {
        for (hash, expected) in [
            (HashAlgorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (HashAlgorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (HashAlgorithm::Ripemd160, "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"),
        ] {
            let mut output = vec![0; hash.output_size()];
            hash.digest_into(&[b"a", b"bc"], &mut output);
            assert_eq!(hex::encode(&output), expected, "{hash:?}");
        }
    }
}
