//! The recovery kit: what a new installation is made from when this one is gone.
//!
//! It is made once, with the home, and does not age: envelopes of machines that are protected later
//! are sealed to its key, and the blob keys it carries seal all key-backup blobs of this place.

use std::path::Path;

use cofre_arm::{ApiError, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::{Zeroize, Zeroizing};

use super::{
    envelope::RecoveryKey,
    files::{read, write_private},
};

const VERSION: u32 = 1;

/// A kit. Whoever holds it opens every repository of the home it was made with.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kit {
    /// 1.
    pub version: u32,
    /// When it was made.
    pub created: jiff::Timestamp,
    /// Tenant of the home.
    pub tenant_id: String,
    /// Subscription of the home.
    pub subscription_id: String,
    /// Region.
    pub location: String,
    /// Geography: key-backup blobs open inside it only.
    pub geography: String,
    /// The recovery key, PEM.
    recovery_key: String,
    /// The key vault's blob keys, as the key vault exports them.
    blob_keys: Box<RawValue>,
}

impl std::fmt::Debug for Kit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kit({})", self.created)
    }
}

impl Drop for Kit {
    fn drop(&mut self) {
        self.recovery_key.zeroize();
        // The text of the blob keys: taken out, to be wiped as a string.
        let empty = RawValue::NULL.to_owned();
        let text: Box<str> = std::mem::replace(&mut self.blob_keys, empty).into();
        text.into_string().zeroize();
    }
}

/// Where a home is, as kits and key vaults record it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Tenant, a GUID.
    pub tenant_id: String,
    /// Subscription, a GUID.
    pub subscription_id: String,
    /// Region.
    pub location: String,
    /// Geography.
    pub geography: String,
}

impl Kit {
    /// A kit of a home.
    ///
    /// # Errors
    /// `InvalidParameter` when the blob keys are no JSON.
    pub fn new(
        created: jiff::Timestamp,
        place: &Place,
        key: &RecoveryKey,
        blob_keys: &Zeroizing<String>,
    ) -> Result<Self> {
        let blob_keys = RawValue::from_string(blob_keys.to_string())
            .map_err(|e| ApiError::invalid("the blob keys are no JSON").because(e))?;
        Ok(Self {
            version: VERSION,
            created,
            tenant_id: place.tenant_id.clone(),
            subscription_id: place.subscription_id.clone(),
            location: place.location.clone(),
            geography: place.geography.clone(),
            recovery_key: key.to_pem()?.to_string(),
            blob_keys,
        })
    }

    /// Writes it to a new file of mode 0600.
    ///
    /// # Errors
    /// `Conflict` when the file exists, `StateUnavailable`.
    pub fn write(&self, path: &Path) -> Result<()> {
        let json = Zeroizing::new(
            serde_json::to_vec_pretty(self)
                .map_err(|e| ApiError::invalid("the kit cannot be encoded").because(e))?,
        );
        write_private(path, &json)
    }

    /// Reads it from its file.
    ///
    /// # Errors
    /// `StateUnavailable`, `InvalidParameter` when the file is no kit.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = read(path, 1 << 20, true)?;
        // what serde says of a wrong value may repeat it: only the place is told
        let kit: Self = serde_json::from_slice(&bytes).map_err(|e| {
            let (line, column) = (e.line(), e.column());
            ApiError::invalid(format!("{} is no recovery kit (line {line}, column {column})", path.display()))
        })?;
        if kit.version != VERSION {
            let (path, version) = (path.display(), kit.version);
            return Err(ApiError::invalid(format!(
                "{path} is a recovery kit of version {version}, which is not known"
            )));
        }
        Ok(kit)
    }

    /// The recovery key.
    ///
    /// # Errors
    /// `InvalidParameter` when it is none.
    pub fn recovery_key(&self) -> Result<RecoveryKey> {
        RecoveryKey::from_pem(&self.recovery_key)
    }

    /// The blob keys, for a key vault to import.
    #[must_use]
    pub fn blob_keys(&self) -> Zeroizing<String> {
        Zeroizing::new(self.blob_keys.get().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kit_survives_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kit.json");
        let key = RecoveryKey::generate().unwrap();
        let place = Place {
            tenant_id: "t".into(),
            subscription_id: "s".into(),
            location: "local".into(),
            geography: "local".into(),
        };
        let blob_keys = Zeroizing::new(r#"{"keys": [1, 2]}"#.to_owned());
        let kit = Kit::new(jiff::Timestamp::UNIX_EPOCH, &place, &key, &blob_keys).unwrap();
        kit.write(&path).unwrap();
        assert!(kit.write(&path).is_err(), "never replaced");
        let kit = Kit::read(&path).unwrap();
        let value: serde_json::Value = serde_json::from_str(&kit.blob_keys()).unwrap();
        assert_eq!(value, serde_json::json!({"keys": [1, 2]}));
        let envelope = key.public().unwrap().seal("r", b"x").unwrap();
        assert_eq!(&**kit.recovery_key().unwrap().open(&envelope).unwrap(), b"x");
        assert!(!format!("{kit:?}").contains("PRIVATE"));

        let text = std::fs::read_to_string(&path).unwrap().replace("\"version\": 1", "\"version\": 2");
        std::fs::write(&path, text).unwrap();
        assert!(Kit::read(&path).unwrap_err().to_string().contains("version 2"));
        std::fs::write(&path, "{\"recoveryKey\": \"topsecret\"").unwrap();
        assert!(!Kit::read(&path).unwrap_err().in_full().contains("topsecret"));
    }
}
