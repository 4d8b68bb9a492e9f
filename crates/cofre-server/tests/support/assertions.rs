//! RSA keys and certificates made for a test, and tokens signed with them.

use aws_lc_rs::{encoding::AsDer as _, rsa};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use serde_json::{Value, json};

pub(crate) fn base64url(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// The values of the ASN.1 elements in `der`, one behind the other.
fn elements(mut der: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let [_tag, first, rest @ ..] = der {
        let (length, rest) = if *first < 0x80 {
            (usize::from(*first), rest)
        } else {
            let (bytes, rest) = rest.split_at(usize::from(*first & 0x7f));
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        };
        let (value, rest) = rest.split_at(length);
        found.push(value);
        der = rest;
    }
    found
}

/// The RSAPrivateKey (RFC 8017) in PKCS#8.
fn rsa_private_key(pkcs8: &[u8]) -> &[u8] {
    elements(elements(pkcs8)[0])[2]
}

/// A fresh RSA key as a JSON Web Key, with its private part.
pub(crate) fn json_web_key(size: rsa::KeySize) -> Value {
    let pair = rsa::KeyPair::generate(size).unwrap();
    let pkcs8 = pair.as_der().unwrap();
    let numbers = elements(elements(rsa_private_key(pkcs8.as_ref()))[0]);
    let number = |at: usize| base64url(numbers[at].strip_prefix(&[0]).unwrap_or(numbers[at]));
    json!({
        "kty": "RSA", "n": number(1), "e": number(2), "d": number(3), "p": number(4), "q": number(5),
        "dp": number(6), "dq": number(7), "qi": number(8),
    })
}

/// A certificate with its key.
pub(crate) struct Certificate {
    pub(crate) pem: String,
    pub(crate) thumbprint: String,
    signing: EncodingKey,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let certificate = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.der());
        Self {
            pem: certificate.pem(),
            thumbprint: base64url(digest.as_ref()),
            signing: EncodingKey::from_rsa_der(rsa_private_key(key.serialized_der())),
        }
    }

    /// Claims signed with the key, in the name of a thumbprint.
    pub(crate) fn sign_as(&self, thumbprint: &str, claims: &Value) -> String {
        let header = Header { x5t_s256: Some(thumbprint.to_owned()), ..Header::new(Algorithm::PS256) };
        jsonwebtoken::encode(&header, claims, &self.signing).unwrap()
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_as(&self.thumbprint, claims)
    }
}

/// Another issuer of tokens.
pub(crate) struct Issuer {
    /// Its public key, as a JSON Web Key Set.
    pub(crate) keys: Value,
    signing: EncodingKey,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let point = key.public_key_raw();
        let keys = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "kid": "one", "alg": "ES256",
            "x": base64url(&point[1..33]), "y": base64url(&point[33..]),
        }]});
        Self { keys, signing: EncodingKey::from_ec_der(key.serialized_der()) }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.signing).unwrap()
    }
}
