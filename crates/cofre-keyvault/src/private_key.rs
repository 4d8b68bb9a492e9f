//! A private RSA key, read once and used many times.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::{
        KeyPair, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey, PublicKey,
        PublicKeyComponents,
    },
};
use zeroize::Zeroizing;

use crate::{
    encoding::SecretBytes,
    error::{ErrorKind, KeyVaultError, Result},
    rsa_key::{self, WrapAlgorithm},
    signature::SignatureAlgorithm,
};

/// A private RSA key as the cryptographic library holds it: reading one costs half as much as a decryption (2048
/// bits, `examples/rsa_cost.rs`), so that whoever uses a key often keeps this. A clone is the same key. Never shown; wiped with the last clone.
#[derive(Clone)]
pub struct PrivateKey(Arc<Parsed>);

struct Parsed {
    /// For the pair of keys below.
    pkcs8: SecretBytes,
    seals: OaepPublicEncryptingKey,
    opens: OaepPrivateDecryptingKey,
    n: Vec<u8>,
    e: Vec<u8>,
    /// The library signs with another form of the key. It is made when something is signed: most keys only wrap.
    signs: OnceLock<KeyPair>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PrivateKey(…)")
    }
}

fn unusable() -> KeyVaultError {
    KeyVaultError::cryptography("use an RSA key")
}

impl PrivateKey {
    /// Reads and checks a key: PKCS#8 in DER.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when this is no RSA key of 2048, 3072 or 4096 bits.
    pub fn from_pkcs8(pkcs8: &SecretBytes) -> Result<Self> {
        let key = PrivateDecryptingKey::from_pkcs8(pkcs8.expose()).map_err(|_| rsa_key::rejected())?;
        if !matches!(key.key_size_bits(), 2048 | 3072 | 4096) {
            return Err(rsa_key::rejected());
        }
        let public = key.public_key();
        let der = public.as_der().map_err(|_| rsa_key::rejected())?;
        let der = PublicKey::from_der(der.as_ref()).map_err(|_| rsa_key::rejected())?;
        let (n, e) = rsa_key::modulus_and_exponent(der.as_ref()).ok_or_else(rsa_key::rejected)?;
        let seals = OaepPublicEncryptingKey::new(public).map_err(|_| unusable())?;
        let opens = OaepPrivateDecryptingKey::new(key).map_err(|_| unusable())?;
        Ok(Self(Arc::new(Parsed { pkcs8: pkcs8.clone(), seals, opens, n, e, signs: OnceLock::new() })))
    }

    /// The modulus, big-endian without leading zeros.
    #[must_use]
    pub fn modulus(&self) -> &[u8] {
        &self.0.n
    }

    /// The public exponent, big-endian without leading zeros.
    #[must_use]
    pub fn exponent(&self) -> &[u8] {
        &self.0.e
    }

    /// Encrypts with the public part.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the value is too long for key and algorithm.
    pub fn wrap(&self, algorithm: WrapAlgorithm, plaintext: &[u8]) -> Result<Vec<u8>> {
        let key = &self.0.seals;
        let most = key.max_plaintext_size(algorithm.oaep());
        if plaintext.len() > most {
            return Err(KeyVaultError::invalid(format!(
                "a value of {} bytes is too long: {algorithm} with this key takes at most {most}",
                plaintext.len()
            )));
        }
        let mut ciphertext = vec![0; key.ciphertext_size()];
        let length =
            key.encrypt(algorithm.oaep(), plaintext, &mut ciphertext, None).map_err(|_| unusable())?.len();
        ciphertext.truncate(length);
        Ok(ciphertext)
    }

    /// Decrypts.
    ///
    /// # Errors
    /// [`ErrorKind::UnwrapFailed`], the same whatever is wrong with the ciphertext.
    pub fn unwrap(&self, algorithm: WrapAlgorithm, ciphertext: &[u8]) -> Result<SecretBytes> {
        let key = &self.0.opens;
        let mut plaintext = Zeroizing::new(vec![0; key.min_output_size()]);
        let of_right_length = ciphertext.len() == key.key_size_bytes();
        // What has another length cannot open; something is decrypted in its place, so that it takes as long.
        let stand_in = vec![1; key.key_size_bytes()];
        let ciphertext = if of_right_length { ciphertext } else { &stand_in };
        let opened = key.decrypt(algorithm.oaep(), ciphertext, &mut plaintext, None).map(|plain| plain.len());
        let length = opened.ok().filter(|_| of_right_length).ok_or_else(|| {
            KeyVaultError::new(
                ErrorKind::UnwrapFailed,
                "the value does not open with this key version and algorithm",
            )
        })?;
        plaintext.truncate(length);
        Ok(SecretBytes::new(plaintext))
    }

