//! What a principal proves itself with. A secret is kept as its hash: it has 256 random bits, so that a fast hash gives
//! nothing to guess.

use aws_lc_rs::{constant_time, digest};
use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use cofre_arm::{ApiError, Problem, Result};
use jiff::Timestamp;
use jsonwebtoken::jwk::JwkSet;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::new_guid;

/// Longest certificate or set of keys that is taken, in bytes.
const LONGEST: usize = 64 << 10;

/// A credential of a principal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// The id, a GUID.
    pub id: String,
    /// When it was added.
    pub created: Timestamp,
    /// When it ends; `None` is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// What it is.
    pub kind: CredentialKind,
}

/// Kinds of credentials.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "type")]
pub enum CredentialKind {
    /// A client secret.
    Secret {
        /// SHA-256 of the secret, in base64.
        sha256: String,
    },
    /// An RSA certificate, whose owner signs assertions.
    Certificate {
        /// SHA-1 of the certificate, in base64url without padding: the header `x5t`.
        thumbprint: String,
        /// SHA-256 of it, the header `x5t#S256`.
        thumbprint256: String,
        /// The public key, as SubjectPublicKeyInfo in base64.
        public_key: String,
    },
    /// Tokens of another issuer.
    Federated {
        /// The issuer.
        issuer: String,
        /// The subject there.
        subject: String,
        /// For whom the other issuer's tokens must be.
        audience: String,
        /// The issuer's public keys.
        keys: JwkSet,
    },
}

/// A client secret, which is told once.
pub struct NewSecret {
    /// The id of the credential.
    pub id: String,
    /// The secret: 43 characters of base64url.
    pub secret: Zeroizing<String>,
}

impl std::fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSecret").field("id", &self.id).finish_non_exhaustive()
    }
}

fn sha256(bytes: &[u8]) -> String {
    Base64::encode_string(digest::digest(&digest::SHA256, bytes).as_ref())
}

impl Credential {
    fn of(kind: CredentialKind, now: Timestamp, expires: Option<Timestamp>) -> Result<Self> {
        if expires.is_some_and(|expires| expires <= now) {
            return Err(ApiError::invalid("the credential would have ended already"));
        }
        Ok(Self { id: new_guid()?, created: now, expires, kind })
    }

    /// A fresh random secret.
    ///
    /// # Errors
    /// `InvalidParameter` for an end in the past, `StateUnavailable` without random bytes.
    pub fn secret(now: Timestamp, expires: Option<Timestamp>) -> Result<(Self, NewSecret)> {
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(bytes.as_mut())
            .map_err(|_| ApiError::new(Problem::StateUnavailable, "the system has no random bytes"))?;
        let secret = Zeroizing::new(Base64UrlUnpadded::encode_string(bytes.as_ref()));
        let credential =
            Self::of(CredentialKind::Secret { sha256: sha256(secret.as_bytes()) }, now, expires)?;
        let id = credential.id.clone();
        Ok((credential, NewSecret { id, secret }))
    }

    /// A certificate in PEM; what else is in the file, such as a private key, is not looked at.
    ///
    /// # Errors
    /// `InvalidParameter` when there is no certificate with an RSA key of 2048 bits or more.
    pub fn certificate(pem: &[u8], now: Timestamp, expires: Option<Timestamp>) -> Result<Self> {
        let bad = || {
            ApiError::invalid(
                "there is no X.509 certificate with an RSA key of 2048 to 8192 bits in the file",
            )
        };
        if pem.len() > LONGEST {
            return Err(ApiError::invalid(format!("the certificate's file has more than {LONGEST} bytes")));
        }
        let certificate = CertificateDer::from_pem_slice(pem).map_err(|_| bad())?;
        let public_key = public_key_of(&certificate).ok_or_else(bad)?;
        let thumbprint =
            |algorithm| Base64UrlUnpadded::encode_string(digest::digest(algorithm, &certificate).as_ref());
        let kind = CredentialKind::Certificate {
            thumbprint: thumbprint(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            thumbprint256: thumbprint(&digest::SHA256),
            public_key: Base64::encode_string(&public_key),
        };
        Self::of(kind, now, expires)
    }

    /// Trust in tokens of another issuer.
    ///
    /// # Errors
    /// `InvalidParameter` for empty or overlong texts, or keys that are no JSON Web Key Set.
    pub fn federated(
        issuer: &str,
        subject: &str,
        audience: &str,
        keys: &[u8],
        now: Timestamp,
    ) -> Result<Self> {
        for (what, text) in [("issuer", issuer), ("subject", subject), ("audience", audience)] {
            if text.is_empty() || text.len() > 600 || text.chars().any(char::is_control) {
                return Err(ApiError::invalid(format!("the {what} has 1 to 600 characters")));
            }
        }
        let keys: JwkSet = (keys.len() <= LONGEST)
            .then(|| serde_json::from_slice(keys).ok())
            .flatten()
            .filter(|set: &JwkSet| !set.keys.is_empty())
            .ok_or_else(|| {
                ApiError::invalid("the issuer's keys are no JSON Web Key Set with at least one key")
            })?;
        let kind = CredentialKind::Federated {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            audience: audience.to_owned(),
            keys,
        };
        Self::of(kind, now, None)
    }

    /// Whether it counts at a time.
    #[must_use]
    pub fn is_current(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// Whether a text is this secret, in constant time.
    #[must_use]
    pub fn is_secret(&self, text: &str) -> bool {
        match &self.kind {
            CredentialKind::Secret { sha256: kept } => {
                constant_time::verify_slices_are_equal(kept.as_bytes(), sha256(text.as_bytes()).as_bytes())
                    .is_ok()
            }
            _ => false,
        }
    }

    /// What it is called in lists.
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            CredentialKind::Secret { .. } => "secret",
            CredentialKind::Certificate { .. } => "certificate",
            CredentialKind::Federated { .. } => "federated",
        }
    }
}

/// The public key of a certificate, if it is an RSA key that signatures can be verified with.
fn public_key_of(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let parsed = rustls::server::ParsedCertificate::try_from(certificate).ok()?;
    let key = parsed.subject_public_key_info().to_vec();
    let rsa =
        aws_lc_rs::signature::ParsedPublicKey::new(&aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256, &key);
    rsa.is_ok().then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_compared_by_hash() {
        let now = Timestamp::UNIX_EPOCH;
        let (credential, new) = Credential::secret(now, None).unwrap();
        assert!(credential.is_secret(&new.secret) && !credential.is_secret("x") && !credential.is_secret(""));
        let json = serde_json::to_string(&credential).unwrap();
        assert!(!json.contains(new.secret.as_str()));
        assert!(Credential::secret(now, Some(now)).is_err());
        assert!(serde_json::from_str::<Credential>(&json).unwrap().is_secret(&new.secret));
    }

    #[test]
    fn certificates() {
        let now = Timestamp::UNIX_EPOCH;
        let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let pem = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&rsa).unwrap().pem();
        let credential = Credential::certificate(pem.as_bytes(), now, None).unwrap();
        assert_eq!(credential.kind_name(), "certificate");
        let curve = rcgen::KeyPair::generate().unwrap();
        let pem = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&curve).unwrap().pem();
        for bad in [pem.as_bytes(), b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(Credential::certificate(bad, now, None).is_err());
        }
    }
}
