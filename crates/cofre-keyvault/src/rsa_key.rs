//! RSA keys: made and read by AWS-LC alone.

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{
        KeyPair, KeyPairComponents, KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm,
        PrivateDecryptingKey, PublicKeyComponents,
    },
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    encoding::SecretBytes,
    error::{ErrorKind, KeyVaultError, Result},
    private_key::PrivateKey,
};

/// Length of a key to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "bits")]
pub enum RsaSize {
    Bits2048,
    Bits3072,
    Bits4096,
}

impl RsaSize {
    /// The size of this many bits.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for other sizes than 2048, 3072 and 4096.
    pub fn from_bits(bits: u32) -> Result<Self> {
        match bits {
            2048 => Ok(Self::Bits2048),
            3072 => Ok(Self::Bits3072),
            4096 => Ok(Self::Bits4096),
            _ => Err(KeyVaultError::invalid("an RSA key has 2048, 3072 or 4096 bits")),
        }
    }
}

/// How a value is encrypted to an RSA key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WrapAlgorithm {
    /// OAEP with SHA-1 and MGF1 with SHA-1.
    #[serde(rename = "RSA-OAEP")]
    RsaOaep,
    /// OAEP with SHA-256 and MGF1 with SHA-256.
    #[serde(rename = "RSA-OAEP-256")]
    RsaOaep256,
}

impl WrapAlgorithm {
    /// The published name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RsaOaep => "RSA-OAEP",
            Self::RsaOaep256 => "RSA-OAEP-256",
        }
    }

    pub(crate) fn oaep(self) -> &'static OaepAlgorithm {
        match self {
            Self::RsaOaep => &OAEP_SHA1_MGF1SHA1,
            Self::RsaOaep256 => &OAEP_SHA256_MGF1SHA256,
        }
    }
}

impl fmt::Display for WrapAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for WrapAlgorithm {
    type Err = KeyVaultError;

    fn from_str(text: &str) -> Result<Self> {
        let known = [Self::RsaOaep, Self::RsaOaep256];
        if let Some(algorithm) = known.into_iter().find(|algorithm| algorithm.as_str() == text) {
            return Ok(algorithm);
        }
        let readable = text.len() <= 32
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let message = match text {
            "RSA1_5" => {
                "RSA1_5 is refused: its padding tells an attacker too much; use RSA-OAEP or RSA-OAEP-256"
                    .to_owned()
            }
            _ if readable => format!("the algorithm {text} is not supported: use RSA-OAEP or RSA-OAEP-256"),
            _ => "the algorithm is not supported: use RSA-OAEP or RSA-OAEP-256".to_owned(),
        };
        Err(KeyVaultError::new(ErrorKind::UnsupportedAlgorithm, message))
    }
}

/// The parts of an RSA key to be imported, big-endian, as a JSON Web Key has them.
#[expect(missing_docs, reason = "the names of RFC 7518")]
#[derive(Debug)]
pub struct RsaComponents {
    pub n: Vec<u8>,
    pub e: Vec<u8>,
    pub d: SecretBytes,
    pub p: SecretBytes,
    pub q: SecretBytes,
    pub dp: SecretBytes,
    pub dq: SecretBytes,
    pub qi: SecretBytes,
}

/// A private key in its stored form, and its public part.
#[derive(Clone, Debug)]
pub(crate) struct RsaMaterial {
    pub(crate) pkcs8: SecretBytes,
    pub(crate) n: SecretBytes,
    pub(crate) e: SecretBytes,
}

pub(crate) fn rejected() -> KeyVaultError {
    KeyVaultError::invalid("this is no RSA key of 2048, 3072 or 4096 bits")
}

impl RsaMaterial {
    pub(crate) fn generate(size: RsaSize) -> Result<Self> {
        let size = match size {
            RsaSize::Bits2048 => KeySize::Rsa2048,
            RsaSize::Bits3072 => KeySize::Rsa3072,
            RsaSize::Bits4096 => KeySize::Rsa4096,
        };
        let key = PrivateDecryptingKey::generate(size)
            .map_err(|_| KeyVaultError::cryptography("make an RSA key"))?;
        let der = key.as_der().map_err(|_| KeyVaultError::cryptography("encode an RSA key"))?;
        Self::from_pkcs8(SecretBytes::new(Zeroizing::new(der.as_ref().to_vec())))
    }

