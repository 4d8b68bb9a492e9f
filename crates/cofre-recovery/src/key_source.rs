//! What backup and restore need of key vaults: read-only rights for backup, the operator's for putting
//! keys back. Key vaults are told apart by the name and suffix in their host; whether they are ours or
//! elsewhere is the body's affair.

#[cfg(any(test, feature = "contract"))]
pub mod contract;

use std::{collections::BTreeMap, fmt};

use cofre_arm::{ObjectUrl, ResourceId, Result};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::captured::WrappedSecret;

/// The permissions on keys and secrets that a backup needs at least, as `keys/…` and `secrets/…`.
pub const NEEDED: &[&str] = &["keys/get", "keys/list", "keys/backup", "secrets/get", "secrets/list"];

/// Which key vault: `https://NAME.SUFFIX`. Case does not count.
#[derive(Clone, Copy, Debug)]
pub struct KeyVaultName<'a> {
    /// Its name.
    pub name: &'a str,
    /// The rest of the host, without a port.
    pub suffix: &'a str,
}

impl PartialEq for KeyVaultName<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(other.name) && self.suffix.eq_ignore_ascii_case(other.suffix)
    }
}

impl Eq for KeyVaultName<'_> {}

impl fmt::Display for KeyVaultName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl<'a> From<&'a ObjectUrl> for KeyVaultName<'a> {
    fn from(url: &'a ObjectUrl) -> Self {
        Self { name: &url.vault, suffix: &url.suffix }
    }
}

/// A key vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyVaultInfo {
    /// Its resource id; none where nobody says it to whoever asks.
    pub id: Option<ResourceId>,
    /// Whether the platform may hand its secrets to booting machines, where that is known.
    pub enabled_for_disk_encryption: Option<bool>,
}

/// Whether a version of a key or secret can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectState {
    /// There, and enabled.
    Usable,
    /// There, and disabled.
    Disabled,
    /// Not there.
    Gone,
}

/// A secret as it is stored.
#[derive(Clone, Debug)]
pub struct StoredSecret {
    /// Its value.
    pub value: WrappedSecret,
    /// Its content type.
    pub content_type: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A question for a proof: does this secret, unwrapped by the key in this blob, open this header?
pub struct ProofQuestion<'a> {
    /// The key vault that is asked: that of the secret.
    pub vault: KeyVaultName<'a>,
    /// The recovery point, 32 hex digits.
    pub point: &'a str,
    /// Name of the disk.
    pub disk: &'a str,
    /// The header, 4 MiB at most.
    pub header: &'a [u8],
    /// Its digest over all up to the end of the last key area, hex digits.
    pub header_sha256: &'a str,
    /// Bytes of the disk.
    pub disk_size: u64,
    /// Name and version of the secret.
    pub secret: (&'a str, &'a str),
    /// How the secret is wrapped: `RSA-OAEP`.
    pub algorithm: &'a str,
    /// The captured secret.
    pub secret_value: &'a WrappedSecret,
    /// Key vault, name and version of the wrapping key.
    pub key: (KeyVaultName<'a>, &'a str, &'a str),
    /// The captured key.
    pub key_backup: &'a [u8],
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProofAnswer {
    /// Whether they open the header; a reason where that was not shown.
    pub state: ProofState,
    /// The key vault's own sealed record of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<serde_json::Value>,
}

/// What is known of the keys of a disk in a recovery point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum ProofState {
    /// The captured secret and key were shown to open this header.
    Proven,
    /// They were captured; that they open it was not shown.
    Captured {
        /// Why not.
        reason: String,
    },
    /// They were tried, and do not open it.
    DoesNotOpen,
    /// The disk has an encryption header, and no keys were captured for it.
    Missing {
        /// Why not.
        reason: String,
    },
    /// No encryption is known of this disk.
    NotEncrypted,
}

impl ProofState {
    /// In a word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Captured { .. } => "captured",
            Self::DoesNotOpen => "does not open",
            Self::Missing { .. } => "missing",
            Self::NotEncrypted => "not encrypted",
        }
    }
}

/// Reaches key vaults as the backup service's principal: reads, and asks for proofs. Every body passes
/// `contract::key_vaults_contract` (feature `contract`).
pub trait KeySource: Send + Sync {
    /// The key vault of this name.
    ///
    /// # Errors
    /// When it cannot be asked. A vault that is not there is `None`.
    fn vault(&self, vault: KeyVaultName<'_>) -> Result<Option<KeyVaultInfo>>;

    /// Which of [`NEEDED`] the principal lacks.
    ///
    /// # Errors
    /// When the vault cannot be asked.
    fn missing_permissions(&self, vault: KeyVaultName<'_>) -> Result<Vec<String>>;

    /// How a version of a secret stands.
    ///
    /// # Errors
    /// `KeyVaultPermissions`, or when the vault cannot be asked.
    fn secret_state(&self, vault: KeyVaultName<'_>, name: &str, version: &str) -> Result<ObjectState>;

    /// How a version of a key stands.
    ///
    /// # Errors
    /// `KeyVaultPermissions`, or when the vault cannot be asked.
    fn key_state(&self, vault: KeyVaultName<'_>, name: &str, version: &str) -> Result<ObjectState>;

    /// A version of a secret, as it is stored.
    ///
    /// # Errors
    /// `KeyVersionNotFound`, `KeyVaultPermissions`, or when the vault cannot be asked.
    fn secret(&self, vault: KeyVaultName<'_>, name: &str, version: &str) -> Result<StoredSecret>;

    /// The versions of a key, in a fixed order.
    ///
    /// # Errors
    /// `KeyVersionNotFound`, `KeyVaultPermissions`, or when the vault cannot be asked.
    fn versions_of_key(&self, vault: KeyVaultName<'_>, name: &str) -> Result<Vec<String>>;

    /// The backup blob of a key: all of its versions, sealed.
    ///
    /// # Errors
    /// `KeyVersionNotFound`, `KeyVaultPermissions`, or when the vault cannot be asked.
    fn backup_key(&self, vault: KeyVaultName<'_>, name: &str) -> Result<Zeroizing<Vec<u8>>>;

    /// Has captured keys tried on a header, inside the key vault.
    ///
    /// # Errors
    /// When the vault cannot be asked. A proof that cannot be made is an answer.
    fn prove(&self, question: &ProofQuestion<'_>) -> Result<ProofAnswer>;
}

/// A key that was put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredKey {
    /// Its name.
    pub name: String,
    /// Its versions.
    pub versions: Vec<String>,
}

/// Puts keys back into a key vault, with the rights of whoever asks.
pub trait KeyTarget: Send + Sync {
    /// The key vault of this name.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn vault(&self, vault: KeyVaultName<'_>) -> Result<Option<KeyVaultInfo>>;

    /// The versions of a key that is there.
    ///
    /// # Errors
    /// `Forbidden`, or when the vault cannot be asked.
    fn key_versions(&self, vault: KeyVaultName<'_>, name: &str) -> Result<Option<Vec<String>>>;

    /// Restores a key from its backup blob.
    ///
    /// # Errors
    /// `KeyVaultNameConflict`, `KeyVaultBlobNotUsable`, `Forbidden`.
    fn restore_key(&self, vault: KeyVaultName<'_>, blob: &[u8]) -> Result<RestoredKey>;

    /// Sets a secret; returns the version it got.
    ///
    /// # Errors
    /// `Forbidden`, `InvalidParameter`.
    fn set_secret(&self, vault: KeyVaultName<'_>, name: &str, secret: &StoredSecret) -> Result<String>;
}
