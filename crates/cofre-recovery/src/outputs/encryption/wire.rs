//! The file's objects.

use std::{collections::BTreeMap, sync::Arc};

use cofre_arm::{ApiError, ObjectKind, Problem, ResourceId, Result};
use cofre_compute::EncryptionMechanism;
use zeroize::Zeroizing;

use super::{KeyAndSecret, KeyBlob, WHAT, identity, versioned};
use crate::{
    captured::WrappedSecret,
    outputs::members::{List, object},
};

/// Most entries that are read: several for each of the 65 disks of a machine.
const MAX_ENTRIES: usize = 1024;

object!(File {
    "OsDiskKeyAndSecretDetails" => os_disk: Details,
    "OtherOsDiskKeyAndSecretDetails" => other_os_disk: List<Details, MAX_ENTRIES>,
    "DataDiskKeyAndSecretDetails" => data_disks: List<Details, MAX_ENTRIES>,
});

object!(Details {
    "Lun" => lun: u32,
    "KeyBackupData" => key_backup: Zeroizing<String>,
    "SecretData" => secret_data: Zeroizing<String>,
    "SecretUrl" => secret_url: String,
    "KeyUrl" => key_url: String,
    "KeyVaultSecretBackupData" => secret_backup: Zeroizing<String>,
    "SecretVaultId" => secret_vault: ResourceId,
    "KeyVaultId" => key_vault: ResourceId,
    "EncryptionMechanism" => mechanism: EncryptionMechanism,
    "SecretTags" => tags: BTreeMap<String, String>,
    "SecretContentType" => content_type: String,
});

impl Details {
    /// What it says. `blobs` holds the first blob of each key so far: an entry without one uses that.
    pub(super) fn read(self, blobs: &mut BTreeMap<String, Arc<KeyBlob>>) -> Result<KeyAndSecret> {
        let disk = self.lun.map_or("the OS disk".to_owned(), |lun| format!("the disk in slot {lun}"));
        let lacks = |member: &str| ApiError::invalid(format!("the {WHAT} lacks {member} of {disk}"));
        let Some(key_url) = self.key_url.filter(|url| !url.is_empty()) else {
            let message = format!("the {WHAT} names no key for {disk}: its disk key is not wrapped");
            return Err(ApiError::new(Problem::BekOnly, message).recommend(
                "Restore the secret with the key vault's own tools from KeyVaultSecretBackupData.",
            ));
        };
        let key_url = versioned(&key_url, ObjectKind::Key)?;
        let secret_url = versioned(&self.secret_url.ok_or_else(|| lacks("SecretUrl"))?, ObjectKind::Secret)?;
        let key_backup = match self.key_backup {
            Some(text) => {
                let blob = KeyBlob::decode(&text).map(Arc::new).ok_or_else(|| {
                    ApiError::invalid(format!("KeyBackupData of {disk} in the {WHAT} is not base64"))
                })?;
                blobs.entry(identity(&key_url)).or_insert_with(|| blob.clone());
                blob
            }
            None => blobs.get(&identity(&key_url)).cloned().ok_or_else(|| lacks("KeyBackupData"))?,
        };
        let secret_data = self.secret_data.filter(|s| !s.is_empty()).ok_or_else(|| lacks("SecretData"))?;
        Ok(KeyAndSecret {
            lun: self.lun,
            secret_url,
            secret_vault_id: self.secret_vault,
            secret_data: WrappedSecret::new(secret_data),
            secret_content_type: self.content_type,
            secret_tags: self.tags.unwrap_or_default(),
            key_url,
            key_vault_id: self.key_vault,
            key_backup,
        })
    }
}