    pub(crate) fn import(components: &RsaComponents) -> Result<Self> {
        let bounded = [&components.n, &components.e].iter().all(|part| (1..=512).contains(&part.len()));
        let private =
            [&components.d, &components.p, &components.q, &components.dp, &components.dq, &components.qi];
        if !bounded || private.iter().any(|part| !(1..=512).contains(&part.expose().len())) {
            return Err(rejected());
        }
        let pair = KeyPair::from_components(&KeyPairComponents {
            public_key: PublicKeyComponents { n: &components.n, e: &components.e },
            d: components.d.expose(),
            p: components.p.expose(),
            q: components.q.expose(),
            dP: components.dp.expose(),
            dQ: components.dq.expose(),
            qInv: components.qi.expose(),
        })
        .map_err(|_| rejected())?;
        let der = pair.as_der().map_err(|_| KeyVaultError::cryptography("encode an RSA key"))?;
        Self::from_pkcs8(SecretBytes::new(Zeroizing::new(der.as_ref().to_vec())))
    }

    /// Reads and checks a stored key.
    pub(crate) fn from_pkcs8(pkcs8: SecretBytes) -> Result<Self> {
        let key = PrivateKey::from_pkcs8(&pkcs8)?;
        let public = |bytes: &[u8]| SecretBytes::new(Zeroizing::new(bytes.to_vec()));
        Ok(Self { pkcs8, n: public(key.modulus()), e: public(key.exponent()) })
    }
}

/// Reads `SEQUENCE { INTEGER n, INTEGER e }` (RFC 8017, RSAPublicKey).
pub(crate) fn modulus_and_exponent(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (sequence, rest) = element(der, 0x30)?;
    let (n, more) = element(sequence, 0x02)?;
    let (e, end) = element(more, 0x02)?;
    let unsigned = |bytes: &[u8]| bytes.strip_prefix(&[0]).unwrap_or(bytes).to_vec();
    (rest.is_empty() && end.is_empty()).then(|| (unsigned(n), unsigned(e)))
}

/// One DER element of a tag: its content, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            (digits.iter().fold(0, |sum: usize, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    if first != tag {
        return None;
    }
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_by_name_alone() {
        assert_eq!("RSA-OAEP".parse::<WrapAlgorithm>().unwrap(), WrapAlgorithm::RsaOaep);
        assert_eq!("RSA-OAEP-256".parse::<WrapAlgorithm>().unwrap(), WrapAlgorithm::RsaOaep256);
        for (bad, said) in
            [("RSA1_5", "RSA1_5"), ("A256KW", "A256KW"), ("rsa-oaep", "rsa-oaep"), ("", "not supported")]
        {
            let error = bad.parse::<WrapAlgorithm>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnsupportedAlgorithm);
            assert!(error.to_string().contains(said), "{error}");
        }
        assert!(!"a b\n".parse::<WrapAlgorithm>().unwrap_err().to_string().contains('\n'));
    }

    #[test]
    fn the_public_part_is_read() {
        let key = RsaMaterial::generate(RsaSize::Bits2048).unwrap();
        let (n, e) = (key.n.expose(), key.e.expose());
        assert_eq!((n.len(), e), (256, [1, 0, 1].as_slice()));
        assert!(n[0] & 0x80 != 0 && n[255] & 1 == 1);
    }

    #[test]
    fn hostile_public_keys() {
        assert!(modulus_and_exponent(&[0x30, 6, 2, 1, 5, 2, 1, 3]).is_some());
        for bad in
            [&[][..], &[0x30], &[0x30, 0x84, 255, 255, 255, 255], &[0x30, 6, 2, 1, 5, 2, 2, 3], &[0x30, 0x80]]
        {
            assert!(modulus_and_exponent(bad).is_none(), "{bad:?}");
        }
    }
}