    /// Signs a digest.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the digest has another length than the algorithm's.
    pub fn sign(&self, algorithm: SignatureAlgorithm, digest: &[u8]) -> Result<Vec<u8>> {
        let digest = algorithm.digest(digest)?;
        let pair = self.pair()?;
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign_digest(algorithm.encoding(), &digest, &mut signature).map_err(|_| unusable())?;
        Ok(signature)
    }

    /// Whether a signature of a digest is this key's.
    ///
    /// # Errors
    /// As [`sign`](Self::sign).
    pub fn verify(&self, algorithm: SignatureAlgorithm, digest: &[u8], signature: &[u8]) -> Result<bool> {
        let digest = algorithm.digest(digest)?;
        let public = PublicKeyComponents { n: self.modulus(), e: self.exponent() };
        let public = public.to_parsed_public_key(algorithm.parameters()).map_err(|_| unusable())?;
        Ok(public.verify_digest_sig(&digest, signature).is_ok())
    }

    fn pair(&self) -> Result<&KeyPair> {
        if let Some(pair) = self.0.signs.get() {
            return Ok(pair);
        }
        let pair = KeyPair::from_pkcs8(self.0.pkcs8.expose()).map_err(|_| rsa_key::rejected())?;
        Ok(self.0.signs.get_or_init(|| pair))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rsa_key::{RsaMaterial, RsaSize};

    fn key() -> PrivateKey {
        PrivateKey::from_pkcs8(&RsaMaterial::generate(RsaSize::Bits2048).unwrap().pkcs8).unwrap()
    }

    #[test]
    fn both_paddings_open_what_they_seal_and_nothing_else() {
        let key = key();
        for (algorithm, most) in [(WrapAlgorithm::RsaOaep, 214), (WrapAlgorithm::RsaOaep256, 190)] {
            let wrapped = key.wrap(algorithm, &vec![7; most]).unwrap();
            assert_eq!(key.unwrap(algorithm, &wrapped).unwrap().expose(), vec![7; most]);
            assert_eq!(key.wrap(algorithm, &vec![7; most + 1]).unwrap_err().kind(), ErrorKind::Invalid);
            let empty = key.wrap(algorithm, b"").unwrap();
            assert_eq!(key.unwrap(algorithm, &empty).unwrap().expose(), b"");
        }
        let wrapped = key.wrap(WrapAlgorithm::RsaOaep, b"x").unwrap();
        let answers: Vec<_> = [&wrapped[..255], &[], &[0; 256], &[0xff; 256], &[0; 300]]
            .into_iter()
            .map(|bad| key.unwrap(WrapAlgorithm::RsaOaep, bad).unwrap_err())
            .chain([key.unwrap(WrapAlgorithm::RsaOaep256, &wrapped).unwrap_err()])
            .map(|error| (error.kind(), error.to_string(), std::error::Error::source(&error).is_none()))
            .collect();
        assert!(
            answers
                .iter()
                .all(|answer| *answer == answers[0] && answer.0 == ErrorKind::UnwrapFailed && answer.2)
        );
    }

    #[test]
    fn a_signature_counts_for_its_key_digest_and_algorithm_alone() {
        let (key, other) = (key(), key());
        for algorithm in SignatureAlgorithm::ALL {
            let digest = vec![9; algorithm.digest_bytes()];
            let signature = key.sign(algorithm, &digest).unwrap();
            assert!(key.clone().verify(algorithm, &digest, &signature).unwrap());
            assert!(!other.verify(algorithm, &digest, &signature).unwrap());
            assert!(!key.verify(algorithm, &vec![8; digest.len()], &signature).unwrap());
            for at in [0, 128, 255] {
                let mut bad = signature.clone();
                bad[at] ^= 1;
                assert!(!key.verify(algorithm, &digest, &bad).unwrap(), "{algorithm}, byte {at}");
            }
            for bad in [&signature[..255], &[], &[signature.as_slice(), &[0]].concat()] {
                assert!(!key.verify(algorithm, &digest, bad).unwrap());
            }
            for of_same_digest in SignatureAlgorithm::ALL {
                if of_same_digest != algorithm && of_same_digest.digest_bytes() == digest.len() {
                    assert!(!key.verify(of_same_digest, &digest, &signature).unwrap());
                }
            }
            for length in [0, digest.len() - 1, digest.len() + 1] {
                let wrong = vec![9; length];
                assert_eq!(key.sign(algorithm, &wrong).unwrap_err().kind(), ErrorKind::Invalid);
                assert_eq!(key.verify(algorithm, &wrong, &signature).unwrap_err().kind(), ErrorKind::Invalid);
            }
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", key()), "PrivateKey(…)");
    }
}
