//! Cipher specifications as dm-crypt and LUKS write them: `aes-xts-plain64`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::BLOCK;
use crate::error::FdeError;

/// How blocks of a sector are tied together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CipherMode {
    /// XTS; the key holds two AES keys.
    Xts,
    /// CBC.
    Cbc,
    /// ECB: every block by itself, no IV.
    Ecb,
}

/// How the number of a sector becomes its IV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IvRule {
    /// The number as 64 bits, little-endian, padded with zeros.
    Plain64,
    /// The lower 32 bits of the number: repeats every 2 TiB.
    Plain,
    /// The number as in [`Plain64`](Self::Plain64), encrypted with AES under SHA-256 of the volume key.
    EssivSha256,
    /// No IV (ECB).
    None,
}

impl IvRule {
    /// The number of a sector as the bytes of a block, before any encryption of it.
    pub(super) fn number(self, number: u64) -> [u8; BLOCK] {
        let number = match self {
            Self::Plain64 | Self::EssivSha256 => number,
            Self::Plain => number & u64::from(u32::MAX),
            Self::None => 0,
        };
        u128::from(number).to_le_bytes()
    }
}

/// An AES mode and IV rule that this crate maps. Written and read as text, `aes-xts-plain64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CipherSpec {
    /// The mode.
    pub mode: CipherMode,
    /// The IV rule.
    pub iv: IvRule,
}

impl CipherSpec {
    const NAMES: [(&'static str, CipherMode, IvRule); 9] = [
        ("aes-xts-plain64", CipherMode::Xts, IvRule::Plain64),
        ("aes-xts-plain", CipherMode::Xts, IvRule::Plain),
        ("aes-cbc-essiv:sha256", CipherMode::Cbc, IvRule::EssivSha256),
        ("aes-cbc-plain64", CipherMode::Cbc, IvRule::Plain64),
        ("aes-cbc-plain", CipherMode::Cbc, IvRule::Plain),
        ("aes-ecb", CipherMode::Ecb, IvRule::None),
        // An IV rule that ECB has no use for is passed over, as dm-crypt does; QEMU writes plain64.
        ("aes-ecb-null", CipherMode::Ecb, IvRule::None),
        ("aes-ecb-plain", CipherMode::Ecb, IvRule::None),
        ("aes-ecb-plain64", CipherMode::Ecb, IvRule::None),
    ];

    /// Says whether the cipher takes a volume key of this many bytes: 32 or 64 for XTS, 16, 24 or
    /// 32 for the others.
    pub(crate) fn check_key_bytes(self, bytes: usize) -> Result<(), FdeError> {
        let taken: &[usize] = if self.mode == CipherMode::Xts { &[32, 64] } else { &[16, 24, 32] };
        if taken.contains(&bytes) {
            return Ok(());
        }
        Err(FdeError::unsupported(format!("{self} with a key of {} bits", bytes.saturating_mul(8))))
    }
}

impl fmt::Display for CipherSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::NAMES.iter().find(|(_, mode, iv)| *mode == self.mode && *iv == self.iv);
        formatter.write_str(found.map_or("aes", |(name, _, _)| name))
    }
}

impl FromStr for CipherSpec {
    type Err = FdeError;

    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) with the name.
    fn from_str(text: &str) -> Result<Self, FdeError> {
        let found = Self::NAMES.iter().find(|(name, _, _)| name.eq_ignore_ascii_case(text));
        match found {
            Some((_, mode, iv)) => Ok(Self { mode: *mode, iv: *iv }),
            None => Err(FdeError::unsupported(format!("cipher {}", printable(text)))),
        }
    }
}

impl Serialize for CipherSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CipherSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Text of a header as it may stand in a message: short, and nothing a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    text.chars().take(64).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_round_trip() {
        for name in [
            "aes-xts-plain64",
            "aes-xts-plain",
            "aes-cbc-essiv:sha256",
            "aes-cbc-plain64",
            "aes-cbc-plain",
            "aes-ecb",
        ] {
            assert_eq!(name.parse::<CipherSpec>().unwrap().to_string(), name);
        }
        assert_eq!("AES-XTS-Plain64".parse::<CipherSpec>().unwrap().to_string(), "aes-xts-plain64");
    }

    #[test]
    fn other_ciphers_are_refused_by_name() {
        for name in [
            "serpent-xts-plain64",
            "twofish-cbc-essiv:sha256",
            "aes-cbc-essiv:sha1",
            "aes",
            "",
            "cipher_null-ecb",
        ] {
            let error = name.parse::<CipherSpec>().unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        let error = "a\u{1b}[2J".parse::<CipherSpec>().unwrap_err();
        assert!(!error.to_string().contains('\u{1b}'));
    }
}
