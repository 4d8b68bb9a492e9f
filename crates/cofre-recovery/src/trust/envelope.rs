//! Envelopes: the secret of a repository, sealed to the recovery kit's public key, beside the
//! repository since before its first pack.
//!
//! RSA-OAEP with SHA-256, so that `openssl pkeyutl` opens it too; the label binds it to its
//! repository (`docs/home.md` has the line).

use std::{fmt, path::Path};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa::{
        KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
        PrivateDecryptingKey, PublicEncryptingKey,
    },
};
use base64ct::{Base64, Encoding};
use cofre_arm::{ApiError, Problem, Result};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::files::{read, write_private};

/// Name of the file beside a repository.
pub const FILE: &str = "envelope.json";
const ALGORITHM: &str = "RSA-OAEP-256";
const VERSION: u32 = 1;

fn failed(what: impl Into<String>) -> ApiError {
    ApiError::new(Problem::StateUnavailable, what)
}

/// An envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// 1.
    pub version: u32,
    /// The repository.
    pub repository: String,
    /// SHA-256 of the public key it is sealed to, hex digits.
    pub recovery_key: String,
    /// `RSA-OAEP-256`.
    pub algorithm: String,
    /// The sealed secret, base64.
    pub sealed_secret: String,
}

fn label(repository: &str) -> Vec<u8> {
    format!("cofre envelope 1 {repository}").into_bytes()
}

impl Envelope {
    /// Writes it beside a repository, durably; an existing one is never replaced.
    ///
    /// # Errors
    /// `Conflict`, `StateUnavailable`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let mut json = serde_json::to_vec_pretty(self)
            .map_err(|e| failed("the envelope cannot be encoded").because(e))?;
        json.push(b'\n');
        write_private(&folder.join(FILE), &json)
    }

    /// Reads the one beside a repository.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let bytes = read(&path, 16 * 1024, false)?;
        let envelope: Self = serde_json::from_slice(&bytes)
            .map_err(|e| failed(format!("{} holds no envelope", path.display())).because(e))?;
        if envelope.version != VERSION || envelope.algorithm != ALGORITHM {
            return Err(failed(format!("{} is of a kind that this program does not know", path.display())));
        }
        Ok(envelope)
    }
}

/// The public half of the recovery key: online, seals envelopes.
#[derive(Clone)]
pub struct RecoveryPublicKey {
    key: PublicEncryptingKey,
    der: Vec<u8>,
}

impl fmt::Debug for RecoveryPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecoveryPublicKey({})", self.fingerprint())
    }
}

impl RecoveryPublicKey {
    fn new(key: PublicEncryptingKey) -> Result<Self> {
        let der = AsDer::<PublicKeyX509Der<'_>>::as_der(&key)
            .map_err(|_| failed("the recovery key cannot be encoded"))?;
        Ok(Self { der: der.as_ref().to_vec(), key })
    }

    /// Takes a public key in PEM.
    ///
    /// # Errors
    /// `InvalidParameter` when it is none.
    pub fn from_pem(pem: &str) -> Result<Self> {
        let bad = || ApiError::invalid("the recovery key is no RSA public key in PEM");
        let der = unarmour(pem, "PUBLIC KEY").ok_or_else(bad)?;
        Self::new(PublicEncryptingKey::from_der(&der).map_err(|_| bad())?)
    }

    /// The key in PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        armour(&self.der, "PUBLIC KEY").to_string()
    }

    /// SHA-256 of the key's DER form, hex digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.der);
        digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Seals the secret of a repository.
    ///
    /// # Errors
    /// Never in practice.
    pub fn seal(&self, repository: &str, secret: &[u8]) -> Result<Envelope> {
        let cannot = || failed("the repository's secret cannot be sealed to the recovery key");
        let key = OaepPublicEncryptingKey::new(self.key.clone()).map_err(|_| cannot())?;
        let mut sealed = vec![0; key.ciphertext_size()];
        let label = label(repository);
        let sealed =
            key.encrypt(&OAEP_SHA256_MGF1SHA256, secret, &mut sealed, Some(&label)).map_err(|_| cannot())?;
        Ok(Envelope {
            version: VERSION,
            repository: repository.to_owned(),
            recovery_key: self.fingerprint(),
            algorithm: ALGORITHM.to_owned(),
            sealed_secret: Base64::encode_string(sealed),
        })
    }
}

/// The private half: in the recovery kit alone.
pub struct RecoveryKey(PrivateDecryptingKey);

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryKey(…)")
    }
}

