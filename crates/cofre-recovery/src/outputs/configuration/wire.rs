//! The file's objects.

use std::collections::BTreeMap;

use cofre_arm::{ApiError, ResourceId, Result};
use cofre_compute::{
    EncryptionSettings,
    encryption::{KeyReference, SecretReference, SubResource},
};

use super::{ConfiguredDisk, WHAT};
use crate::outputs::{
    MAX_DATA_DISKS,
    members::{List, object},
    whole_gib,
};

/// Settings that live on disks, in the one form there is.
const COLLECTION_VERSION: &str = "1.1";

object!(File {
    "id" => id: ResourceId,
    "name" => name: String,
    "type" => kind: String,
    "location" => location: String,
    "tags" => tags: BTreeMap<String, String>,
    "properties.vmId" => vm_id: String,
    "properties.hardwareProfile" => hardware: Hardware,
    "properties.storageProfile" => storage: Storage,
});

object!(Hardware {
    "vmSize" => vm_size: String,
});

object!(Storage {
    "osDisk" => os_disk: Disk,
    "dataDisks" => data_disks: List<Disk, MAX_DATA_DISKS>,
});

object!(Disk {
    "lun" => lun: u32,
    "osType" => os_type: String,
    "name" => name: String,
    "createOption" => create_option: String,
    "vhd" => vhd: Vhd,
    "VirtualHardDisk" => virtual_hard_disk: VirtualHardDisk,
    "blobName" => blob: String,
    "diskSizeGB" => gib: u64,
    "diskSizeBytes" => bytes: u64,
    "encryptionSettings" => settings: Settings,
    "encryptionSettingsCollection" => collection: Collection,
});

object!(Vhd {
    "uri" => uri: String,
});

object!(VirtualHardDisk {
    "Uri" => uri: String,
});

object!(Settings {
    "enabled" => enabled: bool,
    "diskEncryptionKey" => secret: Secret,
    "keyEncryptionKey" => key: Key,
});

object!(Collection {
    "enabled" => enabled: bool,
    "encryptionSettingsVersion" => version: String,
    "encryptionSettings" => settings: List<Settings, MAX_DATA_DISKS>,
});

object!(Secret {
    "secretUrl" => url: String,
    "sourceVault" => vault: SourceVault,
});

object!(Key {
    "keyUrl" => url: String,
    "sourceVault" => vault: SourceVault,
});

object!(SourceVault {
    "id" => id: ResourceId,
});

pub(super) fn lacks(what: &str) -> ApiError {
    ApiError::invalid(format!("the {WHAT} lacks {what}"))
}

impl Disk {
    pub(super) fn write(disk: &ConfiguredDisk) -> Self {
        Self {
            name: disk.name.clone(),
            create_option: disk.uri.is_some().then(|| "Attach".to_owned()),
            vhd: disk.uri.clone().map(|uri| Vhd { uri: Some(uri) }),
            virtual_hard_disk: disk.uri.clone().map(|uri| VirtualHardDisk { uri: Some(uri) }),
            blob: disk.blob.clone(),
            gib: disk.size.map(whole_gib),
            bytes: disk.size,
            collection: disk.encryption_settings.as_ref().map(|settings| Collection {
                enabled: Some(settings.enabled),
                version: Some(COLLECTION_VERSION.to_owned()),
                settings: Some(List(vec![Settings { enabled: None, ..Settings::write(settings) }])),
            }),
            ..Self::default()
        }
    }

    pub(super) fn read(self) -> Result<ConfiguredDisk> {
        let gib = match self.gib {
            Some(gib) => Some(gib.checked_mul(1 << 30).ok_or_else(|| {
                ApiError::invalid(format!("a disk of the {WHAT} is larger than any can be"))
            })?),
            None => None,
        };
        let uri = self.vhd.and_then(|v| v.uri).or(self.virtual_hard_disk.and_then(|v| v.uri));
        Ok(ConfiguredDisk {
            name: self.name,
            uri,
            blob: self.blob,
            size: self.bytes.or(gib),
            encryption_settings: self.collection.map(Collection::read).transpose()?.flatten(),
        })
    }
}

impl Settings {
    pub(super) fn write(settings: &EncryptionSettings) -> Self {
        let vault = |vault: &SubResource| Some(SourceVault { id: Some(vault.id.clone()) });
        let secret = &settings.disk_encryption_key;
        Self {
            enabled: Some(settings.enabled),
            secret: Some(Secret { url: Some(secret.secret_url.clone()), vault: vault(&secret.source_vault) }),
            key: settings
                .key_encryption_key
                .as_ref()
                .map(|key| Key { url: Some(key.key_url.clone()), vault: vault(&key.source_vault) }),
        }
    }

    /// None for settings that only say that there are none.
    pub(super) fn read(self) -> Result<Option<EncryptionSettings>> {
        if self.enabled == Some(false) && self.secret.is_none() {
            return Ok(None);
        }
        let vault = |vault: Option<SourceVault>| {
            let id = vault.and_then(|v| v.id).ok_or_else(|| lacks("id of a sourceVault"))?;
            Ok::<_, ApiError>(SubResource { id })
        };
        let secret = self.secret.ok_or_else(|| lacks("diskEncryptionKey"))?;
        let key = self.key.map(|key| {
            let key_url = key.url.ok_or_else(|| lacks("keyUrl"))?;
            Ok::<_, ApiError>(KeyReference { key_url, source_vault: vault(key.vault)? })
        });
        Ok(Some(EncryptionSettings {
            enabled: self.enabled.unwrap_or(true),
            disk_encryption_key: SecretReference {
                secret_url: secret.url.ok_or_else(|| lacks("secretUrl"))?,
                source_vault: vault(secret.vault)?,
            },
            key_encryption_key: key.transpose()?,
        }))
    }
}

impl Collection {
    pub(super) fn read(self) -> Result<Option<EncryptionSettings>> {
        let mut settings = self.settings.map(|list| list.0).unwrap_or_default();
        let Some(one) = settings.pop() else { return Ok(None) };
        if !settings.is_empty() {
            return Err(ApiError::invalid(format!(
                "a disk of the {WHAT} has more than one pair of secret and key"
            )));
        }
        let enabled = self.enabled.unwrap_or(true);
        Ok(one.read()?.map(|settings| EncryptionSettings { enabled, ..settings }))
    }
}
