//! The parameters that say where the keys are.

use cofre_compute::{EncryptionMechanism, VirtualMachine};
use serde_json::{Map, Value, json};

use super::expression::{literal, parameter};
use crate::{
    captured::CapturedKeys,
    outputs::{RestoredDisk, encryption::sets_of, without_port},
};

/// Where a disk's secret and key are.
#[derive(Clone, PartialEq, Eq)]
struct Places {
    secret_url: String,
    secret_vault: String,
    /// URL and key vault; none when no key wraps the secret.
    key: Option<(String, String)>,
}

/// Four parameters, and what they are by default.
pub(super) struct DiskParameters {
    /// The slot that they are named after; none for the published names.
    lun: Option<u32>,
    /// The slots of the disks that use them.
    users: Vec<Option<u32>>,
    places: Places,
}

/// All of them.
pub(super) struct EncryptionParameters {
    /// Where the settings go: on the machine or on disks.
    pub(super) mechanism: EncryptionMechanism,
    sets: Vec<DiskParameters>,
}

/// The parameters for the disks that were restored.
pub(super) fn parameters(
    machine: &VirtualMachine,
    data_disks: &[(u32, &RestoredDisk)],
    keys: Option<&CapturedKeys>,
) -> EncryptionParameters {
    let mut sets: Vec<DiskParameters> = Vec::new();
    let slots = std::iter::once(None).chain(data_disks.iter().map(|(lun, _)| Some(*lun)));
    for lun in slots {
        let name = match lun {
            None => Some(&machine.os_disk.name),
            Some(lun) => machine.data_disks.iter().find(|d| d.lun == lun).map(|d| &d.disk.name),
        };
        let Some(places) = name.and_then(|name| places(machine, keys, name)) else { continue };
        match sets.iter_mut().find(|set| set.places == places) {
            Some(set) => set.users.push(lun),
            None => sets.push(DiskParameters { lun, users: vec![lun], places }),
        }
    }
    let mechanism = keys.map_or_else(|| machine.encryption_mechanism(), |keys| keys.mechanism);
    EncryptionParameters { mechanism, sets }
}

fn places(machine: &VirtualMachine, keys: Option<&CapturedKeys>, disk: &str) -> Option<Places> {
    if let Some(set) = keys.and_then(|keys| sets_of(machine, keys, disk).first().copied()) {
        return Some(Places {
            secret_url: without_port(&set.secret_url),
            secret_vault: set.secret_vault_id.to_string(),
            key: Some((without_port(&set.key_url), set.key_vault_id.to_string())),
        });
    }
    let set = machine.key_sets().into_iter().find(|set| set.disks.iter().any(|d| d == disk))?;
    let secret = set.settings.disk_encryption_key;
    let key = set.settings.key_encryption_key;
    Some(Places {
        secret_url: without_port(&secret.secret_url),
        secret_vault: secret.source_vault.id.to_string(),
        key: key.map(|key| (without_port(&key.key_url), key.source_vault.id.to_string())),
    })
}

impl EncryptionParameters {
    /// Those of a disk.
    pub(super) fn of(&self, lun: Option<u32>) -> Option<&DiskParameters> {
        self.sets.iter().find(|set| set.users.contains(&lun))
    }

    /// Adds them to the template's parameters.
    pub(super) fn declare(&self, parameters: &mut Map<String, Value>) {
        for set in &self.sets {
            let of = set.lun.map_or(String::new(), |lun| format!(" of the disk in slot {lun}"));
            let mut add = |name: String, value: &str, description: &str| {
                let declaration = json!({
                    "type": "string",
                    "defaultValue": literal(value),
                    "metadata": {"description": format!("{description}{of}.")},
                });
                parameters.insert(name, declaration);
            };
            let places = &set.places;
            add(set.named("secretUrl"), &places.secret_url, "Versioned URL of the secret");
            add(set.named("secretVaultId"), &places.secret_vault, "Id of the key vault of the secret");
            if let Some((url, vault)) = &places.key {
                add(set.named("keyUrl"), url, "Versioned URL of the key");
                add(set.named("keyVaultId"), vault, "Id of the key vault of the key");
            }
        }
    }
}

impl DiskParameters {
    /// `secretUrl`, or `dataDisk3SecretUrl`.
    fn named(&self, name: &str) -> String {
        let Some(lun) = self.lun else { return name.to_owned() };
        let (first, rest) = name.split_at(1);
        format!("dataDisk{lun}{}{rest}", first.to_ascii_uppercase())
    }

    /// The two members that name secret and key.
    fn members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        let secret = json!({
            "secretUrl": parameter(&self.named("secretUrl")),
            "sourceVault": {"id": parameter(&self.named("secretVaultId"))},
        });
        members.insert("diskEncryptionKey".to_owned(), secret);
        if self.places.key.is_some() {
            let key = json!({
                "keyUrl": parameter(&self.named("keyUrl")),
                "sourceVault": {"id": parameter(&self.named("keyVaultId"))},
            });
            members.insert("keyEncryptionKey".to_owned(), key);
        }
        members
    }

    /// Settings on the machine.
    pub(super) fn settings(&self) -> Value {
        let mut members = self.members();
        members.insert("enabled".to_owned(), Value::Bool(true));
        Value::Object(members)
    }

    /// Settings on a disk.
    pub(super) fn collection(&self) -> Value {
        json!({
            "enabled": true,
            "encryptionSettingsVersion": "1.1",
            "encryptionSettings": [self.members()],
        })
    }
}