impl RecoveryKey {
    /// A random key of 4096 bits.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self> {
        PrivateDecryptingKey::generate(KeySize::Rsa4096)
            .map(Self)
            .map_err(|_| failed("no recovery key can be made"))
    }

    /// Takes a private key in PEM (PKCS #8).
    ///
    /// # Errors
    /// `InvalidParameter` when it is none.
    pub fn from_pem(pem: &str) -> Result<Self> {
        let bad = || ApiError::invalid("the kit's recovery key is no RSA private key in PEM");
        let der = unarmour(pem, "PRIVATE KEY").ok_or_else(bad)?;
        PrivateDecryptingKey::from_pkcs8(&der).map(Self).map_err(|_| bad())
    }

    /// The key in PEM (PKCS #8).
    ///
    /// # Errors
    /// Never in practice.
    pub fn to_pem(&self) -> Result<Zeroizing<String>> {
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&self.0)
            .map_err(|_| failed("the recovery key cannot be encoded"))?;
        Ok(armour(der.as_ref(), "PRIVATE KEY"))
    }

    /// The public half.
    ///
    /// # Errors
    /// Never in practice.
    pub fn public(&self) -> Result<RecoveryPublicKey> {
        RecoveryPublicKey::new(self.0.public_key())
    }

    /// Opens an envelope.
    ///
    /// # Errors
    /// `StateUnavailable` when it was sealed to another key, or damaged, or moved to another repository.
    pub fn open(&self, envelope: &Envelope) -> Result<Zeroizing<Vec<u8>>> {
        let of = &envelope.repository;
        if envelope.recovery_key != self.public()?.fingerprint() {
            let message = format!("the envelope of repository {of} was sealed to another recovery key");
            return Err(failed(message).recommend("Use the kit that was made with this home."));
        }
        let cannot = || failed(format!("the envelope of repository {of} is damaged"));
        let sealed = Base64::decode_vec(&envelope.sealed_secret).map_err(|_| cannot())?;
        let key = OaepPrivateDecryptingKey::new(self.0.clone()).map_err(|_| cannot())?;
        let mut plain = Zeroizing::new(vec![0; key.min_output_size()]);
        let label = label(of);
        let length = key
            .decrypt(&OAEP_SHA256_MGF1SHA256, &sealed, &mut plain, Some(&label))
            .map_err(|_| cannot())?
            .len();
        plain.truncate(length);
        Ok(plain)
    }
}

/// PEM, RFC 7468.
fn armour(der: &[u8], what: &str) -> Zeroizing<String> {
    let encoded = Zeroizing::new(Base64::encode_string(der));
    let mut pem = Zeroizing::new(String::with_capacity(encoded.len() + encoded.len() / 64 + 80));
    pem.push_str(&format!("-----BEGIN {what}-----\n"));
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str(&format!("-----END {what}-----\n"));
    pem
}

fn unarmour(pem: &str, what: &str) -> Option<Zeroizing<Vec<u8>>> {
    let body = pem.trim().strip_prefix(&format!("-----BEGIN {what}-----"))?;
    let body = body.strip_suffix(&format!("-----END {what}-----"))?;
    let mut text = Zeroizing::new(String::with_capacity(body.len()));
    text.extend(body.chars().filter(|c| !c.is_ascii_whitespace()));
    Base64::decode_vec(&text).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn only_the_kit_opens_an_envelope_and_only_of_its_repository() {
        let key = RecoveryKey::generate().unwrap();
        let key = RecoveryKey::from_pem(&key.to_pem().unwrap()).unwrap();
        let public = RecoveryPublicKey::from_pem(&key.public().unwrap().to_pem()).unwrap();
        let envelope = public.seal("r1", b"secret").unwrap();
        let dir = tempfile::tempdir().unwrap();
        envelope.write(dir.path()).unwrap();
        assert_eq!(envelope.write(dir.path()).unwrap_err().problem(), Problem::Conflict);
        let envelope = Envelope::read(dir.path()).unwrap();
        assert_eq!(&**key.open(&envelope).unwrap(), b"secret");

        let moved = Envelope { repository: "r2".into(), ..envelope.clone() };
        assert!(key.open(&moved).unwrap_err().to_string().contains("damaged"));
        let garbage = Envelope { sealed_secret: "AAAA".into(), ..envelope.clone() };
        assert!(key.open(&garbage).is_err());
        let foreign = Envelope { recovery_key: "00".into(), ..envelope };
        assert!(key.open(&foreign).unwrap_err().to_string().contains("another recovery key"));
        assert_eq!(format!("{key:?}"), "RecoveryKey(…)");
        for bad in
            ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "-----BEGIN PUBLIC KEY-----"]
        {
            assert!(RecoveryPublicKey::from_pem(bad).is_err());
            assert!(RecoveryKey::from_pem(bad).is_err());
        }
    }

    #[test]
    fn openssl_opens_an_envelope() {
        if Command::new("openssl").arg("version").output().is_err() {
            eprintln!("skipped: openssl is not installed");
            return;
        }
        let key = RecoveryKey::generate().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let pem = dir.path().join("key.pem");
        std::fs::write(&pem, key.to_pem().unwrap().as_bytes()).unwrap();
        let envelope = key.public().unwrap().seal("r1", b"secret").unwrap();
        let sealed = dir.path().join("sealed");
        std::fs::write(&sealed, Base64::decode_vec(&envelope.sealed_secret).unwrap()).unwrap();
        let hex: String = label("r1").iter().map(|b| format!("{b:02x}")).collect();
        let output = Command::new("openssl")
            .args([
                "pkeyutl",
                "-decrypt",
                "-pkeyopt",
                "rsa_padding_mode:oaep",
                "-pkeyopt",
                "rsa_oaep_md:sha256",
            ])
            .args(["-pkeyopt", &format!("rsa_oaep_label:{hex}"), "-inkey"])
            .arg(&pem)
            .arg("-in")
            .arg(&sealed)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stdout, b"secret");
    }
}
