//! Encryption settings of a machine: which secret holds the disk key, which key wraps it.

use cofre_arm::ResourceId;
use serde::{Deserialize, Serialize};

use crate::machine::VirtualMachine;

/// Encryption settings, of a machine or of one disk, in the published shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EncryptionSettings {
    /// Whether they count.
    pub enabled: bool,
    /// Where the disk key (BEK) lies.
    pub disk_encryption_key: SecretReference,
    /// The key (KEK) that wraps it; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_encryption_key: Option<KeyReference>,
}

/// A secret in a key vault. The URL is kept as it was given: it is judged when it is used.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// `https://VAULT.SUFFIX/secrets/NAME/VERSION`.
    pub secret_url: String,
    /// The key vault.
    pub source_vault: SubResource,
}

/// A key in a key vault.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyReference {
    /// `https://VAULT.SUFFIX/keys/NAME/VERSION`.
    pub key_url: String,
    /// The key vault.
    pub source_vault: SubResource,
}

/// A reference to a resource, in the published shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SubResource {
    /// Its id.
    pub id: ResourceId,
}

/// How a machine is encrypted, as far as backup has to tell cases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EncryptionClass {
    /// No settings, or none that count. The disks may be encrypted all the same, unknown to us.
    None,
    /// A disk key that no key wraps.
    BekOnly,
    /// A disk key wrapped by a key.
    BekAndKek,
}

/// Where the settings live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EncryptionMechanism {
    /// Nowhere.
    None,
    /// On each disk.
    SinglePass,
    /// On the machine.
    DoublePass,
}

/// One pair of disk key and wrapping key, and the disks it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    /// The settings.
    pub settings: EncryptionSettings,
    /// Names of the disks.
    pub disks: Vec<String>,
}

impl VirtualMachine {
    /// Settings that count: on the machine, where they are for all disks, or on disks.
    #[must_use]
    pub fn key_sets(&self) -> Vec<KeySet> {
        let enabled = |s: &Option<EncryptionSettings>| s.clone().filter(|s| s.enabled);
        if let Some(settings) = enabled(&self.encryption_settings) {
            return vec![KeySet { settings, disks: self.disks().map(|d| d.name.clone()).collect() }];
        }
        let mut sets: Vec<KeySet> = Vec::new();
        for disk in self.disks() {
            let Some(settings) = enabled(&disk.encryption_settings) else { continue };
            match sets.iter_mut().find(|s| s.settings == settings) {
                Some(set) => set.disks.push(disk.name.clone()),
                None => sets.push(KeySet { settings, disks: vec![disk.name.clone()] }),
            }
        }
        sets
    }

    /// The class. A machine with one disk key that nothing wraps is [`EncryptionClass::BekOnly`],
    /// whatever its other disks have.
    #[must_use]
    pub fn encryption_class(&self) -> EncryptionClass {
        let sets = self.key_sets();
        if sets.is_empty() {
            EncryptionClass::None
        } else if sets.iter().all(|s| s.settings.key_encryption_key.is_some()) {
            EncryptionClass::BekAndKek
        } else {
            EncryptionClass::BekOnly
        }
    }

    /// Where the settings that count live.
    #[must_use]
    pub fn encryption_mechanism(&self) -> EncryptionMechanism {
        if self.encryption_settings.as_ref().is_some_and(|s| s.enabled) {
            EncryptionMechanism::DoublePass
        } else if self.key_sets().is_empty() {
            EncryptionMechanism::None
        } else {
            EncryptionMechanism::SinglePass
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use cofre_disk::ImageFormat;

    use super::*;
    use crate::machine::{DataDisk, DeploymentModel, Disk, Image, OsType, PowerState, ProvisioningState};

    fn settings(secret: &str, kek: bool) -> EncryptionSettings {
        let vault: ResourceId =
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv".parse().unwrap();
        EncryptionSettings {
            enabled: true,
            disk_encryption_key: SecretReference {
                secret_url: format!("https://kv.vault.localhost/secrets/{secret}/1"),
                source_vault: SubResource { id: vault.clone() },
            },
            key_encryption_key: kek.then(|| KeyReference {
                key_url: "https://kv.vault.localhost/keys/kek/1".into(),
                source_vault: SubResource { id: vault },
            }),
        }
    }

    fn disk(name: &str, encryption_settings: Option<EncryptionSettings>) -> Disk {
        let image = Image { path: PathBuf::from("/vm/x.raw"), format: ImageFormat::Raw };
        Disk { name: name.into(), image, encryption_settings }
    }

    fn machine() -> VirtualMachine {
        VirtualMachine {
            id: "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/web"
                .parse()
                .unwrap(),
            vm_id: "1".into(),
            location: "local".into(),
            model: DeploymentModel::ResourceManager,
            vm_size: "Standard_D2s_v3".into(),
            os_type: OsType::Linux,
            provisioning_state: ProvisioningState::Succeeded,
            power_state: PowerState::Stopped,
            os_disk: disk("os", None),
            data_disks: vec![
                DataDisk { lun: 0, disk: disk("a", None) },
                DataDisk { lun: 3, disk: disk("b", None) },
            ],
            encryption_settings: None,
            tags: Default::default(),
        }
    }

    #[test]
    fn classes() {
        let mut vm = machine();
        assert_eq!(
            (vm.encryption_class(), vm.encryption_mechanism()),
            (EncryptionClass::None, EncryptionMechanism::None)
        );
        vm.encryption_settings = Some(EncryptionSettings { enabled: false, ..settings("x", false) });
        assert_eq!(vm.encryption_class(), EncryptionClass::None, "settings that do not count");
        vm.encryption_settings = Some(settings("x", true));
        assert_eq!(vm.encryption_class(), EncryptionClass::BekAndKek);
        assert_eq!(vm.encryption_mechanism(), EncryptionMechanism::DoublePass);
        assert_eq!(vm.key_sets()[0].disks, ["os", "a", "b"]);
        vm.encryption_settings = Some(settings("x", false));
        assert_eq!(vm.encryption_class(), EncryptionClass::BekOnly);
    }

    #[test]
    fn disks_with_equal_settings_share_a_set() {
        let mut vm = machine();
        vm.os_disk.encryption_settings = Some(settings("x", true));
        vm.data_disks[1].disk.encryption_settings = Some(settings("x", true));
        vm.data_disks[0].disk.encryption_settings = Some(settings("y", true));
        let sets = vm.key_sets();
        assert_eq!(sets.iter().map(|s| s.disks.clone()).collect::<Vec<_>>(), [vec!["os", "b"], vec!["a"]]);
        assert_eq!(vm.encryption_mechanism(), EncryptionMechanism::SinglePass);
        vm.data_disks[0].disk.encryption_settings = Some(settings("y", false));
        assert_eq!(
            vm.encryption_class(),
            EncryptionClass::BekOnly,
            "one disk key that nothing wraps is enough"
        );
    }

    #[test]
    fn a_machine_is_the_same_after_a_trip_through_json() {
        let mut vm = machine();
        vm.encryption_settings = Some(settings("x", true));
        let json = serde_json::to_string(&vm).unwrap();
        assert_eq!(serde_json::from_str::<VirtualMachine>(&json).unwrap(), vm);
        assert!(serde_json::from_str::<VirtualMachine>(&json.replace("\"raw\"", "\"vmdk\"")).is_err());
    }
}
