//! What a recovery point keeps of the keys that open its disks: `keys/keys.json` of the point.
//!
//! The secret is kept as the key vault stored it, wrapped by the key; the key is kept as a backup blob
//! that only a key vault of the same subscription and geography opens. Neither opens a disk alone.

use std::{collections::BTreeMap, fmt};

use cofre_arm::{ApiError, Problem, ResourceId, Result};
use cofre_compute::EncryptionMechanism;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Name of the file below `keys/`.
pub const FILE: &str = "keys.json";
/// Name of the file below `keys/` that holds the proof records of key vaults.
pub const PROOFS: &str = "proofs.json";
/// Version that is written and read.
pub const VERSION: u32 = 1;

/// All that was captured for a point.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapturedKeys {
    /// [`VERSION`].
    pub version: u32,
    /// Where the machine kept its encryption settings.
    pub mechanism: EncryptionMechanism,
    /// One set for each distinct pair of secret and key that the machine named, before and after the
    /// snapshot.
    pub sets: Vec<CapturedSet>,
}

impl CapturedKeys {
    /// Reads the file.
    ///
    /// # Errors
    /// `TransferFailed` when it is of another version or damaged.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let bad = |what: &str| {
            ApiError::new(Problem::TransferFailed, format!("the record of captured keys {what}"))
        };
        // what serde says of a wrong value may repeat it: only the place is told
        let keys: Self = serde_json::from_slice(json)
            .map_err(|e| bad(&format!("cannot be read (line {}, column {})", e.line(), e.column())))?;
        if keys.version != VERSION {
            return Err(bad(&format!("has version {}, which is not known", keys.version)));
        }
        Ok(keys)
    }
}

/// A pair of secret and key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapturedSet {
    /// Names of the disks it is for.
    pub disks: Vec<String>,
    /// URL of the secret, with its version.
    pub secret_url: String,
    /// Its key vault.
    pub secret_vault_id: ResourceId,
    /// The secret's value as stored: the wrapped disk key, in base64url.
    pub secret_data: WrappedSecret,
    /// The secret's content type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_content_type: Option<String>,
    /// The secret's tags.
    #[serde(default)]
    pub secret_tags: BTreeMap<String, String>,
    /// URL of the wrapping key, with its version.
    pub key_url: String,
    /// Its key vault.
    pub key_vault_id: ResourceId,
    /// Name of the file below `keys/` that holds the key's backup blob: sets may share one.
    pub key_backup: String,
    /// SHA-256 of the blob, hex digits.
    pub key_backup_sha256: String,
    /// The versions that the key had: while they stay, points share one blob.
    #[serde(default)]
    pub key_versions: Vec<String>,
}

/// A wrapped disk key as text. Worth little without the key, but shown to nobody all the same.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WrappedSecret(Zeroizing<String>);

impl WrappedSecret {
    /// Takes the text.
    #[must_use]
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for WrappedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrappedSecret(…)")
    }
}
