//! Algorithms of signatures, by their published names (RFC 7518, section 3).

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    digest::{self, Digest},
    signature::{
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256,
        RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
        RSA_PSS_2048_8192_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaParameters,
        RsaSignatureEncoding,
    },
};

use crate::error::{ErrorKind, KeyVaultError, Result};

/// How a digest is signed with an RSA key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// PKCS#1 v1.5 with SHA-384.
    Rs384,
    /// PKCS#1 v1.5 with SHA-512.
    Rs512,
    /// PSS with SHA-256, MGF1 with SHA-256, and a salt as long as the digest.
    Ps256,
    /// PSS with SHA-384, MGF1 with SHA-384, and a salt as long as the digest.
    Ps384,
    /// PSS with SHA-512, MGF1 with SHA-512, and a salt as long as the digest.
    Ps512,
}

impl SignatureAlgorithm {
    /// All there are.
    pub const ALL: [Self; 6] = [Self::Rs256, Self::Rs384, Self::Rs512, Self::Ps256, Self::Ps384, Self::Ps512];

    /// The published name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
        }
    }

    /// How many bytes a digest has that it signs.
    #[must_use]
    pub fn digest_bytes(self) -> usize {
        self.digest_algorithm().output_len()
    }

    fn digest_algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Rs256 | Self::Ps256 => &digest::SHA256,
            Self::Rs384 | Self::Ps384 => &digest::SHA384,
            Self::Rs512 | Self::Ps512 => &digest::SHA512,
        }
    }

    pub(crate) fn encoding(self) -> &'static RsaSignatureEncoding {
        match self {
            Self::Rs256 => &RSA_PKCS1_SHA256,
            Self::Rs384 => &RSA_PKCS1_SHA384,
            Self::Rs512 => &RSA_PKCS1_SHA512,
            Self::Ps256 => &RSA_PSS_SHA256,
            Self::Ps384 => &RSA_PSS_SHA384,
            Self::Ps512 => &RSA_PSS_SHA512,
        }
    }

    pub(crate) fn parameters(self) -> &'static RsaParameters {
        match self {
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &RSA_PSS_2048_8192_SHA512,
        }
    }

    /// Takes a digest that was made elsewhere: as the contract has it, what was hashed is the caller's business.
    pub(crate) fn digest(self, bytes: &[u8]) -> Result<Digest> {
        Digest::import_less_safe(bytes, self.digest_algorithm()).map_err(|_| {
            KeyVaultError::invalid(format!(
                "a digest of {} bytes does not fit: {self} signs digests of {} bytes",
                bytes.len(),
                self.digest_bytes()
            ))
        })
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for SignatureAlgorithm {
    type Err = KeyVaultError;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text).ok_or_else(|| {
            KeyVaultError::new(
                ErrorKind::UnsupportedAlgorithm,
                "the algorithm is not supported for signatures: use RS256, RS384, RS512, PS256, PS384 or PS512",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_by_name_alone() {
        for algorithm in SignatureAlgorithm::ALL {
            assert_eq!(algorithm.to_string().parse::<SignatureAlgorithm>().unwrap(), algorithm);
        }
        for bad in ["", "rs256", "RS1", "RSNULL", "ES256", "HS256", "RSA-OAEP", "PS256\n"] {
            let error = bad.parse::<SignatureAlgorithm>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnsupportedAlgorithm, "{bad}");
        }
    }
}
